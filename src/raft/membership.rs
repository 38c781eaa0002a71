//! Single steps of the Raft configuration. Which step is due is decided in the pure core.

use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode, Precondition};
use std::collections::BTreeSet;

use super::consensus::Consensus;
use super::types::TypeConfig;
use super::view::Configuration;
use crate::id::RaftId;

/// A step that did not happen, or only half. The next round of the reconciler looks again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("membership step: {0}")]
pub(crate) struct MembershipError(String);

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

impl From<WriteError> for MembershipError {
    fn from(error: WriteError) -> Self {
        Self(error.to_string())
    }
}

fn raw(ids: &BTreeSet<RaftId>) -> BTreeSet<u64> {
    ids.iter().map(|id| id.0).collect()
}

impl Consensus {
    /// Starts to replicate to a new disk. Returns when that is committed, not when it has caught up.
    pub(crate) async fn add_learner(&self, id: RaftId) -> Result<(), MembershipError> {
        self.raft().add_learner(id.0, EmptyNode::new(), false).await?;
        Ok(())
    }

    /// Swaps voters in one joint change, if the configuration is still the one that was seen.
    pub(crate) async fn swap_voters(
        &self,
        add: &BTreeSet<RaftId>,
        remove: &BTreeSet<RaftId>,
        seen: &Configuration,
    ) -> Result<(), MembershipError> {
        let change = ChangeMembers::Batch(vec![
            ChangeMembers::AddVoterIds(raw(add)),
            ChangeMembers::RemoveVoters(raw(remove)),
        ]);
        self.change(change, seen).await
    }

    /// Completes a joint change that another leader began.
    pub(crate) async fn finish_joint(&self, seen: &Configuration) -> Result<(), MembershipError> {
        let Some(target) = seen.voters.last() else { return Ok(()) };
        self.change(ChangeMembers::ReplaceAllVoters(raw(target)), seen).await
    }

    /// Stops replicating to a learner.
    pub(crate) async fn remove_learner(
        &self,
        id: RaftId,
        seen: &Configuration,
    ) -> Result<(), MembershipError> {
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id.0])), seen).await
    }

    async fn change(
        &self,
        change: ChangeMembers<u64, EmptyNode>,
        seen: &Configuration,
    ) -> Result<(), MembershipError> {
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: seen.since };
        self.raft().change_membership_if(change, false, [unchanged]).await?;
        Ok(())
    }
}
