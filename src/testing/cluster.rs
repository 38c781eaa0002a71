//! Starting, killing and replacing peers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::invariants;
use super::watch::Watch;
use super::world::{SimClock, World};
use crate::id::NodeId;
use crate::identity::DevAuthority;
use crate::peer::{Builder, Peer, StartError, Status, WaitError};
use crate::task::Process;
use crate::transport::{LinkTable, TransportError};

type Setup = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Hosts from here on are for processes that are started beside a running one of their name.
const FIRST_SPARE_HOST: usize = 1000;

/// How long the harness itself waits for a peer to join.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Peers `peer-1` to `peer-N` in one process; `peer-1` is the founder. Indexes count from 0.
pub struct Cluster {
    authority: DevAuthority,
    pub(super) ground: Ground,
    setup: Setup,
    pub(super) watch: Arc<Watch>,
    pub(super) seats: Vec<Seat>,
    /// Processes whose place was given to another, and that go on.
    ghosts: Vec<Ghost>,
    /// Hosts that were ever used, beyond those of the seats.
    more_hosts: usize,
}

struct Ghost {
    peer: Peer,
    machine: Machine,
    dir: PathBuf,
}

/// A node id's place in the cluster, whoever sits there.
pub(super) struct Seat {
    node: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) dir: PathBuf,
    pub(super) peer: Option<Peer>,
    disks: u32,
    /// In a simulation, the machine.
    machine: Option<Machine>,
    /// In a simulation, the number of the host that it is.
    host: usize,
    /// The version of the protocol that the next process here speaks, if it is another one.
    protocol: Option<u16>,
}

/// What a simulated peer runs on.
struct Machine {
    process: Process,
    clock: Arc<SimClock>,
}

/// What a cluster is made of.
pub(super) enum Ground {
    Real { root: tempfile::TempDir, links: LinkTable },
    Simulated(World),
}

impl Ground {
    fn root(&self) -> &Path {
        match self {
            Ground::Real { root, .. } => root.path(),
            Ground::Simulated(_) => Path::new(""),
        }
    }

    fn any_address(&self, host: usize) -> SocketAddr {
        match self {
            Ground::Real { .. } => SocketAddr::from(([127, 0, 0, 1], 0)),
            Ground::Simulated(_) => SocketAddr::new(World::host(host), 0),
        }
    }
}

impl Cluster {
    /// Starts `n` peers, each as `setup` describes it, and waits until all hold their leases and those that are
    /// to vote do: from then on a minority of them may be killed.
    ///
    /// # Errors
    /// If a peer does not start, join or get its vote within [`PATIENCE`].
    pub async fn start(
        n: usize,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let ground = Ground::Real { root: tempfile::tempdir()?, links: LinkTable::new() };
        let cluster = Self::start_on(ground, n, setup).await?;
        for peer in cluster.peers() {
            peer.wait_until(|_| invariants::all_vote(peer), PATIENCE).await?;
        }
        Ok(cluster)
    }

    /// The same in a simulation, where faults may come while the last ones still wait for their votes.
    ///
    /// # Errors
    /// If a peer does not join within [`PATIENCE`] of simulated time.
    pub async fn simulated(
        world: World,
        n: usize,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        Self::start_on(Ground::Simulated(world), n, setup).await
    }

    async fn start_on(
        ground: Ground,
        n: usize,
        setup: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let authority = DevAuthority::create("test")?;
        let watch = Watch::start();
        let mut cluster = Self {
            authority,
            ground,
            setup: Arc::new(setup),
            watch,
            seats: vec![],
            ghosts: vec![],
            more_hosts: FIRST_SPARE_HOST,
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
        let dir = self.ground.root().join(node.as_str()).join("1");
        let any = self.ground.any_address(at);
        self.seats.push(Seat {
            node,
            addr: any,
            dir,
            peer: None,
            disks: 1,
            machine: None,
            host: at,
            protocol: None,
        });
        self.launch(at, any).await?;
        self.joined(at).await?;
        Ok(at)
    }

    /// Waits for a started peer to join. If it does not, what the others know is in the error.
    async fn joined(&self, at: usize) -> Result<(), Failure> {
        let peer = self.peer(at);
        let Err(e) = peer.joined(PATIENCE).await else { return Ok(()) };
        let others: Vec<_> = self
            .peers()
            .filter(|p| p.node_id() != peer.node_id())
            .map(|p| format!("{:?}", p.status()))
            .collect();
        Err(format!("{} does not join: {e:?}; the others: {}", peer.node_id(), others.join("; ")).into())
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
            let seat = &self.seats[at];
            self.end(&peer, seat.machine.as_ref(), &seat.dir);
        }
    }

    fn end(&self, peer: &Peer, machine: Option<&Machine>, dir: &Path) {
        self.watch.look(&peer.shared);
        if let Some(machine) = machine {
            machine.process.kill();
        }
        peer.shared.kill();
        if let Ground::Simulated(world) = &self.ground {
            world.crash(dir);
        }
    }

    /// Stops a peer in good order, but without leaving: its disk is as it was, its actors wait.
    pub async fn stop(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if let Some(peer) = seat.peer.take() {
            seat.addr = peer.status().addr.unwrap_or(seat.addr);
            self.watch.look(&peer.shared);
            peer.shutdown().await;
            if let Ground::Simulated(world) = &self.ground {
                world.close(&seat.dir);
            }
        }
    }

    /// Lets a peer leave the cluster.
    ///
    /// # Errors
    /// If its departure could not be committed within [`PATIENCE`].
    pub async fn leave(&mut self, at: usize) -> Result<(), WaitError> {
        match self.seats[at].peer.take() {
            Some(peer) => peer.leave(PATIENCE).await,
            None => Ok(()),
        }
    }

    /// Moves a peer's actors away, and lets it leave the cluster.
    ///
    /// # Errors
    /// If its departure could not be committed within [`PATIENCE`].
    pub async fn drain(&mut self, at: usize) -> Result<(), WaitError> {
        match self.seats[at].peer.take() {
            Some(peer) => peer.drain(PATIENCE).await,
            None => Ok(()),
        }
    }

    /// Starts a killed peer again on the disk that it left, on another port.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn restart(&mut self, at: usize) -> Result<(), Failure> {
        self.restart_unjoined(at).await?;
        self.joined(at).await
    }

    /// Starts a killed peer again, without waiting until it has joined.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.launch(at, self.ground.any_address(self.seats[at].host)).await
    }

    /// The same, at the address where it was.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_at_same_address_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.launch(at, self.seats[at].addr).await
    }

    /// Starts a process under a killed peer's node id, with an empty disk, on another port.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn replace(&mut self, at: usize) -> Result<(), Failure> {
        self.replace_unjoined(at).await?;
        self.joined(at).await
    }

    /// The same, without waiting until it has joined.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn replace_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.new_disk(at);
        self.launch(at, self.ground.any_address(self.seats[at].host)).await
    }

    /// The same, at the dead one's address.
    ///
    /// # Errors
    /// If it does not start, or join within [`PATIENCE`].
    pub async fn replace_at_same_address(&mut self, at: usize) -> Result<(), Failure> {
        self.replace_at_same_address_unjoined(at).await?;
        self.joined(at).await
    }

    /// The same, without waiting until it has joined.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn replace_at_same_address_unjoined(&mut self, at: usize) -> Result<(), Failure> {
        self.new_disk(at);
        self.launch(at, self.seats[at].addr).await
    }

    /// Points a killed peer at another directory, to be used by the next [`Cluster::restart`].
    pub fn set_dir(&mut self, at: usize, dir: impl Into<PathBuf>) {
        self.seats[at].dir = dir.into();
    }

    /// Which peer has this node id.
    ///
    /// # Panics
    /// If none of this cluster has.
    pub fn index(&self, node: &NodeId) -> usize {
        self.seats.iter().position(|seat| seat.node == *node).expect("a node id of this cluster")
    }

    /// A directory that no peer uses.
    pub fn spare_dir(&mut self, at: usize) -> PathBuf {
        let seat = &mut self.seats[at];
        seat.disks += 1;
        self.ground.root().join(seat.node.as_str()).join(seat.disks.to_string())
    }

    fn new_disk(&mut self, at: usize) {
        self.seats[at].dir = self.spare_dir(at);
    }

    /// Describes a peer of this cluster that the harness does not keep: a namesake, a stranger.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn describe(&self, node: &NodeId, dir: &Path) -> Result<Builder, Failure> {
        let contacts = self.peers().filter_map(|p| p.status().addr);
        let builder = Peer::builder(node.clone())
            .identity(self.authority.issue(node)?)
            .contacts(contacts)
            .observer(self.watch.clone());
        let builder = match &self.ground {
            Ground::Real { links, .. } => builder.data_dir(dir).faults(links.clone()),
            Ground::Simulated(world) => builder.store(Arc::new(world.disk(dir))),
        };
        Ok((self.setup)(builder))
    }

    /// The authority that signs this cluster's certificates.
    pub fn authority(&self) -> &DevAuthority {
        &self.authority
    }

    /// Lets the next process that is started in a killed peer's place be of another release: it speaks another
    /// version of the protocol. The one after that does not.
    pub fn next_speaks(&mut self, at: usize, version: u16) {
        self.seats[at].protocol = Some(version);
    }

    async fn launch(&mut self, at: usize, listen: SocketAddr) -> Result<(), Failure> {
        let protocol = self.seats[at].protocol.take();
        let seat = &self.seats[at];
        let fresh = self.peers().next().is_none();
        let mut builder = self.describe(&seat.node, &seat.dir)?.listen(listen).bootstrap(at == 0 && fresh);
        if fresh {
            // After a power cut the others are where they were, or will be.
            builder = builder.contacts(self.seats.iter().map(|s| s.addr).filter(|a| a.port() != 0));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        builder = protocol.into_iter().fold(builder, Builder::protocol);
        let peer = loop {
            // A killed peer's threads let go of its disk and its port a moment later.
            match self.start_one(at, builder.clone(), listen).await {
                Err(e) if tokio::time::Instant::now() < deadline && is_busy(&e) => {
                    tokio::time::sleep(crate::limits::CONDITION_POLL).await;
                }
                started => break started?,
            }
        };
        self.watch.add(&peer, &self.seats[at].dir, protocol.is_some());
        let seat = &mut self.seats[at];
        seat.addr = peer.status().addr.unwrap_or(listen);
        seat.peer = Some(peer);
        Ok(())
    }

    async fn start_one(
        &mut self,
        at: usize,
        builder: Builder,
        listen: SocketAddr,
    ) -> Result<Peer, StartError> {
        let Ground::Simulated(world) = &self.ground else { return builder.start().await };
        let unbound = |cause| StartError::from(TransportError::Listen { addr: listen, cause });
        let network = world.network().bind(listen).map_err(unbound)?;
        // Another machine, which has been up for another while.
        let machine = Machine {
            process: Process::new(),
            clock: Arc::new(SimClock::new(Duration::from_secs(1000 * (1 + at as u64)))),
        };
        let start = builder.network(network).clock(machine.clock.clone()).start();
        let started = machine.process.spawn(start).await;
        self.seats[at].machine = Some(machine);
        started.map_err(|e| StartError::Machine(e.to_string()))?
    }

    fn machine(&self, at: usize) -> &Machine {
        self.seats[at].machine.as_ref().expect("this peer is simulated, and was started")
    }

    /// Starts a process with an empty disk, on another host, under the node id of a simulated peer that runs and goes
    /// on running: an operator's mistake, or a machine that was thought dead.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn usurp(&mut self, at: usize) -> Result<(), Failure> {
        let seat = &mut self.seats[at];
        if let (Some(peer), Some(machine)) = (seat.peer.take(), seat.machine.take()) {
            self.ghosts.push(Ghost { peer, machine, dir: seat.dir.clone() });
        }
        seat.host = self.more_hosts;
        self.more_hosts += 1;
        self.replace_unjoined(at).await
    }

    /// Those whose place was [given to another](Cluster::usurp), and that go on.
    pub fn ghosts(&self) -> impl Iterator<Item = (&Peer, &Process)> {
        self.ghosts.iter().map(|ghost| (&ghost.peer, &ghost.machine.process))
    }

    /// Whether a process lost its place for good, as far as any running peer knows.
    pub fn is_superseded(&self, process: &Peer) -> bool {
        let newest = |peer: &Peer| peer.status().members.get(process.node_id()).map(|m| m.incarnation);
        let mine = process.status().incarnation;
        mine.is_some() && self.peers().filter_map(newest).max() > mine
    }

    /// Kills those of them that did not lose it: the other waits for that.
    pub fn end_rightful_ghosts(&mut self) {
        let (superseded, rightful) =
            std::mem::take(&mut self.ghosts).into_iter().partition(|ghost| self.is_superseded(&ghost.peer));
        self.ghosts = rightful;
        self.end_ghosts();
        self.ghosts = superseded;
    }

    /// Kills all of them.
    pub fn end_ghosts(&mut self) {
        for Ghost { peer, machine, dir } in std::mem::take(&mut self.ghosts) {
            self.end(&peer, Some(&machine), &dir);
        }
    }

    /// Lets a simulated peer propose an entry that changes nothing. What becomes of it does not matter.
    pub fn write_nothing(&self, at: usize) {
        let shared = self.peer(at).shared.clone();
        let nothing = crate::core::command::Command::DropHolders { items: vec![] };
        drop(self.process(at).spawn(async move { drop(shared.propose(nothing, PATIENCE).await) }));
    }

    /// The host that a simulated peer runs on.
    pub fn host(&self, at: usize) -> std::net::IpAddr {
        World::host(self.seats[at].host)
    }

    /// The process that a simulated peer is: to freeze it, or to run what is to die with it.
    ///
    /// # Panics
    /// If the peer is real, or was never started.
    pub fn process(&self, at: usize) -> Process {
        self.machine(at).process.clone()
    }

    /// A simulated peer's clock.
    ///
    /// # Panics
    /// If the peer is real, or was never started.
    pub fn clock(&self, at: usize) -> Arc<SimClock> {
        self.machine(at).clock.clone()
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
        self.end_ghosts();
        for at in 0..self.seats.len() {
            self.kill(at);
        }
    }
}

fn is_busy(e: &StartError) -> bool {
    use crate::store::StoreError;
    matches!(
        e,
        StartError::Store(StoreError::InUse { .. }) | StartError::Transport(TransportError::Listen { .. })
    )
}
