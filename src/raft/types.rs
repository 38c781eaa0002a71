//! The types that openraft is told to use.

use std::fmt;

use crate::core::command::{Command, Response};
use crate::core::proposal::Proposal;

openraft::declare_raft_types!(
    /// `LeaderId` is the standard one: at most one leader a term, so that "decided in this term"
    /// names one leader.
    pub TypeConfig:
        D = Proposal,
        R = Response,
        Node = openraft::impls::EmptyNode,
        AsyncRuntime = super::runtime::Runtime,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

pub(super) type Raft = openraft::Raft<TypeConfig, super::machine::Machine>;
pub(super) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(super) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(super) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(super) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Vec<u8>>;

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Found { .. } => f.write_str("found"),
            Command::Admit(a) => write!(f, "admit {}", a.node),
            Command::MarkDown { node, .. } => write!(f, "mark {node} down"),
            Command::MarkUp { node, .. } => write!(f, "mark {node} up"),
            Command::Leave { node, .. } => write!(f, "{node} leaves"),
            Command::TakeOver { node, .. } => write!(f, "take over from {node}"),
            Command::HandOver { items, .. } => write!(f, "hand over {}", items.len()),
            Command::Create { items, .. } => write!(f, "create {}", items.len()),
            Command::Commit { items, .. } => write!(f, "commit {}", items.len()),
            Command::Restart { actor, .. } => write!(f, "restart {actor}"),
            Command::Revive { actor, .. } => write!(f, "revive {actor}"),
            Command::Stop { actor, .. } => write!(f, "stop {actor}"),
            Command::OpenSession { by, .. } => write!(f, "open a session at {by}"),
            Command::CloseSessions { sessions } => write!(f, "close {} sessions", sessions.len()),
            Command::AddHolders { items, .. } => write!(f, "add {} holders", items.len()),
            Command::DropHolders { items } => write!(f, "drop {} holders", items.len()),
        }
    }
}
