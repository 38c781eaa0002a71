//! Who should vote: the next step from the Raft configuration that is to the one that should be.
//!
//! A pure function of the member table, so every leader drives to the same end, and goes on where a
//! dead one stopped. One step at a time: the shell does it, guarded by the last membership log id,
//! and asks again.
//!
//! The rules, by rank:
//! 1. A joint configuration is finished first.
//! 2. No change is chosen that would not leave a majority of *living* voters. (Whether the old voters
//!    have one is Raft's to find out: without, nothing commits, whatever is chosen here.)
//! 3. A disk that is gone for good leaves in the same change in which its node's new disk enters.
//!    While that one catches up, the old one stays: it costs little as long as one more voter may die.
//!    If none may, and without the gone ones one may, those leave ahead.
//! 4. Every peer votes, up to `max_voters`. Past that learners stand by: one takes the place of a
//!    voter that stays down. They are spread over zones.

use std::collections::{BTreeMap, BTreeSet};

use super::probe::Voters;
use crate::canary::{Mistake, made};
use crate::id::{NodeId, RaftId};

/// How a member is, as far as votes are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It is `Up`.
    Up,
    /// It is `Down`, and may be back soon.
    Down,
    /// It has been `Down` for so long that a learner should vote in its place.
    DownLong,
}

/// One member that has not left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its current disk.
    pub raft_id: RaftId,
    /// Its `zone` label; empty if it has none.
    pub zone: String,
    /// How it is.
    pub health: Health,
}

/// The Raft configuration in effect: the newest in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// One set, or two while it is joint.
    pub voters: Voters,
    /// Who receives the log and does not vote.
    pub learners: BTreeSet<RaftId>,
    /// Whose disk each id is, retired ones included. One that is missing here belongs to nobody.
    pub owners: BTreeMap<RaftId, NodeId>,
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Leave the joint configuration.
    FinishJoint,
    /// Let this disk receive the log.
    AddLearner(RaftId),
    /// One joint-consensus change: `add` vote, `remove` vote no more. It does not matter whether the
    /// latter stay as learners.
    Swap {
        /// Caught-up learners.
        add: BTreeSet<RaftId>,
        /// Voters.
        remove: BTreeSet<RaftId>,
    },
    /// Let this voter lead: who leads is to vote no more, and must not vote itself out (openraft panics when such a
    /// leader changes anything else).
    HandOver(RaftId),
    /// This learner is nobody's disk any more.
    RemoveLearner(RaftId),
    /// All is as it should be, or must wait.
    Nothing,
}

/// What [`desired`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// All members that have not left.
    pub members: &'a BTreeMap<NodeId, Member>,
    /// The configuration in effect.
    pub config: &'a Config,
    /// Learners that have what the leader had a moment ago.
    pub caught_up: &'a BTreeSet<RaftId>,
    /// This leader's own disk. It is not voted out only to spread zones.
    pub leader: RaftId,
    /// At most so many vote; 0 counts as 1.
    pub max_voters: usize,
}

/// The next step of the reconciler.
pub fn desired(situation: Situation<'_>) -> Step {
    let [voters] = situation.config.voters.as_slice() else {
        let nothing = situation.config.voters.is_empty() || made(Mistake::JointNeverFinished);
        return if nothing { Step::Nothing } else { Step::FinishJoint };
    };
    let plan = Plan::new(situation, voters);
    if let Some(id) = plan.missing_learner() {
        return Step::AddLearner(id);
    }
    let after = plan.clone().settle();
    let add: BTreeSet<RaftId> = after.difference(voters).copied().collect();
    let remove: BTreeSet<RaftId> = voters.difference(&after).copied().collect();
    if !(add.is_empty() && remove.is_empty()) && plan.spare(&after).is_some() {
        if !remove.contains(&situation.leader) {
            return Step::Swap { add, remove };
        }
        let heir = voters.intersection(&after).find(|id| plan.is_living(**id));
        return heir.map_or(Step::Nothing, |id| Step::HandOver(*id));
    }
    plan.stray_learner().map_or(Step::Nothing, Step::RemoveLearner)
}

/// The voters to be, while they are worked out.
#[derive(Debug, Clone)]
struct Plan<'a> {
    situation: Situation<'a>,
    disks: BTreeMap<RaftId, &'a Member>,
    voters: BTreeSet<RaftId>,
}

impl<'a> Plan<'a> {
    fn new(situation: Situation<'a>, voters: &BTreeSet<RaftId>) -> Self {
        let disks = situation.members.values().map(|member| (member.raft_id, member)).collect();
        Self { situation, disks, voters: voters.clone() }
    }

    fn is_living(&self, id: RaftId) -> bool {
        self.disks.get(&id).is_some_and(|member| member.health == Health::Up)
    }

    /// How many more of `voters` may die; `None` if no majority of them lives now.
    fn spare(&self, voters: &BTreeSet<RaftId>) -> Option<usize> {
        let living = voters.iter().filter(|id| self.is_living(**id)).count();
        living.checked_sub(voters.len() / 2 + 1)
    }

    fn max_voters(&self) -> usize {
        self.situation.max_voters.max(1)
    }

    fn missing_learner(&self) -> Option<RaftId> {
        let config = self.situation.config;
        let known = |id: &RaftId| config.learners.contains(id) || self.voters.contains(id);
        self.disks.keys().find(|id| self.is_living(**id) && !known(id)).copied()
    }

    fn stray_learner(&self) -> Option<RaftId> {
        let learners = self.situation.config.learners.iter();
        learners.copied().find(|id| !self.disks.contains_key(id) && !self.voters.contains(id))
    }

    /// A learner that could vote at once.
    fn is_ready(&self, id: RaftId) -> bool {
        let Situation { config, caught_up, .. } = self.situation;
        let standing_by = config.learners.contains(&id) && !self.voters.contains(&id);
        standing_by && caught_up.contains(&id) && self.is_living(id)
    }

    /// The disk that its node has now in place of a voter's that is gone.
    fn successor(&self, gone: RaftId) -> Option<&'a Member> {
        let owner = self.situation.config.owners.get(&gone)?;
        self.situation.members.get(owner)
    }

    fn gone(&self) -> Vec<RaftId> {
        self.voters.iter().copied().filter(|id| !self.disks.contains_key(id)).collect()
    }

    fn settle(mut self) -> BTreeSet<RaftId> {
        self.replace_gone();
        self.shrink();
        while self.voters.len() < self.max_voters() {
            let Some(id) = self.best_ready(None) else { break };
            self.voters.insert(id);
        }
        self.replace_long_down();
        self.spread();
        self.spare_gone();
        self.voters
    }

    fn replace_gone(&mut self) {
        for old in self.gone() {
            match self.successor(old) {
                Some(new) if self.is_ready(new.raft_id) => {
                    self.voters.insert(new.raft_id);
                }
                Some(new) if self.is_awaited(new) => continue,
                _ => {}
            }
            self.voters.remove(&old);
        }
    }

    fn is_awaited(&self, new: &Member) -> bool {
        new.health != Health::DownLong && !self.voters.contains(&new.raft_id)
    }

    /// Too many: the gone go first, then the down, then those of the fullest zone.
    fn shrink(&mut self) {
        while self.voters.len() > self.max_voters() {
            let zones = self.zones();
            let keep = |id: &RaftId| {
                let member = self.disks.get(id);
                let crowd = member.and_then(|member| zones.get(member.zone.as_str())).copied().unwrap_or(0);
                let is_leader = *id == self.situation.leader;
                (member.is_some(), self.is_living(*id), is_leader, std::cmp::Reverse((crowd, *id)))
            };
            let Some(least) = self.voters.iter().copied().min_by_key(keep) else { return };
            self.voters.remove(&least);
        }
    }

    /// How many votes each zone has that has a member at all.
    fn zones(&self) -> BTreeMap<&'a str, usize> {
        let mut zones: BTreeMap<&'a str, usize> = BTreeMap::new();
        for (id, member) in &self.disks {
            *zones.entry(member.zone.as_str()).or_default() += usize::from(self.voters.contains(id));
        }
        zones
    }

    fn votes_in(&self, zone: &str) -> usize {
        self.zones().get(zone).copied().unwrap_or(0)
    }

    /// The ready learner whose zone has the fewest votes, not counting one of `instead_of`.
    fn best_ready(&self, instead_of: Option<&Member>) -> Option<RaftId> {
        let zones = self.zones();
        let crowd = |member: &Member| {
            let votes = zones.get(member.zone.as_str()).copied().unwrap_or(0);
            votes - usize::from(votes > 0 && instead_of.is_some_and(|other| other.zone == member.zone))
        };
        let ready = self.disks.iter().filter(|(id, _)| self.is_ready(**id));
        ready.min_by_key(|(id, member)| (crowd(member), **id)).map(|(id, _)| *id)
    }

    fn replace_long_down(&mut self) {
        let down: Vec<(RaftId, &Member)> = self
            .disks
            .iter()
            .map(|(id, member)| (*id, *member))
            .filter(|(id, member)| member.health == Health::DownLong && self.voters.contains(id))
            .collect();
        for (id, member) in down {
            let Some(better) = self.best_ready(Some(member)) else { return };
            self.voters.remove(&id);
            self.voters.insert(better);
        }
    }

    /// Moves one vote from the fullest zone to the emptiest, if that evens them out.
    fn spread(&mut self) {
        let Some(new) = self.best_ready(None) else { return };
        let Some(zone) = self.disks.get(&new).map(|member| member.zone.as_str()) else { return };
        let movable = |id: &RaftId| self.is_living(*id) && *id != self.situation.leader;
        let crowd = |id: &RaftId| self.disks.get(id).map_or(0, |member| self.votes_in(&member.zone));
        let Some(old) = self.voters.iter().copied().filter(movable).max_by_key(|id| (crowd(id), *id)) else {
            return;
        };
        if crowd(&old) >= self.votes_in(zone) + 2 {
            self.voters.remove(&old);
            self.voters.insert(new);
        }
    }

    /// If not one more voter may die, and without the gone ones one may, they do not stay.
    fn spare_gone(&mut self) {
        let without: BTreeSet<RaftId> =
            self.voters.iter().copied().filter(|id| self.disks.contains_key(id)).collect();
        if self.spare(&self.voters) == Some(0) && self.spare(&without) > Some(0) {
            self.voters = without;
        }
    }
}

#[cfg(test)]
#[path = "voters_tests.rs"]
mod tests;
