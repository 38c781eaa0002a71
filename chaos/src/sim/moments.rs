//! Faults that wait for their moment.

use standin::PhaseStatus;
use standin::limits::DEFAULT_MAX_VOTERS;
use standin::store::{Moment, WriteKind};
use std::time::Duration;
use tokio::time::Instant;

use super::stage::{Act, Stage};
use crate::plan::{Back, Fault, Situation, Way, Who};

/// How often it is looked whether the moment has come, in milliseconds.
const GLANCE_MS: u64 = 2;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is waited for, by whom it is followed, and until when.
#[derive(Debug, Clone)]
pub(super) struct Ambush {
    situation: Situation,
    /// Who led when the wait began.
    leader: Option<usize>,
    then: Then,
    until: Instant,
}

#[derive(Debug, Clone)]
enum Then {
    Strike(Fault),
    /// Another machine takes this one's name.
    Usurp(usize, u64),
}

impl Stage {
    pub(super) fn leader(&self) -> Option<usize> {
        (0..self.plan.peers).find(|at| self.running[*at] && self.cluster.peer(*at).status().leads)
    }

    /// Strikes when the cluster is in a situation.
    pub(super) fn lie_in_wait(&mut self, situation: Situation, fault: Fault) {
        self.wait_for(situation, Then::Strike(fault));
    }

    fn wait_for(&mut self, situation: Situation, then: Then) {
        let leader = self.leader();
        let ambush = Ambush { situation, leader, then, until: Instant::now() + PATIENCE };
        self.later(GLANCE_MS, Act::Watch(ambush));
    }

    pub(super) async fn watch(&mut self, ambush: Ambush) {
        if !self.is_in(ambush.situation, ambush.leader) {
            if Instant::now() < ambush.until {
                self.later(GLANCE_MS, Act::Watch(ambush));
            }
            return;
        }
        match ambush.then {
            Then::Strike(fault) => self.begin(fault).await,
            Then::Usurp(at, for_ms) => self.usurp(at, Way::Both, for_ms).await,
        }
    }

    fn is_in(&self, situation: Situation, before: Option<usize>) -> bool {
        let mut statuses =
            (0..self.plan.peers).filter(|at| self.running[*at]).map(|at| self.cluster.peer(at).status());
        let voters = self.plan.peers.min(DEFAULT_MAX_VOTERS);
        match situation {
            Situation::Joint => statuses.any(|status| status.joint),
            Situation::Joining => statuses.any(|status| status.phase == PhaseStatus::Joining),
            Situation::Leaderless => self.leader().is_none(),
            Situation::NewLeader => self.leader().is_some_and(|leader| Some(leader) != before),
            Situation::Learning => statuses
                .any(|status| status.leads && status.members.values().filter(|m| m.votes).count() < voters),
        }
    }

    /// The leader lets another one lead, while somebody hears nobody but the old one; whose name then is taken.
    pub(super) fn overthrow(&mut self, who: Who, to: u32, for_ms: u64) {
        let (Some(leader), Some(at)) = (self.leader(), self.find(who)) else { return };
        let others: Vec<usize> =
            (0..self.plan.peers).filter(|x| self.running[*x] && *x != leader && *x != at).collect();
        if leader == at || others.is_empty() {
            return;
        }
        for (from, to) in self.links_of(at) {
            if from != leader && to != leader {
                self.one_way(from, to, true);
            }
        }
        self.later(for_ms + 3000, Act::Hear(self.links_of(at)));
        self.cluster.hand_over(leader, others[to as usize % others.len()]);
        self.wait_for(Situation::NewLeader, Then::Usurp(at, for_ms));
    }

    /// Lets a process end at a moment around its next write of a kind.
    pub(super) fn set_trap(&mut self, at: usize, write: WriteKind, moment: Moment, away_ms: u64) {
        let (process, told, life) = (self.cluster.process(at), self.traps.clone(), self.lives[at]);
        let spring = move || {
            process.kill();
            // One that does not fit is one of many at the same instant.
            told.try_send((at, life, away_ms)).unwrap_or(());
        };
        self.world.disk(self.cluster.dir(at)).crash_at(write, moment, spring);
    }

    /// A process ended in such a trap.
    pub(super) fn trapped(&mut self, (at, life, away_ms): (usize, u64, u64)) {
        if self.running[at] && self.lives[at] == life {
            self.trace.say(format_args!("peer-{} ended at its moment", at + 1));
            self.kill(at);
            self.later(away_ms, Act::Return(at, Back::Disk));
        }
    }
}
