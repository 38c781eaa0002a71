//! Faults that wait for their moment.

use standin::PhaseStatus;
use standin::limits::DEFAULT_MAX_VOTERS;
use standin::store::{Moment, WriteKind};
use standin::testing::{Process, Weather};
use std::time::Duration;
use tokio::time::Instant;

use super::stage::{Act, Stage};
use crate::plan::{Back, Fault, Situation, Way, Who};

/// How often it is looked whether the moment has come, in milliseconds.
const GLANCE_MS: u64 = 2;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is waited for, by whom it is followed, and until when.
#[derive(Clone)]
pub(super) struct Ambush {
    sign: Sign,
    /// Who led when the wait began.
    leader: Option<usize>,
    then: Then,
    until: Instant,
}

/// A sign that the moment has come.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Is(Situation),
    /// Everybody knows of a newer process than the one of which a peer's disk is backed up.
    Outdated(usize),
}

#[derive(Clone)]
pub(super) enum Then {
    Strike(Fault),
    /// Another machine takes this one's name; it may be cut off before.
    Usurp(usize, Option<Way>, u64),
    /// A machine goes on, and is cut off soon after; where, and who it is.
    Wake(std::net::IpAddr, Process),
    /// Who elected the new leader crashes; that one is cut off, and the old one heard again.
    Forget(usize, u64),
    /// What is acknowledged from now on needs a peer's disk, which then goes back to its backup.
    FallBehind(usize, u64, u64),
}

impl Stage {
    pub(super) fn leader(&self) -> Option<usize> {
        self.leader_but(None)
    }

    /// Who leads, or believes to, beside this one.
    fn leader_but(&self, but: Option<usize>) -> Option<usize> {
        let leads = |at: &usize| self.running[*at] && self.cluster.peer(*at).status().leads;
        (0..self.plan.peers).find(|at| Some(*at) != but && leads(at))
    }

    /// Strikes when the cluster is in a situation.
    pub(super) fn lie_in_wait(&mut self, situation: Situation, fault: Fault) {
        self.wait_for(Sign::Is(situation), Then::Strike(fault));
    }

    pub(super) fn wait_for(&mut self, sign: Sign, then: Then) {
        let leader = self.leader();
        let patience = if self.plan.wide { PATIENCE * 5 } else { PATIENCE };
        let ambush = Ambush { sign, leader, then, until: Instant::now() + patience };
        self.later(GLANCE_MS, Act::Watch(ambush));
    }

    pub(super) async fn watch(&mut self, ambush: Ambush) {
        let has_come = match ambush.sign {
            Sign::Is(situation) => self.is_in(situation, ambush.leader),
            Sign::Outdated(at) => self.leader().is_some() && self.is_backup_outdated(at),
        };
        if !has_come {
            if Instant::now() < ambush.until {
                self.later(GLANCE_MS, Act::Watch(ambush));
            }
            return;
        }
        match ambush.then {
            Then::Strike(fault) => self.begin(fault).await,
            Then::Usurp(at, way, for_ms) => self.usurp(at, way, for_ms).await,
            Then::Wake(host, process) => {
                self.trace.say(format_args!("{host} goes on"));
                process.thaw();
                let soon_ms = 5 + self.random.below(100);
                self.later(soon_ms, Act::CutHost(host));
            }
            Then::Forget(old, for_ms) => self.forgotten(old, for_ms),
            Then::FallBehind(at, lag_ms, away_ms) => self.fall_behind(at, lag_ms, away_ms),
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
            Situation::NewLeader => self.leader_but(before).is_some(),
            Situation::Deciding => {
                (0..self.plan.peers).any(|at| self.running[at] && self.cluster.decides(at))
            }
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
        self.wait_for(Sign::Is(Situation::NewLeader), Then::Usurp(at, Some(Way::Both), for_ms));
    }

    /// A leader is heard by one peer only, and hears old news of the others, until another one leads; then a machine
    /// takes the one peer's name.
    pub(super) fn mislead(&mut self, leader: usize, at: usize, delay_ms: u64, for_ms: u64) {
        if leader == at {
            return;
        }
        let weather = Weather { delay: Duration::from_millis(delay_ms), ..Weather::fair() };
        for other in (0..self.plan.peers).filter(|other| ![leader, at].contains(other)) {
            for (from, to) in [(leader, other), (at, other), (other, at)] {
                self.one_way(from, to, true);
            }
            self.bad_link(other, leader, weather, for_ms + 3000);
        }
        let links: Vec<_> = self.links_of(at).into_iter().chain(self.links_of(leader)).collect();
        self.later(for_ms + 3000, Act::Hear(links));
        self.wait_for(Sign::Is(Situation::NewLeader), Then::Usurp(at, None, for_ms));
    }

    /// A frozen machine goes on when it is decided that another one gets its name.
    pub(super) async fn wake(&mut self, at: usize, for_ms: u64) {
        if !self.may_lose_a_disk(at) {
            return;
        }
        let (host, process) = (self.cluster.host(at), self.cluster.process(at));
        process.freeze();
        self.take_name(at, for_ms + 3000).await;
        self.wait_for(Sign::Is(Situation::Deciding), Then::Wake(host, process));
    }

    /// The leader lets another one lead, and is cut off; those who elect that one crash before they have anything else
    /// from it, and then the old leader is back instead.
    pub(super) fn forget(&mut self, leader: usize, to: u32, for_ms: u64) {
        let others: Vec<usize> =
            (0..self.plan.peers).filter(|at| self.running[*at] && *at != leader).collect();
        let Some(&new) = others.get(to as usize % others.len().max(1)) else { return };
        let slow = Duration::from_millis(if self.plan.wide { 100 } else { 25 });
        for at in others.into_iter().filter(|at| *at != new) {
            self.one_way(leader, at, true);
            self.bad_link(new, at, Weather { delay: slow, ..Weather::fair() }, for_ms);
        }
        self.cluster.hand_over(leader, new);
        self.one_way(new, leader, true);
        self.later(for_ms, Act::Hear(self.links_of(leader)));
        self.wait_for(Sign::Is(Situation::NewLeader), Then::Forget(leader, for_ms));
    }

    fn forgotten(&mut self, old: usize, for_ms: u64) {
        let Some(new) = self.leader_but(Some(old)) else { return };
        for at in (0..self.plan.peers).filter(|at| ![old, new].contains(at)) {
            if self.running[at] {
                self.kill(at);
                let away_ms = 1 + self.random.below(100);
                self.later(away_ms, Act::Return(at, Back::Disk));
            }
        }
        self.links_of(old).iter().for_each(|(from, to)| self.one_way(*from, *to, false));
        self.cut_off(new, Way::Both);
        self.later(for_ms, Act::Hear(self.links_of(new)));
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
