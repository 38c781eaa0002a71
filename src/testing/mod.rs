//! Whole clusters in one process, on real QUIC and real disks, for tests of jobs.
//!
//! ```
//! use standin::actor::Kind;
//! use standin::testing::Cluster;
//! # use serde::{Deserialize, Serialize};
//! # use standin::actor::{Actor, Context, Handler, Message};
//! # #[derive(Serialize, Deserialize)]
//! # struct Counter { n: u64 }
//! # impl Actor for Counter { const KIND: &'static str = "counter"; }
//! # #[derive(Serialize, Deserialize)]
//! # struct Add(u64);
//! # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
//! # impl Handler<Add> for Counter {
//! #     async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 { self.n += n; self.n }
//! # }
//! use standin::Placement;
//! use std::time::Duration;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let patience = Duration::from_secs(20);
//! let mut cluster = Cluster::start(3, |peer| peer.kind(Kind::of::<Counter>().handles::<Add>())).await?;
//! let home = cluster.node(2);
//! let apples = cluster.peer(0).create("apples", Counter { n: 0 }, Placement::On(home)).await?;
//! assert_eq!(cluster.peer(1).ask_durable(&apples, Add(2), patience).await?, 2);
//!
//! cluster.kill(2);                       // no goodbye
//! cluster.replace(2).await?;             // an empty disk, the same node id
//! assert_eq!(cluster.peer(1).ask(&apples, Add(3)).await?, 5);
//! cluster.check_invariants().await?;     // what the library promises, looked at from inside
//! cluster.shutdown().await;
//! # Ok(()) }
//! ```

mod cluster;
mod commits;
mod directory;
mod faults;
mod invariants;
pub mod pieces;
mod watch;
mod world;

pub use crate::prng::Prng;
pub use crate::task::Process;
pub use crate::transport::{HostTraffic, SimNetwork, Traffic, Weather};
pub use cluster::{Cluster, PATIENCE};
pub use commits::commit_nothing;
pub use directory::{Directory, Entry, Snapshot};
pub use invariants::{Violation, per_sender_order};
pub use world::{SimClock, World};

/// How many checkpoints one peer has seen committed, anywhere in the cluster, since it was started.
pub fn checkpoints_committed(peer: &crate::Peer) -> u64 {
    peer.shared.consensus().map_or(0, |consensus| consensus.applied().saves())
}
