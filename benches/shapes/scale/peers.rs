//! A simulated cluster of many peers: idle, deciding something, and getting a new peer in a dead one's place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use benches::Sample;
use benches::counter::{Add, Sum};
use benches::{RuntimeClock, median};
use standin::actor::ActorRef;
use standin::id::NodeId;
use standin::identity::DevAuthority;
use standin::testing::{Process, World};
use standin::{Peer, Placement};
use tokio::time::Instant;

use super::worked;
use crate::common::fail;

const IDLE_CPU: &str = "idle, processor time of each peer";
const LEADER_PACKETS: &str = "idle, packets to and from the leader";
const LEADER_BYTES: &str = "idle, bytes to and from the leader";
const PEER_PACKETS: &str = "idle, packets to and from another peer";
const COMMIT_LEADER: &str = "a commit asked for by the leader";
const COMMIT_PEER: &str = "a commit asked for by another peer";
const ADMITTED: &str = "replacement admitted";
const HOSTS: &str = "its actor answers again";

pub const MEASURES: [(&str, &str); 8] = [
    (IDLE_CPU, "us a second"),
    (LEADER_PACKETS, "a second"),
    (LEADER_BYTES, "a second"),
    (PEER_PACKETS, "a second"),
    (COMMIT_LEADER, "ms"),
    (COMMIT_PEER, "ms"),
    (ADMITTED, "s after the kill"),
    (HOSTS, "s after the kill"),
];

pub const ABOUT: &str = "Simulated clusters: real QUIC and TLS, a network of memory in which each packet takes 0.3 to \
     0.7 ms, disks of memory that take 1.5 ms to sync, one thread, and a clock that stands still while there is work, \
     and goes in steps of 1 ms. So times are those of the protocol, on machines without a limit; processor time is \
     real, without what the operating system takes for packets, and with what it costs that all machines share one \
     cache: the instructions for each peer are the same at 3 and at 11. At most fifteen peers vote, the others are \
     learners. A commit is one entry of the log (a session is opened), of fifty in turn. For the last two, a peer is killed, and a new \
     one starts at once under its name with an empty disk: most of it is the wait for the dead one's lease (1 s).";

/// A peer and all its tasks.
struct Machine {
    peer: Peer,
    process: Process,
}

struct Cluster {
    world: World,
    authority: DevAuthority,
    machines: Vec<Machine>,
}

const PATIENCE: Duration = Duration::from_secs(60);
/// Until nothing of the start is left.
const CALM: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const COMMITS: usize = 50;

pub fn run(peers: usize) -> Sample {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap_or_else(fail);
    runtime.block_on(measure(peers))
}

async fn measure(peers: usize) -> Sample {
    let mut cluster = Cluster::start(peers).await;
    let leader = cluster.leader();
    // Neither the leader nor the one that is killed.
    let other = if leader == 0 { 1 } else { 0 };
    let victim = peers - 1;
    let home = Placement::On(node(victim));
    let sum = cluster.peer(leader).create("sum", Sum(0), home).await.unwrap_or_else(fail);
    tokio::time::sleep(CALM).await;
    let idle = cluster.idle(leader, other).await;
    let of_leader = cluster.commits(leader).await;
    let of_other = cluster.commits(other).await;
    let (admitted, hosts) = cluster.replace(victim, other, &sum).await;
    let more = [(COMMIT_LEADER, of_leader), (COMMIT_PEER, of_other), (ADMITTED, admitted), (HOSTS, hosts)];
    idle.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn node(at: usize) -> NodeId {
    NodeId::new(format!("peer-{at}")).unwrap_or_else(fail)
}

impl Cluster {
    async fn start(peers: usize) -> Self {
        let authority = DevAuthority::create("bench").unwrap_or_else(fail);
        let mut cluster = Self { world: World::new(1), authority, machines: vec![] };
        for at in 0..peers {
            let machine = cluster.launch(at, "first").await;
            machine.peer.joined(PATIENCE).await.unwrap_or_else(fail);
            cluster.machines.push(machine);
        }
        let voters = peers.min(standin::limits::DEFAULT_MAX_VOTERS);
        let ready = |status: &standin::Status| {
            !status.joint && status.members.values().filter(|m| m.votes).count() == voters
        };
        cluster.peer(0).wait_until(ready, PATIENCE).await.unwrap_or_else(fail);
        cluster
    }

    async fn launch(&self, at: usize, disk: &str) -> Machine {
        let node = node(at);
        let disk = self.world.disk(&PathBuf::from(node.as_str()).join(disk));
        let network = self.world.network().bind(SocketAddr::new(World::host(at), 0)).unwrap_or_else(fail);
        let contacts: Vec<_> = self.machines.iter().take(3).filter_map(|m| m.peer.status().addr).collect();
        let builder = Peer::builder(node.clone())
            .identity(self.authority.issue(&node).unwrap_or_else(fail))
            .network(network)
            .store(Arc::new(disk))
            .clock(Arc::new(RuntimeClock::new()))
            .bootstrap(self.machines.is_empty())
            .contacts(contacts)
            .kind(Sum::kind());
        let process = Process::new();
        let peer = process.spawn(builder.start()).await.unwrap_or_else(fail).unwrap_or_else(fail);
        Machine { peer, process }
    }

    fn peer(&self, at: usize) -> &Peer {
        &self.machines[at].peer
    }

    fn leader(&self) -> usize {
        let leads = |machine: &Machine| machine.peer.status().leads;
        self.machines.iter().position(leads).expect("a calm cluster has a leader")
    }

    /// What it costs to do nothing.
    async fn idle(&self, leader: usize, other: usize) -> [(&'static str, f64); 4] {
        let traffic = |at| self.world.network().traffic_of(World::host(at));
        let (begin, leaders, others) = (worked(), traffic(leader), traffic(other));
        tokio::time::sleep(IDLE).await;
        let seconds = IDLE.as_secs_f64();
        let each = (worked() - begin) / seconds / self.machines.len() as f64;
        let packets = |now: u64, then: u64| (now - then) as f64 / seconds;
        let (leaders_now, others_now) = (traffic(leader), traffic(other));
        [
            (IDLE_CPU, each * 1e6),
            (LEADER_PACKETS, packets(leaders_now.packets, leaders.packets)),
            (LEADER_BYTES, packets(leaders_now.bytes, leaders.bytes)),
            (PEER_PACKETS, packets(others_now.packets, others.packets)),
        ]
    }

    /// How long an entry takes from here, in milliseconds.
    async fn commits(&self, by: usize) -> f64 {
        let (mut took, mut sessions) = (vec![], vec![]);
        for _ in 0..COMMITS {
            let begin = Instant::now();
            sessions.push(self.peer(by).session().await.unwrap_or_else(fail));
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        median(&took)
    }

    /// How long it takes until a new peer is in a dead one's place, and until its actor answers, in seconds.
    async fn replace(&mut self, at: usize, by: usize, sum: &ActorRef<Sum>) -> (f64, f64) {
        self.machines[at].process.kill();
        let begin = Instant::now();
        let new = self.launch(at, "second").await;
        self.machines[at] = new;
        let (asking, sum) = (self.peer(by).clone(), sum.clone());
        let answer = tokio::spawn(async move {
            // One that was on its way to the dead peer may have been handled: nobody knows.
            while let Err(e) = asking.ask_within(&sum, Add(1), PATIENCE).await {
                assert!(begin.elapsed() < PATIENCE, "{e}");
            }
            begin.elapsed()
        });
        self.peer(at).joined(PATIENCE).await.unwrap_or_else(fail);
        let admitted = begin.elapsed();
        (admitted.as_secs_f64(), answer.await.unwrap_or_else(fail).as_secs_f64())
    }
}
