//! What a peer tells its user about the cluster.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use crate::id::{ActorId, Epoch, Incarnation, NodeId};

/// Something happened that a job may want to know of. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A node was admitted for the first time, came back from down, or came back after it had left.
    PeerUp { node: NodeId, incarnation: Incarnation },
    /// A node's lease ran out: its actors run nowhere until it is back or replaced.
    PeerDown { node: NodeId, incarnation: Incarnation, silent_ms: u64 },
    /// A new process took over a node id. `fresh_disk` tells whether it brought no usable disk.
    PeerReplaced { node: NodeId, old: Incarnation, new: Incarnation, fresh_disk: bool, silent_ms: u64 },
    /// A node left in good order; its actors wait for its return.
    PeerLeft { node: NodeId },
    /// Another peer leads, or nobody that this peer knows of.
    LeaderChanged { leader: Option<NodeId>, term: u64 },
    /// This peer runs an actor again, from the state of checkpoint `from_seq`.
    ActorRecovered { actor: ActorId, epoch: Epoch, from_seq: u64, downtime_ms: u64 },
    /// No copy of an actor's checkpoint is left anywhere.
    ActorLost { actor: ActorId },
    /// Copies of checkpoints that had been lost with a disk were made again.
    CopiesRepaired { count: u64 },
    /// This peer holds no lease: its actors pause.
    LeasePaused,
    /// This peer holds its lease again: its actors go on.
    LeaseResumed,
    /// A living process has this peer's node id; this peer waits and asks again.
    NodeIdInUse { addr: SocketAddr, incarnation: Incarnation, retry_after_ms: u64 },
    /// A newer process of this node id was admitted; this peer's actors have stopped for good.
    Retired { by: Incarnation },
}
