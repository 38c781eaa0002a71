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
//! cluster.shutdown().await;
//! # Ok(()) }
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::actor::Observer;
use crate::id::NodeId;
use crate::identity::DevAuthority;
use crate::peer::{Builder, Peer, Status, WaitError};
use crate::transport::LinkTable;

type Setup = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long the harness itself waits for a peer to join.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Peers `peer-1` to `peer-N` in one process; `peer-1` is the founder. Indexes count from 0.
pub struct Cluster {
    authority: DevAuthority,
    root: tempfile::TempDir,
    links: LinkTable,
    setup: Setup,
    observer: Option<Arc<dyn Observer>>,
    seats: Vec<Seat>,
}

struct Seat {
    node: NodeId,
    addr: SocketAddr,
    dir: PathBuf,
    peer: Option<Peer>,
    lives: u32,
}

impl Cluster {
    /// Starts `n` peers, each as `setup` describes it, and waits until all hold their leases.
    ///
    /// # Errors
    /// If a peer does not start or join within [`PATIENCE`].
    pub async fn start(
        n: usize,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        Self::start_observed(n, None, setup).await
    }

    /// The same, and `observer` sees every poll of a handler.
    #[doc(hidden)]
    pub async fn start_observed(
        n: usize,
        observer: Option<Arc<dyn Observer>>,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let authority = DevAuthority::create("test")?;
        let root = tempfile::tempdir()?;
        let mut cluster = Self {
            authority,
            root,
            links: LinkTable::new(),
            setup: Arc::new(setup),
            observer,
            seats: vec![],
        };
        for _ in 0..n {
            cluster.add().await?;
        }
        Ok(cluster)
    }

    /// Adds one more peer, with a name of its own, and waits until it holds its lease.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn add(&mut self) -> Result<usize, Failure> {
        let at = self.seats.len();
        let node = NodeId::new(format!("peer-{}", at + 1))?;
        let dir = self.root.path().join(node.as_str()).join("1");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.seats.push(Seat { node, addr: any, dir, peer: None, lives: 1 });
        self.launch(at, any).await?;
        self.peer(at).joined(PATIENCE).await?;
        Ok(at)
    }

    /// A running peer.
    ///
    /// # Panics
    /// If it was killed and not started again.
    pub fn peer(&self, at: usize) -> &Peer {
        self.seats[at].peer.as_ref().expect("this peer was killed and not started again")
    }

    /// All running peers.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.seats.iter().filter_map(|seat| seat.peer.as_ref())
    }

    /// A peer's node id.
    pub fn node(&self, at: usize) -> NodeId {
        self.seats[at].node.clone()
    }

    /// A peer's data directory.
    pub fn dir(&self, at: usize) -> &Path {
        &self.seats[at].dir
    }

    /// Which peer leads, as far as the others agree, waiting for one if there is none.
    ///
    /// # Errors
    /// [`WaitError`] if there is none within [`PATIENCE`].
    pub async fn leader(&self) -> Result<usize, WaitError> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let leading = |seat: &Seat| seat.peer.as_ref().is_some_and(|p| p.status().leads);
            if let Some(at) = self.seats.iter().position(leading) {
                return Ok(at);
            }
            if tokio::time::Instant::now() >= end {
                return Err(WaitError::Undecided("nobody leads".into()));
            }
            tokio::time::sleep(crate::limits::CONDITION_POLL).await;
        }
    }

    /// Waits until a condition holds on every running peer.
    ///
    /// # Errors
    /// [`WaitError`] of the first peer on which it does not.
    pub async fn wait_all(
        &self,
        condition: impl Fn(&Status) -> bool,
        deadline: Duration,
    ) -> Result<(), WaitError> {
        for peer in self.peers() {
            peer.wait_until(&condition, deadline).await?;
        }
        Ok(())
    }

    /// Ends a peer as a crash would: no goodbye, not a packet more.
    pub fn kill(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if let Some(peer) = seat.peer.take() {
            seat.addr = peer.status().addr.unwrap_or(seat.addr);
            peer.shared.kill();
        }
    }

    /// Starts a killed peer again on the disk that it left, on another port.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn restart(&mut self, at: usize) -> Result<(), Failure> {
        self.launch(at, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(self.peer(at).joined(PATIENCE).await?)
    }

    /// Starts a killed peer again, without waiting until it has joined.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.launch(at, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a process under a killed peer's node id, with an empty disk, on another port.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn replace(&mut self, at: usize) -> Result<(), Failure> {
        self.replace_unjoined(at).await?;
        Ok(self.peer(at).joined(PATIENCE).await?)
    }

    /// The same, without waiting until it has joined.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn replace_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.new_disk(at);
        self.launch(at, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same, at the dead one's address.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn replace_at_same_address(&mut self, at: usize) -> Result<(), Failure> {
        self.new_disk(at);
        let addr = self.seats[at].addr;
        self.launch(at, addr).await?;
        Ok(self.peer(at).joined(PATIENCE).await?)
    }

    /// Points a killed peer at another directory, to be used by the next [`Cluster::restart`].
    pub fn set_dir(&mut self, at: usize, dir: PathBuf) {
        self.seats[at].dir = dir;
    }

    fn new_disk(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        seat.lives += 1;
        seat.dir = self.root.path().join(seat.node.as_str()).join(seat.lives.to_string());
    }

    /// Describes a peer of this cluster that the harness does not keep: a namesake, a stranger.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn describe(&self, node: &NodeId, dir: &Path) -> Result<Builder, Failure> {
        let contacts = self.peers().filter_map(|p| p.status().addr);
        let builder = Peer::builder(node.clone())
            .identity(self.authority.issue(node)?)
            .data_dir(dir)
            .contacts(contacts)
            .faults(self.links.clone());
        Ok((self.setup)(builder))
    }

    /// The authority that signs this cluster's certificates.
    pub fn authority(&self) -> &DevAuthority {
        &self.authority
    }

    async fn launch(&mut self, at: usize, listen: SocketAddr) -> Result<(), Failure> {
        let seat = &self.seats[at];
        let fresh = self.peers().next().is_none();
        let mut builder = self.describe(&seat.node, &seat.dir)?.listen(listen).bootstrap(at == 0 && fresh);
        if fresh {
            // After a power cut the others are where they were, or will be.
            builder = builder.contacts(self.seats.iter().map(|s| s.addr).filter(|a| a.port() != 0));
        }
        if let Some(observer) = &self.observer {
            builder = builder.observer(observer.clone());
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let peer = loop {
            // A killed peer's threads let go of its disk and its port a moment later.
            match builder.clone().start().await {
                Err(e) if tokio::time::Instant::now() < deadline && is_busy(&e) => {
                    tokio::time::sleep(crate::limits::CONDITION_POLL).await;
                }
                started => break started?,
            }
        };
        let seat = &mut self.seats[at];
        seat.addr = peer.status().addr.unwrap_or(listen);
        seat.peer = Some(peer);
        Ok(())
    }

    fn addr(&self, at: usize) -> SocketAddr {
        self.seats[at].peer.as_ref().and_then(|p| p.status().addr).unwrap_or(self.seats[at].addr)
    }

    /// Cuts the link between two peers, both ways.
    pub fn cut(&self, a: usize, b: usize) {
        self.links.cut(self.addr(a), self.addr(b));
    }

    /// Cuts a peer off from all others.
    pub fn isolate(&self, at: usize) {
        (0..self.seats.len()).filter(|other| *other != at).for_each(|other| self.cut(at, other));
    }

    /// Mends the link between two peers.
    pub fn heal(&self, a: usize, b: usize) {
        self.links.heal(self.addr(a), self.addr(b));
    }

    /// Mends all links.
    pub fn heal_all(&self) {
        self.links.heal_all();
    }

    /// Stops all peers in good order.
    pub async fn shutdown(&mut self) {
        for seat in &mut self.seats {
            if let Some(peer) = seat.peer.take() {
                peer.shutdown().await;
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.seats.len() {
            self.kill(at);
        }
    }
}

fn is_busy(e: &crate::peer::StartError) -> bool {
    use crate::peer::StartError;
    use crate::store::StoreError;
    use crate::transport::TransportError;
    matches!(
        e,
        StartError::Store(StoreError::InUse { .. }) | StartError::Transport(TransportError::Listen { .. })
    )
}
