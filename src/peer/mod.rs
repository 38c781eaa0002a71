//! One peer: the only place that names every layer, and wires them together.
//!
//! - `lifecycle`: from an empty or used disk to a member of the cluster (`join` asks and answers)
//!   (`old_copy`: what a disk may not do that was restored from a backup)
//! - `heartbeat`: keeps the lease; `reign`: what the leader does (grants, lapses, voters, repairs)
//! - `follow`: reacts to what the log decided; `hosting`: starts and stops actors accordingly
//! - `hand_over`: gives actors to others, and calls them home; `moves`: what users wish of that;
//!   `watch`: tells watchers what became of actors
//! - `local`: actors that need no name and are not to survive
//! - `calls` (`route`: where to), `directory`: what users do; `post`, `session`: reliable messages;
//!   `propose`: gets commands into the log
//! - `serve`, `reach`: the two halves of talking to other peers

mod builder;
mod calls;
mod carry;
mod credit;
mod detour;
mod directory;
mod disk;
mod duties;
mod follow;
mod hand_over;
mod heartbeat;
mod hosting;
mod join;
mod lifecycle;
mod local;
mod moves;
mod old_copy;
mod patience;
mod post;
mod propose;
mod reach;
mod reign;
mod route;
mod serve;
mod session;
mod shared;
mod status;
mod timing;
mod watch;

pub use builder::{Builder, StartError};
pub use directory::{CreateOptions, Placement};
pub use local::{LocalActor, LocalContext, LocalHandler, LocalRef, SpawnError};
pub use session::Session;
pub(crate) use shared::{Shared, lock};
pub use status::{ActorStatus, MemberStatus, PhaseStatus, Status, WaitError};
pub use timing::Timing;
pub use watch::Watcher;

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

use crate::core::event::Event;
use crate::id::NodeId;

/// A running peer: the handle through which a program uses the cluster. Clones are the same peer.
///
/// Dropping the last handle does not stop the peer; [`Peer::shutdown`] and [`Peer::leave`] do.
#[derive(Clone)]
pub struct Peer {
    pub(crate) shared: Arc<Shared>,
}

impl Peer {
    /// Starts to describe a peer. See [`Builder`].
    pub fn builder(node: NodeId) -> Builder {
        Builder::new(node)
    }

    /// This peer's node id.
    pub fn node_id(&self) -> &NodeId {
        &self.shared.node
    }

    /// What happens from now on, as this peer learns of it. A subscriber that falls
    /// [`EVENT_BACKLOG`](crate::limits::EVENT_BACKLOG) behind misses the oldest and is told how many.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Waits until this peer is a member and holds its lease.
    ///
    /// # Errors
    /// [`WaitError`] if that is not so within `deadline`, or can never be.
    pub async fn joined(&self, deadline: Duration) -> Result<(), WaitError> {
        self.wait_until(|status| status.phase == PhaseStatus::Member && status.holds_lease, deadline).await
    }

    /// Leaves the cluster in good order: every actor here writes a last checkpoint, then the peer
    /// gives up its place. Its actors wait for its return, or others [stand in](crate::actor::Down). Stops the peer
    /// whatever the outcome.
    ///
    /// # Errors
    /// If the departure could not be committed within `deadline`; the cluster then finds out by itself.
    pub async fn leave(&self, deadline: Duration) -> Result<(), WaitError> {
        let left = self.shared.leave(deadline).await;
        self.shutdown().await;
        left
    }

    /// Stops this peer, as a crash would but in an orderly way: what was committed stays, its
    /// actors wait for its return, or others [stand in](crate::actor::Down).
    ///
    /// Call it (or [`Peer::leave`]) before the program ends: RocksDB's threads may end it with an error otherwise.
    pub async fn shutdown(&self) {
        self.shared.shutdown().await;
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({})", self.shared.node)
    }
}
