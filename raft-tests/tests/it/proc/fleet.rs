//! A cluster of processes: each with a directory, a port and a certificate of its own.

use standin::Standing;
use standin::actor::Actor;
use standin::id::{ActorId, NodeId, RaftId};
use standin::identity::DevAuthority;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

use super::actors::Keeper;
use super::evidence::{Evidence, Told};
use super::process::{LOOK_EVERY, Process};
use super::words::{Answer, PeerRole, Sight, Want};
use crate::support::{PATIENCE, logs};

pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Peers `peer-1` to `peer-N`; `peer-1` founded the cluster. Indexes count from 0.
pub struct Fleet {
    authority: DevAuthority,
    root: TempDir,
    seats: Vec<Seat>,
    disks: BTreeMap<RaftId, PathBuf>,
    pub evidence: Arc<Evidence>,
}

struct Seat {
    node: NodeId,
    dir: PathBuf,
    lives: u32,
    addr: SocketAddr,
    environment: Vec<(&'static str, &'static str)>,
    process: Option<Process>,
}

/// Where a restarted peer listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Same,
    Other,
}

impl Fleet {
    /// Starts `n` peers, and waits until all hold their leases.
    pub async fn start(n: usize) -> Self {
        Self::start_with(n, &[]).await
    }

    /// The same; `odd` are additions to the environment of some.
    pub async fn start_with(n: usize, odd: &[(usize, &[(&'static str, &'static str)])]) -> Self {
        logs();
        let root = tempfile::tempdir().unwrap();
        let evidence = Arc::new(Evidence::new(root.path().join("journal")));
        let authority = DevAuthority::create("test").unwrap();
        let seats = (1..=n).map(|number| {
            let node = NodeId::new(format!("peer-{number}")).unwrap();
            let dir = root.path().join(node.as_str()).join("1");
            let environment = odd.iter().find(|(at, _)| at + 1 == number).map_or(vec![], |(_, e)| e.to_vec());
            Seat { node, dir, lives: 1, addr: ANY_PORT, environment, process: None }
        });
        let seats = seats.collect();
        let mut fleet = Self { authority, root, seats, disks: BTreeMap::new(), evidence };
        for at in 0..n {
            fleet.spawn(at, ANY_PORT).await;
            if at == 0 {
                fleet.process(0).joined().await;
            }
        }
        fleet.joined().await;
        fleet
    }

    pub fn process(&self, at: usize) -> &Process {
        self.seats[at].process.as_ref().expect("it runs")
    }

    pub fn node(&self, at: usize) -> NodeId {
        self.seats[at].node.clone()
    }

    pub fn dir(&self, at: usize) -> PathBuf {
        self.seats[at].dir.clone()
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.seats.iter().enumerate().filter_map(|(at, seat)| Some((at, seat.process.as_ref()?)))
    }

    /// Any peer that runs, other than one.
    pub fn other_than(&self, at: usize) -> Process {
        self.running().find(|(other, _)| *other != at).map(|(_, p)| p.clone()).expect("another runs")
    }

    /// What a new process for a node is to be.
    pub fn role(&self, at: usize, dir: PathBuf, listen: SocketAddr) -> PeerRole {
        let seat = &self.seats[at];
        let id = self.authority.issue(&seat.node).unwrap();
        let living: Vec<_> =
            self.running().filter(|(other, _)| *other != at).map(|(_, p)| p.addr()).collect();
        // With nobody there, where they were: they may come back.
        let known = self.seats.iter().map(|s| s.addr).filter(|addr| addr.port() != 0);
        PeerRole {
            node: seat.node.clone(),
            identity: (id.chain_pem().into(), id.key_pem().into(), id.roots_pem().into()),
            dir,
            listen,
            bootstrap: at == 0 && living.is_empty(),
            contacts: if living.is_empty() { known.collect() } else { living },
            journal: self.evidence.journal().clone(),
        }
    }

    async fn spawn(&mut self, at: usize, listen: SocketAddr) {
        let role = self.role(at, self.dir(at), listen);
        let process = Process::start(role, &self.seats[at].environment).await;
        let process = process.unwrap_or_else(|why| panic!("{}: {why}", self.seats[at].node));
        self.seats[at].addr = process.addr();
        self.seats[at].process = Some(process);
    }

    /// Waits until all that run are members, and notes their disks.
    pub async fn joined(&mut self) {
        let running: Vec<_> = self.running().map(|(at, p)| (at, p.clone())).collect();
        for (at, process) in running {
            let sight = process.joined().await;
            let Some(me) = sight.status.members.get(process.node()) else { continue };
            let dir = self.dir(at);
            let first = self.disks.entry(me.raft_id).or_insert_with(|| dir.clone());
            assert_eq!(*first, dir, "{} was given to two disks", me.raft_id);
        }
    }

    /// Which peer leads, by its own word and that of a quorum.
    pub async fn leader(&self) -> usize {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            for (at, process) in self.running() {
                if process.look().await.is_some_and(|sight| sight.status.leads && sight.status.holds_lease) {
                    return at;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("nobody leads");
    }

    /// SIGKILL.
    pub async fn kill(&mut self, at: usize) {
        let process = self.seats[at].process.take().expect("it runs");
        process.kill();
        process.wait_dead().await;
    }

    /// The power goes out everywhere.
    pub async fn kill_all(&mut self) {
        self.running().for_each(|(_, process)| process.kill());
        for seat in &mut self.seats {
            if let Some(process) = seat.process.take() {
                process.wait_dead().await;
            }
        }
    }

    /// Leaves a process to itself, so that another can be started in its place.
    pub fn let_go(&mut self, at: usize) -> Process {
        self.seats[at].process.take().expect("it runs")
    }

    /// Takes a process into the fleet that was started in another way.
    pub fn take_in(&mut self, at: usize, process: Process, dir: PathBuf) {
        self.seats[at].addr = process.addr();
        self.seats[at].process = Some(process);
        self.seats[at].dir = dir;
    }

    /// Starts a process on the disk that its predecessor left.
    pub async fn restart(&mut self, at: usize, port: Port) {
        let listen = if port == Port::Same { self.seats[at].addr } else { ANY_PORT };
        self.spawn(at, listen).await;
    }

    /// The power is back. Does not wait until they have joined.
    pub async fn restart_all(&mut self, port: Port) {
        for at in 0..self.seats.len() {
            self.restart(at, port).await;
        }
    }

    /// Starts a process under a node id with an empty disk. Does not wait until it has joined.
    pub async fn replace(&mut self, at: usize, port: Port) {
        let dir = self.new_dir(at);
        self.seats[at].dir = dir;
        self.restart(at, port).await;
    }

    pub fn new_dir(&mut self, at: usize) -> PathBuf {
        let seat = &mut self.seats[at];
        seat.lives += 1;
        self.root.path().join(seat.node.as_str()).join(seat.lives.to_string())
    }

    /// Creates actors that wait for their homes, and names them.
    pub async fn create(&self, homes: &[usize]) -> Vec<String> {
        self.create_with(homes, None).await
    }

    /// The same; others may run them after so many milliseconds.
    pub async fn create_with(&self, homes: &[usize], stand_in_ms: Option<u64>) -> Vec<String> {
        let mut keys = vec![];
        for (number, home) in homes.iter().enumerate() {
            let key = format!("{}-{number}", self.node(*home));
            let want = Want::Create { key: key.clone(), home: self.node(*home), stand_in_ms };
            match self.process(0).ask(want).await {
                Ok(Answer::Done(Ok(()))) => keys.push(key),
                other => panic!("{key} could not be created: {other:?}"),
            }
        }
        keys
    }

    /// Everything that must hold once nothing more happens: the invariants of ARCHITECTURE.md, from outside.
    pub async fn check(&mut self, strays: usize) {
        self.joined().await;
        let Sight { status, actors, .. } = self.calm().await;
        for (_, process) in self.running() {
            let as_far = |s: &Sight| s.status.members == status.members;
            let own = process.wait("as far as the others", as_far).await.status;
            // Invariant 2.
            let newest = own.members.get(process.node()).map(|m| m.incarnation);
            assert_eq!(own.incarnation, newest, "{} is not its node's newest process", process.node());
        }
        let mut disks: Vec<_> = status.members.values().map(|m| m.raft_id).collect();
        disks.sort_unstable();
        disks.dedup();
        assert_eq!(disks.len(), status.members.len(), "two members share a disk: {status:?}");
        // Invariants 6 and 9: fresh writes commit everywhere, and every earlier one is where it was promised.
        let (by, mut kept) = (self.other_than(usize::MAX), BTreeMap::new());
        for key in
            actors.values().map(|line| &line.id).filter(|id| id.kind() == Keeper::KIND).map(ActorId::key)
        {
            let fresh = self.evidence.note(&by, key, true, PATIENCE).await;
            assert_eq!(fresh, Told::Durable, "{key} takes no fresh write");
            kept.insert(key.to_owned(), read(&by, key).await);
        }
        self.evidence.check(&kept, strays);
    }

    /// Waits until every actor runs and has its copies, every peer is up, and all voters are in place.
    pub async fn calm(&self) -> Sight {
        let settled = |Sight { status, .. }: &Sight| {
            status.members.values().all(|m| m.standing == Standing::Up && m.votes)
                && !status.joint
                && status.actors_hosted == status.actors
                && status.short_of_copies == 0
        };
        self.other_than(usize::MAX).wait("calm", settled).await
    }
}

pub async fn read(by: &Process, key: &str) -> Vec<u64> {
    let want = Want::Read { key: key.to_owned(), deadline: PATIENCE };
    match by.ask(want).await {
        Ok(Answer::Kept(Ok(tokens))) => tokens,
        other => panic!("{key} cannot be read: {other:?}"),
    }
}

/// Waits until something outside the cluster is so.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
