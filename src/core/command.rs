//! What goes into the Raft log, and what applying it answers.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::disks::Disks;
use crate::id::{ActorId, ClusterId, Epoch, Incarnation, NodeId, RaftId};
use crate::limits::MAX_SHORT_COPY_BYTES;

/// A change of the replicated state. `term` fields name the Raft term in which a leader decided;
/// an entry that lands in the log under another term changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first entry of a cluster's life.
    Found { cluster_id: ClusterId, settings: Settings },
    /// A process takes (or takes over) a node id.
    Admit(Admit),
    /// A member's lease has certainly ended.
    MarkDown { node: NodeId, incarnation: Incarnation, term: u64, silent_ms: u64 },
    /// A member that was down, and that nobody replaced, is heard of again.
    MarkUp { node: NodeId, incarnation: Incarnation, term: u64 },
    /// A member leaves in good order.
    Leave { node: NodeId, incarnation: Incarnation },
    /// A member has been away for so long, at least: others run those of its actors that wait no longer.
    TakeOver { node: NodeId, incarnation: Incarnation, term: u64, away_ms: u64 },
    /// `by` has ended activations for good, each with a durable checkpoint, so that other peers may go on with them.
    HandOver { by: Incarnation, items: Vec<HandOver> },
    /// Actors come into being at `by`. Each starts to run with its first committed checkpoint.
    Create { by: Incarnation, items: Vec<Create> },
    /// Checkpoints of actors that `by` hosts become the ones to restore from.
    Commit { by: Incarnation, items: Vec<Commit> },
    /// An actor whose handler panicked goes back to its checkpoint, under a new epoch; or not, after too many panics.
    Restart { by: Incarnation, actor: ActorId, epoch: Epoch, gives_up: bool },
    /// An actor that panicked too often is to run again.
    Revive { actor: ActorId, life: u64 },
    /// An actor ends. `life` guards against ending a namesake that was created since. Its name is free once it surely
    /// runs nowhere: when its host says so, which is `by` then, or holds no lease any more.
    Stop { actor: ActorId, life: u64, by: Option<Incarnation> },
    /// A client at `by` is to send reliably; with a session's number it goes on with that one.
    OpenSession { by: Incarnation, nonce: u128, resume: Option<u64> },
    /// Clients send no more. Receivers forget them.
    CloseSessions { sessions: Vec<u64> },
    /// Disks that hold valid copies of committed checkpoints.
    AddHolders { items: Vec<Held>, repair: bool },
    /// Disks that answered that they hold no valid copy.
    DropHolders { items: Vec<Held> },
}

impl Command {
    /// Whether it may change which process runs which actor, or which processes are up.
    pub fn may_place(&self) -> bool {
        use Command as C;
        match self {
            C::Commit { .. } | C::AddHolders { .. } | C::DropHolders { .. } => false,
            C::OpenSession { .. } | C::CloseSessions { .. } => false,
            C::Found { .. } | C::Admit(_) | C::MarkDown { .. } | C::MarkUp { .. } | C::Leave { .. } => true,
            C::TakeOver { .. } | C::HandOver { .. } | C::Create { .. } | C::Restart { .. } => true,
            C::Revive { .. } | C::Stop { .. } => true,
        }
    }
}

/// Values that all peers of a cluster share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// How long a granted lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// How many peers vote at most.
    pub max_voters: usize,
}

/// See [`Command::Admit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    pub node: NodeId,
    pub addr: SocketAddr,
    /// The disk the process brings, if the leader found it to be the node's current one.
    pub raft_id: Option<RaftId>,
    /// Drawn once per process: the same nonce gets the first answer again.
    pub nonce: u128,
    pub kinds: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    /// The incarnation whose lease the leader saw end; none for a node id never seen.
    pub replaces: Option<Incarnation>,
    pub term: u64,
    /// For how long, at least, nothing was heard of the incarnation that this one replaces.
    pub silent_ms: u64,
}

/// One actor of [`Command::Create`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    pub actor: ActorId,
    /// Drawn once per call of `create`: the same nonce gets the first answer again.
    pub nonce: u128,
    /// See [`Actor::stand_in_ms`](super::state::Actor::stand_in_ms).
    pub stand_in_ms: Option<u32>,
}

/// One actor of [`Command::HandOver`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    pub actor: ActorId,
    /// The activation that has ended.
    pub epoch: Epoch,
    /// Who is to run it. If that one cannot, it begins anew where it was.
    pub to: NodeId,
    /// Whether it stays there although its home is up.
    pub by_hand: bool,
}

/// One checkpoint of [`Command::Commit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub actor: ActorId,
    pub epoch: Epoch,
    pub checkpoint: Checkpoint,
    /// How many holders other than the host's own disk it must have. At least one, whatever stands here, where the
    /// cluster has other members and the kind wants copies at all.
    pub required: u8,
}

/// A durable checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    pub seq: u64,
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
    pub length: u64,
    /// How many other peers should hold a copy.
    pub copies: u8,
    /// Disks that have acknowledged a durable copy.
    pub holders: Disks,
}

impl Checkpoint {
    /// Whether a copy of it is worth asking for all at once.
    pub fn is_short(&self) -> bool {
        self.length <= MAX_SHORT_COPY_BYTES as u64
    }
}

/// One copy of one checkpoint, in [`Command::AddHolders`] and [`Command::DropHolders`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub actor: ActorId,
    pub epoch: Epoch,
    pub seq: u64,
    pub holder: RaftId,
}

/// What applying a command answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done; nothing more to say.
    Done,
    /// Nothing changed, for this reason.
    Refused(Refused),
    /// See [`Command::Admit`].
    Admitted(Admission),
    /// See [`Command::OpenSession`].
    Session(u64),
    /// One answer per item of [`Command::Create`], [`Command::Commit`] or [`Command::HandOver`].
    Items(Vec<Result<Epoch, Refused>>),
}

/// A process's place in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Admission {
    pub incarnation: Incarnation,
    pub raft_id: RaftId,
}

/// Why applying a command changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    #[error("decided in another term")]
    OtherTerm,
    #[error("a newer incarnation was admitted")]
    NewerIncarnation,
    #[error("no such member, or not the one it names")]
    NoSuchMember,
    #[error("too many members")]
    TooManyMembers,
    #[error("the cluster exists already")]
    Founded,
    #[error("the founder is not a member yet")]
    NotFounded,
    #[error("there is no such actor")]
    NoSuchActor,
    #[error("an actor of that name exists already")]
    AlreadyExists,
    #[error("an older epoch than the actor's")]
    StaleEpoch,
    #[error("not newer than the committed checkpoint")]
    OldSeq,
    #[error("there is no such session, or it was closed")]
    NoSuchSession,
    #[error("too many sessions")]
    TooManySessions,
    #[error("too few copies on disks that still count")]
    TooFewCopies,
    #[error("the directory holds as many actors as it may; stop some first")]
    TooManyActors,
}
