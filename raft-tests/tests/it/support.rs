//! What the tests share.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Policy, When};
use standin::testing::Cluster;
use standin::{ActorStatus, Builder, CallError, Event, Outcome, Placement};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, timeout};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any lease, and than what follows the end of one.
pub const PAST_LEASES: Duration = Duration::from_secs(3);

/// Where code that knows no test waits for one.
pub struct Latch(Mutex<bool>, Condvar);

impl Latch {
    pub const fn new(open: bool) -> Self {
        Self(Mutex::new(open), Condvar::new())
    }

    pub fn set(&self, open: bool) {
        *self.0.lock().unwrap() = open;
        self.1.notify_all();
    }

    pub fn wait(&self) {
        let closed = self.0.lock().unwrap();
        drop(self.1.wait_timeout_while(closed, 2 * PATIENCE, |open| !*open).unwrap());
    }
}

/// Counts what it was told; kept on two other peers.
#[derive(Serialize, Deserialize)]
pub struct Counter {
    pub n: u64,
}

impl Actor for Counter {
    const KIND: &'static str = "counter";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// The same, kept on one other peer only.
#[derive(Serialize, Deserialize)]
pub struct Fragile {
    pub n: u64,
}

impl Actor for Fragile {
    const KIND: &'static str = "fragile";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 1, ..Policy::default() }
    }
}

/// Adds, and answers the sum.
#[derive(Serialize, Deserialize)]
pub struct Add(pub u64);

impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.n += n;
        self.n
    }
}

/// Adds after so many milliseconds.
#[derive(Serialize, Deserialize)]
pub struct AddSlowly(pub u64, pub u64);

impl Message for AddSlowly {
    const NAME: &'static str = "add-slowly";
    type Reply = u64;
}

impl Handler<AddSlowly> for Counter {
    async fn handle(&mut self, AddSlowly(n, ms): AddSlowly, _: &mut Context<Self>) -> u64 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.n += n;
        self.n
    }
}

impl Handler<Add> for Fragile {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.n += n;
        self.n
    }
}

/// Panics.
#[derive(Serialize, Deserialize)]
pub struct Boom;

impl Message for Boom {
    const NAME: &'static str = "boom";
    type Reply = ();
}

impl Handler<Boom> for Counter {
    async fn handle(&mut self, Boom: Boom, _: &mut Context<Self>) {
        panic!("as the test wishes");
    }
}

/// Writes down who sent what, in the order of execution.
#[derive(Serialize, Deserialize, Default)]
pub struct Journal {
    lines: Vec<(String, u64)>,
}

impl Actor for Journal {
    const KIND: &'static str = "journal";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// A line from a sender.
#[derive(Serialize, Deserialize)]
pub struct Note(pub String, pub u64);

impl Message for Note {
    const NAME: &'static str = "note";
    type Reply = ();
}

impl Handler<Note> for Journal {
    async fn handle(&mut self, Note(sender, number): Note, _: &mut Context<Self>) {
        self.lines.push((sender, number));
    }
}

/// All lines.
#[derive(Serialize, Deserialize)]
pub struct Read;

impl Message for Read {
    const NAME: &'static str = "read";
    type Reply = Vec<(String, u64)>;
}

impl Handler<Read> for Journal {
    async fn handle(&mut self, Read: Read, _: &mut Context<Self>) -> Vec<(String, u64)> {
        self.lines.clone()
    }
}

/// A peer that hosts all of these.
pub fn counters(builder: Builder) -> Builder {
    builder
        .kind(Kind::of::<Counter>().handles::<Add>().handles::<AddSlowly>().handles::<Boom>())
        .kind(Kind::of::<Fragile>().handles::<Add>())
        .kind(Kind::of::<Journal>().handles::<Note>().handles::<Read>())
}

/// Shows logs with `RUST_LOG`.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
}

/// A cluster of `n`, all of which vote.
pub async fn cluster(n: usize) -> Cluster {
    logs();
    let cluster = Cluster::start(n, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    cluster
}

/// Whoever is neither of these.
pub fn other_than(cluster: &Cluster, not: &[usize]) -> usize {
    (0..).find(|at| !not.contains(at) && cluster.peers().any(|p| *p.node_id() == cluster.node(*at))).unwrap()
}

/// A counter at `n` whose home is the peer `at`, created and named through that peer.
pub async fn counter(cluster: &Cluster, at: usize, key: &str, n: u64) -> ActorRef<Counter> {
    let placement = Placement::On(cluster.node(at));
    cluster.peer(at).create(key, Counter { n }, placement).await.unwrap()
}

/// Adds until the cluster says that it did. For effects that may happen twice.
pub async fn add(cluster: &Cluster, from: usize, to: &ActorRef<Counter>, n: u64) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        match cluster.peer(from).ask_durable(to, Add(n), PATIENCE).await {
            Ok(sum) => return sum,
            // It was under way to a peer that died.
            Err(e) if e.outcome == Outcome::Unknown && Instant::now() < end => {}
            Err(e) => panic!("adding to {to}: {e}"),
        }
    }
}

/// The sum as it is, asked for until somebody answers.
pub async fn sum(cluster: &Cluster, from: usize, of: &ActorRef<Counter>) -> u64 {
    add(cluster, from, of, 0).await
}

/// An actor's line in the directory of the peer `at`, once that has heard of its first checkpoint.
pub async fn line<A>(cluster: &Cluster, at: usize, of: &ActorRef<A>) -> ActorStatus {
    let find = || cluster.peer(at).actors().into_iter().find(|l| l.id == *of.id() && l.checkpoint.is_some());
    until("the directory shows the actor", || find().is_some()).await;
    find().unwrap()
}

/// Which peers but its host hold an actor's checkpoint, in the order in which they would be asked.
pub async fn holders<A>(cluster: &Cluster, at: usize, of: &ActorRef<A>) -> Vec<usize> {
    let line = line(cluster, at, of).await;
    let members = cluster.peer(at).status().members;
    let holder_of = |disk| members.iter().find(|(_, m)| m.raft_id == disk).map(|(node, _)| node.clone());
    let others = line.holders.iter().filter_map(|disk| holder_of(*disk)).filter(|node| *node != line.home);
    others.map(|node| cluster.index(&node)).collect()
}

/// Waits for an event.
pub async fn event(events: &mut Receiver<Event>, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    let wait = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the event did not come in time")
}

/// Waits until a condition of the test's own holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What became of many calls that each added 1.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub done: u64,
    pub unknown: u64,
    pub not_executed: u64,
}

impl Tally {
    pub fn count<T>(&mut self, result: &Result<T, CallError>) {
        match result.as_ref().map_err(|e| e.outcome) {
            Ok(_) | Err(Outcome::Executed) => self.done += 1,
            Err(Outcome::Unknown) => self.unknown += 1,
            Err(Outcome::NotExecuted) => self.not_executed += 1,
        }
    }

    /// Whether a sum can be what these calls left behind.
    pub fn explains(&self, sum: u64) -> bool {
        (self.done..=self.done + self.unknown).contains(&sum)
    }
}
