//! States that are cut into chunks.

use serde::{Deserialize, Deserializer, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Policy, Snapshot, When};
use standin::testing::{Cluster, Prng, World};
use standin::{Builder, Placement};

use crate::support::{Latch, PATIENCE, add, counter, counters, logs, until};

/// Numbers that no compression makes smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heap {
    words: Vec<u64>,
}

impl Heap {
    pub fn new(bytes: usize) -> Self {
        let mut random = Prng::new(9);
        Self { words: (0..bytes / 9).map(|_| random.any() | 1 << 63).collect() }
    }

    fn put(&mut self, Put(at, word): Put) -> u64 {
        let at = at as usize % self.words.len();
        self.words[at] = word;
        self.sum()
    }

    fn sum(&self) -> u64 {
        self.words.iter().fold(0, |sum, word| sum.rotate_left(1) ^ word)
    }
}

impl Actor for Heap {
    const KIND: &'static str = "heap";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// Sets one word; the reply tells all of them.
#[derive(Serialize, Deserialize)]
pub struct Put(pub u64, pub u64);

impl Message for Put {
    const NAME: &'static str = "put";
    type Reply = u64;
}

impl Handler<Put> for Heap {
    async fn handle(&mut self, put: Put, _: &mut Context<Self>) -> u64 {
        self.put(put)
    }
}

pub fn heaps(peer: Builder) -> Builder {
    peer.kind(Kind::of::<Heap>().handles::<Put>())
}

/// One word is changed, durably, here and in the twin that is no actor.
async fn put(cluster: &Cluster, from: usize, heap: &ActorRef<Heap>, twin: &mut Heap, n: u64) {
    let place = n.wrapping_mul(0x9e37_79b9);
    let sum = cluster.peer(from).ask_durable(heap, Put(place, n), PATIENCE).await.unwrap();
    assert_eq!(sum, twin.put(Put(place, n)), "put {n}");
}

async fn survives(mut cluster: Cluster, bytes: usize, puts: u64) {
    cluster.everything_lives_again().await.unwrap();
    let (host, from) = (2, 0);
    let mut twin = Heap::new(bytes);
    let home = Placement::On(cluster.node(host));
    let heap = cluster.peer(host).create("heap", twin.clone(), home).await.unwrap();
    put(&cluster, from, &heap, &mut twin, 0).await;
    let chunks = cluster.chunks_held(host, heap.id()).unwrap();
    assert!(chunks > 10, "{chunks}");
    for n in 1..puts {
        put(&cluster, from, &heap, &mut twin, n).await;
    }
    // What no checkpoint names any more goes away.
    let few = || cluster.chunks_held(host, heap.id()).unwrap() <= chunks + 6;
    until("old chunks are removed", few).await;
    for n in puts..puts + 2 {
        cluster.kill(host);
        cluster.replace(host).await.unwrap();
        put(&cluster, from, &heap, &mut twin, n).await;
    }
    cluster.check_invariants().await.unwrap();
    cluster.peer(from).stop(&heap).await.unwrap();
    let gone = |at: usize| cluster.chunks_held(at, heap.id()).unwrap() == 0;
    until("the chunks of an ended actor are removed", || (0..3).all(gone)).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_outlives_its_machine() {
    logs();
    survives(Cluster::start(3, heaps).await.unwrap(), 3 << 20, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_large_state_outlives_its_machine() {
    logs();
    for seed in 31..34 {
        let cluster = Cluster::simulated(World::new(seed), 3, |peer| heaps(peer.cut_from(64)));
        survives(cluster.await.unwrap(), 20_000, 30).await;
    }
}

/// Each of the two copies lacks a chunk, another one: together they are whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_comes_from_two_holders_where_each_lacks_something() {
    logs();
    let mut cluster = Cluster::start(3, heaps).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let host = 2;
    let mut twin = Heap::new(1 << 20);
    let home = Placement::On(cluster.node(host));
    let heap = cluster.peer(host).create("heap", twin.clone(), home).await.unwrap();
    put(&cluster, 0, &heap, &mut twin, 1).await;
    cluster.spoil_chunk(0, heap.id(), 0).await.unwrap();
    cluster.spoil_chunk(1, heap.id(), 1).await.unwrap();
    cluster.kill(host);
    cluster.replace(host).await.unwrap();
    let sum = cluster.peer(0).ask_within(&heap, Put(1, 1), PATIENCE).await.unwrap();
    assert_eq!(sum, twin.put(Put(1, 1)));
    until("copies are whole again", || cluster.checkpoints_are_on_their_holders().is_ok()).await;
    put(&cluster, 1, &heap, &mut twin, 2).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

/// Its state is written elsewhere, once that is allowed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slow {
    n: u64,
}

static MAY_WRITE: Latch = Latch::new(false);

impl Actor for Slow {
    const KIND: &'static str = "slow";
    fn policy() -> Policy {
        Heap::policy()
    }
    fn snapshot(&self) -> Option<Snapshot> {
        let now = self.clone();
        Some(Box::new(move || {
            MAY_WRITE.wait();
            now.encode()
        }))
    }
}

impl Handler<Put> for Slow {
    async fn handle(&mut self, Put(_, n): Put, _: &mut Context<Self>) -> u64 {
        self.n += n;
        self.n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_on_while_a_snapshot_is_written_and_it_holds_none_of_them() {
    logs();
    let kind = || Kind::of::<Slow>().handles::<Put>();
    let mut cluster = Cluster::start(3, move |peer| peer.kind(kind())).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let home = Placement::On(cluster.node(2));
    let slow = cluster.peer(2).create("slow", Slow { n: 1 }, home).await.unwrap();
    let (peer, target) = (cluster.peer(0).clone(), slow.clone());
    let durable = tokio::spawn(async move { peer.ask_durable(&target, Put(0, 10), PATIENCE).await });
    // Its checkpoint is under way, or comes before these: either way they are handled.
    let plainly = async {
        while cluster.peer(0).ask(&slow, Put(0, 0)).await.unwrap() != 11 {
            tokio::task::yield_now().await;
        }
        cluster.peer(0).ask(&slow, Put(0, 100)).await.unwrap()
    };
    assert_eq!(tokio::time::timeout(PATIENCE, plainly).await.unwrap(), 111);
    assert!(!durable.is_finished(), "nothing is written yet");
    MAY_WRITE.set(true);
    assert_eq!(durable.await.unwrap().unwrap(), 11);
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    assert_eq!(cluster.peer(0).ask(&slow, Put(0, 0)).await.unwrap(), 11, "the state of that moment");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

/// It is read, when its actor comes back, once that is allowed.
#[derive(Serialize, Deserialize)]
struct Dense {
    #[serde(deserialize_with = "once_allowed")]
    words: Vec<u64>,
}

static MAY_READ: Latch = Latch::new(true);

fn once_allowed<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    MAY_READ.wait();
    Vec::deserialize(from)
}

impl Actor for Dense {
    const KIND: &'static str = "dense";
    fn policy() -> Policy {
        Heap::policy()
    }
}

impl Handler<Put> for Dense {
    async fn handle(&mut self, Put(at, _): Put, _: &mut Context<Self>) -> u64 {
        self.words[at as usize]
    }
}

/// More of them than a peer has threads for heartbeats.
const DENSE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_lives_while_it_reads_large_states() {
    logs();
    let kind = || Kind::of::<Dense>().handles::<Put>();
    let mut cluster = Cluster::start(3, move |peer| counters(peer).kind(kind())).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let home = || Placement::On(cluster.node(2));
    let mut all = vec![];
    for n in 0..DENSE {
        let words = Heap::new(1 << 20).words;
        all.push(cluster.peer(2).create(&format!("dense-{n}"), Dense { words }, home()).await.unwrap());
    }
    let small = counter(&cluster, 2, "small", 1).await;
    MAY_READ.set(false);
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    assert_eq!(add(&cluster, 0, &small, 1).await, 2, "another actor there answers meanwhile");
    MAY_READ.set(true);
    for dense in &all {
        cluster.peer(0).ask_within(dense, Put(7, 0), PATIENCE).await.unwrap();
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
