//! A machine with many actors is replaced: those that somebody waits for come back first, no more than so many at once,
//! and the peers that hold the copies go on with what else they have to do.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Policy, When};
use standin::limits::{MAX_PARALLEL_RESTORES, SHORT_RESTORES};
use standin::testing::{Cluster, Weather, World};
use standin::{Builder, Event, Peer, Placement, Standing};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// Has a state of some size.
#[derive(Serialize, Deserialize)]
pub struct Shelf {
    books: String,
}

impl Actor for Shelf {
    const KIND: &'static str = "shelf";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// How much there is.
#[derive(Serialize, Deserialize)]
pub struct Weigh;
impl Message for Weigh {
    const NAME: &'static str = "weigh";
    type Reply = usize;
}

impl Handler<Weigh> for Shelf {
    async fn handle(&mut self, _: Weigh, _: &mut Context<Self>) -> usize {
        self.books.len()
    }
}

fn shelves(builder: Builder) -> Builder {
    builder.kind(Kind::of::<Shelf>().handles::<Weigh>())
}

/// The peer whose machine is lost; the others hold copies of what it runs, and nobody else is there.
const LOST: usize = 2;

/// Everything that was restored, in order, and when.
type Restored = Arc<Mutex<Vec<(String, Instant)>>>;

/// Three peers, of which the last runs so many actors.
async fn full(world: &World, actors: usize, bytes: usize) -> (Cluster, Vec<ActorRef<Shelf>>) {
    let cluster = Cluster::simulated(world.clone(), 3, shelves).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let create = |n: usize| {
        let (state, home) = (Shelf { books: "x".repeat(bytes) }, Placement::On(cluster.node(LOST)));
        cluster.peer(LOST).create(format!("shelf-{n:05}"), state, home)
    };
    let created = join_all((0..actors).map(create)).await;
    (cluster, created.into_iter().map(Result::unwrap).collect())
}

fn watch(peer: &Peer) -> Restored {
    let (mut events, restored) = (peer.events(), Restored::default());
    tokio::spawn({
        let restored = restored.clone();
        async move {
            while let Ok(event) = events.recv().await {
                if let Event::ActorRecovered { actor, .. } = event {
                    restored.lock().unwrap().push((actor.key().to_owned(), Instant::now()));
                }
            }
        }
    });
    restored
}

#[tokio::test(start_paused = true)]
async fn a_simulated_storm_of_restores_is_paced_and_serves_those_first_that_somebody_waits_for() {
    const ACTORS: usize = 6000;
    const ONE_WAY: Duration = Duration::from_millis(15);
    logs();
    let world = World::new(51);
    let (mut cluster, shelves) = full(&world, ACTORS, 100).await;
    let far = Weather { delay: ONE_WAY, jitter: Duration::ZERO, ..Weather::fair() };
    for other in [0, 1] {
        world.network().set_link(cluster.host(LOST), cluster.host(other), Some(far));
        world.network().set_link(cluster.host(other), cluster.host(LOST), Some(far));
    }
    cluster.kill(LOST);
    // From here on a call is not written to the dead process: it waits.
    let lost = cluster.node(LOST);
    let is_down = |peer: &Peer| peer.status().members[&lost].standing == Standing::Down;
    until("the machine is known to be down", || is_down(cluster.peer(0))).await;
    // Those whose turn would come last.
    let wanted = &shelves[ACTORS - 20..];
    let asked: Vec<_> = wanted
        .iter()
        .map(|shelf| {
            let (peer, shelf) = (cluster.peer(0).clone(), shelf.clone());
            tokio::spawn(async move { (peer.ask(&shelf, Weigh).await, Instant::now()) })
        })
        .collect();
    cluster.replace_unjoined(LOST).await.unwrap();
    let restored = watch(cluster.peer(LOST));
    until("all are restored", || restored.lock().unwrap().len() == ACTORS).await;
    let restored = restored.lock().unwrap().clone();
    let (first, last) = (restored[0].1, restored[ACTORS - 1].1);
    // A restore takes there and back at least: all that end in less than that were under way at once.
    for (n, (_, ended)) in restored.iter().enumerate() {
        let at_once = restored[..n].iter().rev().take_while(|(_, t)| *ended - *t < 2 * ONE_WAY).count() + 1;
        assert!(at_once <= MAX_PARALLEL_RESTORES * SHORT_RESTORES, "{at_once} were restored at once");
    }
    let place = |shelf: &ActorRef<Shelf>| restored.iter().position(|(key, _)| key == shelf.id().key());
    let places: Vec<usize> = wanted.iter().map(|shelf| place(shelf).unwrap()).collect();
    println!("{ACTORS} restored in {:?}; those that were waited for came as {places:?}", last - first);
    // Some had begun before a caller had heard of the new process, and had a connection to it.
    assert!(places.iter().all(|place| *place < ACTORS / 3), "{places:?}");
    for answer in join_all(asked).await {
        let (weight, at) = answer.unwrap();
        assert_eq!(weight, Ok(100));
        assert!(at < first + (last - first) / 2, "an answer {:?} after the first restore", at - first);
    }
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn simulated_peers_that_hold_the_copies_of_a_storm_stay_responsive() {
    const ACTORS: usize = 400;
    const BYTES: usize = 100_000;
    /// What a link takes in a second, in bytes.
    const RATE: u64 = 8 << 20;
    logs();
    let world = World::new(52);
    let (mut cluster, shelves) = full(&world, ACTORS, BYTES).await;
    let mut beside = Vec::new();
    for at in [0, 1] {
        let home = Placement::On(cluster.node(at));
        beside.push(
            cluster.peer(at).create(format!("at-{at}"), Shelf { books: "x".into() }, home).await.unwrap(),
        );
        world.network().set_rate(cluster.host(at), cluster.host(LOST), Some(RATE));
        world.network().set_rate(cluster.host(LOST), cluster.host(at), Some(RATE));
    }
    cluster.kill(LOST);
    cluster.replace_unjoined(LOST).await.unwrap();
    let restored = watch(cluster.peer(LOST));
    let count = || restored.lock().unwrap().len();
    until("some are restored", || count() > 0).await;
    let (begin, mut rounds) = (Instant::now(), Vec::new());
    while count() < ACTORS {
        // From beside, and over the very link that the copies take.
        for (from, to) in [(0, 1), (1, 0), (LOST, 0), (LOST, 1)] {
            let asked = Instant::now();
            let asking = cluster.peer(from).ask_within(&beside[to], Weigh, PATIENCE);
            assert_eq!(asking.await, Ok(1));
            rounds.push((from, to, asked.elapsed()));
        }
        assert!(cluster.peers().all(|peer| peer.status().holds_lease), "somebody lost its lease");
        assert!(begin.elapsed() < PATIENCE, "{} of {ACTORS} restored", count());
    }
    let took = begin.elapsed();
    let slowest = rounds.iter().map(|(_, _, took)| *took).max().unwrap();
    println!("{ACTORS} restored in {took:?}; {} calls beside it, the slowest took {slowest:?}", rounds.len());
    assert!(took > Duration::from_secs(1), "the links were not full: {took:?}");
    // What a full link itself holds, 50 ms, and the way.
    assert!(slowest < Duration::from_millis(60), "{rounds:?}");
    assert_eq!(cluster.peer(0).ask(&shelves[0], Weigh).await, Ok(BYTES));
    cluster.check_invariants().await.unwrap();
}
