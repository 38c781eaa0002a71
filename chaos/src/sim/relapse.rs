//! A disk that goes back to a backup at the worst moment.

use super::moments::{Sign, Then};
use super::stage::{Act, Backup, Stage};
use crate::plan::Back;

/// A peer whose disk is to go back in time: the process that it must not survive, and who is cut off meanwhile.
#[derive(Clone)]
pub(super) struct Relapse {
    at: usize,
    life: u64,
    behind: Vec<usize>,
    away_ms: u64,
}

impl Stage {
    /// Backs a peer's disk up, and lets a newer process run on it. Once everybody knows of that, the disk may be taken
    /// for what it is, so what follows is no more than a lost disk.
    pub(super) async fn relapse(&mut self, at: usize, lag_ms: u64, away_ms: u64) {
        if !self.may_lose_a_disk(at) {
            return;
        }
        self.kill(at);
        if let Ok(dir) = self.cluster.copy_of_dir(at).await {
            self.backups.insert(at, Backup { dir, since: None });
        }
        self.bring_back(at, Back::Disk).await;
        self.wait_for(Sign::Outdated(at), Then::FallBehind(at, lag_ms, away_ms));
    }

    /// Cuts so many off that the others are just enough, the peer among them: what is acknowledged now needs its disk.
    pub(super) fn fall_behind(&mut self, at: usize, lag_ms: u64, away_ms: u64) {
        let leader = self.leader();
        let mut behind: Vec<usize> =
            (0..self.plan.peers).filter(|other| *other != at && Some(*other) != leader).collect();
        for last in (1..behind.len()).rev() {
            behind.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        behind.truncate((self.plan.peers - 1) / 2);
        for (from, to) in self.links_between(&behind) {
            self.one_way(from, to, true);
        }
        let relapse = Relapse { at, life: self.lives[at], behind, away_ms };
        self.later(lag_ms, Act::Relapse(relapse));
    }

    /// Ends all but those who were cut off, who are heard again; and the peer comes back with its backup.
    pub(super) fn turn_back(&mut self, Relapse { at, life, behind, away_ms }: Relapse) {
        for (from, to) in self.links_between(&behind) {
            self.one_way(from, to, false);
        }
        if !self.running[at] || self.lives[at] != life {
            return;
        }
        for other in (0..self.plan.peers).filter(|other| !behind.contains(other)) {
            if self.running[other] {
                self.kill(other);
                let (back, wait_ms) = match other == at {
                    true => (Back::Backup, self.random.below(100)),
                    false => (Back::Disk, away_ms + self.random.below(500)),
                };
                self.later(wait_ms, Act::Return(other, back));
            }
        }
    }

    /// The links between some and all others.
    fn links_between(&self, some: &[usize]) -> Vec<(usize, usize)> {
        let all = some.iter().flat_map(|at| self.links_of(*at));
        all.filter(|(from, to)| some.contains(from) != some.contains(to)).collect()
    }
}
