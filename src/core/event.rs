//! What a peer tells its user about the cluster.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::session::Sender;
use crate::id::{ActorId, Epoch, Incarnation, NodeId};

/// Something happened that a job may want to know of. Fields that end in `_ms` are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A node was admitted for the first time, came back from down, or came back after it had left.
    PeerUp {
        /// Which node.
        node: NodeId,
        /// Its process.
        incarnation: Incarnation,
    },
    /// A node's lease ran out: its actors run nowhere until it is back or replaced.
    PeerDown {
        /// Which node.
        node: NodeId,
        /// Its process.
        incarnation: Incarnation,
        /// For how long, at least, no leader had heard of it: a new one counts from its election.
        silent_ms: u64,
    },
    /// A new process took over a node id.
    PeerReplaced {
        /// Which node.
        node: NodeId,
        /// The process that had the node id before.
        old: Incarnation,
        /// The one that has it now.
        new: Incarnation,
        /// Whether it brought no usable disk.
        fresh_disk: bool,
        /// For how long, at least, no leader had heard of the old one: a new one counts from its election.
        silent_ms: u64,
    },
    /// A node left in good order; its actors wait for its return.
    PeerLeft {
        /// Which node.
        node: NodeId,
    },
    /// Another peer leads.
    LeaderChanged {
        /// Who leads; nobody, if this peer knows of none.
        leader: Option<NodeId>,
        /// The Raft term.
        term: u64,
    },
    /// This peer runs an actor again.
    ActorRecovered {
        /// Which actor.
        actor: ActorId,
        /// Under which activation it runs now.
        epoch: Epoch,
        /// The checkpoint whose state it has. What it did after that one is undone.
        from_seq: u64,
        /// From the last sign of its host until now, at least.
        downtime_ms: u64,
    },
    /// This peer runs an actor that another one ran before, with all that it had done there.
    ActorMoved {
        /// Which actor.
        actor: ActorId,
        /// Under which activation it runs now.
        epoch: Epoch,
        /// The checkpoint whose state it has: the last one that it wrote where it was.
        from_seq: u64,
        /// For how long it ran nowhere, as far as this peer knows: since the log decided that it runs here.
        downtime_ms: u64,
    },
    /// Other peers run actors of a node that is away, until it is back.
    TakenOver {
        /// Which node.
        node: NodeId,
        /// How many of its actors.
        actors: u64,
    },
    /// Actors moved from one living peer to another, with all that they had done: home again, or by a user's wish.
    HandedOver {
        /// Who ran them.
        from: NodeId,
        /// Who runs them now.
        to: NodeId,
        /// How many.
        actors: u64,
    },
    /// An actor's handlers panicked too often: it does not run until it is [revived](crate::Peer::revive).
    ActorFailed {
        /// Which actor.
        actor: ActorId,
    },
    /// No copy of an actor's checkpoint is left anywhere.
    ActorLost {
        /// Which actor.
        actor: ActorId,
    },
    /// A reliable message was refused at this peer because its sender's outbox is full: the receivers are slow or away.
    Stalled {
        /// Whose outbox.
        actor: ActorId,
    },
    /// A reliable message was put aside at this peer, and is not handled again.
    DeadLetter {
        /// For whom it was.
        actor: ActorId,
        /// Who sent it.
        from: Sender,
        /// The message's name.
        message: String,
        /// Its handler panicked too often, or it does not decode.
        why: String,
    },
    /// Reliable messages that were sent from this peer did not arrive, because their receiver has ended.
    Undelivered {
        /// Who sent them.
        from: Sender,
        /// To whom.
        to: ActorId,
        /// How many.
        messages: u64,
    },
    /// Copies of checkpoints that had been lost with a disk were made again.
    CopiesRepaired {
        /// How many.
        count: u64,
    },
    /// This peer holds no lease: its actors pause.
    LeasePaused,
    /// This peer holds its lease again: its actors go on.
    LeaseResumed,
    /// A living process has this peer's node id; this peer waits and asks again.
    NodeIdInUse {
        /// Where that process accepts connections.
        addr: SocketAddr,
        /// Which process it is.
        incarnation: Incarnation,
        /// When this peer asks again.
        retry_after_ms: u64,
    },
    /// This peer's disk is an older copy: a newer process ran on it than it knows of. It does not vote, and waits
    /// until a leader admits it as if its disk were empty.
    OldDisk {
        /// That newer process, or one that came even later.
        newest: Incarnation,
    },
    /// A newer process of this node id was admitted; this peer's actors have stopped for good.
    Retired {
        /// The newer process.
        by: Incarnation,
    },
    /// This peer cannot go on, and only an operator can help: its disk fails, or it was refused.
    Failed {
        /// Why.
        why: String,
    },
}
