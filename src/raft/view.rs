//! What a peer knows of its Raft group at a moment.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{LogId, TypeConfig};
use crate::id::RaftId;

/// A copy of openraft's metrics in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) me: RaftId,
    pub(crate) term: u64,
    pub(crate) leader: Option<RaftId>,
    pub(crate) last_log: Option<u64>,
    pub(crate) committed: Option<u64>,
    pub(crate) configuration: Configuration,
    /// On the leader: how far each other's log is known to match.
    pub(crate) matched: BTreeMap<RaftId, u64>,
    /// Why consensus stopped for good, if it did: a failed disk, mostly.
    pub(crate) stopped: Option<String>,
}

/// Who votes, who only learns, and since which log entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// One set, or two while a change is under way (joint consensus).
    pub(crate) voters: Vec<BTreeSet<RaftId>>,
    pub(crate) learners: BTreeSet<RaftId>,
    pub(crate) since: Option<LogId>,
}

impl View {
    pub(super) fn of(m: &openraft::RaftMetrics<TypeConfig>) -> Self {
        let membership = m.membership_config.membership();
        let ids = |set: &BTreeSet<u64>| set.iter().copied().map(RaftId).collect();
        Self {
            me: RaftId(m.id),
            term: m.current_term,
            leader: m.current_leader.map(RaftId),
            last_log: m.last_log_index,
            committed: m.cluster_committed.map(|id| id.index),
            configuration: Configuration {
                voters: membership.get_joint_config().iter().map(ids).collect(),
                learners: membership.learner_ids().map(RaftId).collect(),
                since: *m.membership_config.log_id(),
            },
            matched: m
                .replication
                .iter()
                .flatten()
                .filter_map(|(id, log)| Some((RaftId(*id), log.as_ref()?.index)))
                .collect(),
            stopped: m.running_state.as_ref().err().map(ToString::to_string),
        }
    }

    /// Whether this peer believes to lead. Says nothing about whether a quorum agrees *now*.
    pub(crate) fn leads(&self) -> bool {
        self.leader == Some(self.me) && self.stopped.is_none()
    }
}

impl Configuration {
    /// Whether a disk votes in any of the sets.
    pub(crate) fn votes(&self, id: RaftId) -> bool {
        self.voters.iter().any(|set| set.contains(&id))
    }

    /// Whether a disk is part of the group at all.
    pub(crate) fn has(&self, id: RaftId) -> bool {
        self.votes(id) || self.learners.contains(&id)
    }
}
