//! Links that are full: long messages do not delay short ones, and what keeps the cluster going comes before both.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Policy, When};
use standin::testing::{Cluster, Weather, World};
use standin::{Builder, Event, Peer, Placement};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// Swallows what it gets.
#[derive(Serialize, Deserialize)]
pub struct Sink;

impl Actor for Sink {
    const KIND: &'static str = "sink";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, ..Policy::default() }
    }
}

/// So many bytes, and the answer has as many.
#[derive(Clone, Serialize, Deserialize)]
pub struct Freight(String);
impl Message for Freight {
    const NAME: &'static str = "freight";
    type Reply = String;
}

impl Handler<Freight> for Sink {
    async fn handle(&mut self, Freight(text): Freight, _: &mut Context<Self>) -> String {
        text
    }
}

fn freight(bytes: usize) -> Freight {
    Freight("x".repeat(bytes))
}

fn sinks(builder: Builder) -> Builder {
    builder.kind(Kind::of::<Sink>().handles::<Freight>())
}

async fn sink(cluster: &Cluster, at: usize, key: &str) -> ActorRef<Sink> {
    cluster.peer(0).create(key, Sink, Placement::On(cluster.node(at))).await.unwrap()
}

/// How long one message takes there and back.
async fn round(peer: &Peer, to: &ActorRef<Sink>, bytes: usize) -> Duration {
    let begin = Instant::now();
    peer.ask_within(to, freight(bytes), PATIENCE).await.unwrap();
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_simulated_long_message_does_not_delay_short_ones_to_the_same_peer() {
    logs();
    let world = World::new(41);
    let cluster = Cluster::simulated(world.clone(), 3, sinks).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let (long, short) = (sink(&cluster, 1, "long").await, sink(&cluster, 1, "short").await);
    // Ten milliseconds there and back.
    let far = Weather { delay: Duration::from_millis(5), jitter: Duration::ZERO, ..Weather::fair() };
    for (from, to) in [(0, 1), (1, 0)] {
        world.network().set_link(cluster.host(from), cluster.host(to), Some(far));
    }
    let under_way = tokio::spawn({
        let (peer, long) = (cluster.peer(0).clone(), long.clone());
        async move { round(&peer, &long, 12 << 20).await }
    });
    let mut rounds = Vec::new();
    while !under_way.is_finished() {
        rounds.push(round(cluster.peer(0), &short, 1000).await);
    }
    let long = under_way.await.unwrap();
    let slowest = rounds.iter().max().unwrap();
    println!("a long message took {long:?}, and each of {} short ones at most {slowest:?}", rounds.len());
    assert!(rounds.len() >= 10, "{rounds:?} while a long one took {long:?}");
    assert!(*slowest < Duration::from_millis(25), "{rounds:?} while a long one took {long:?}");
    cluster.check_invariants().await.unwrap();
}

/// What a link takes in a second, in bytes.
const RATE: u64 = 4 << 20;
/// Messages that each peer has under way to each other one.
const UNDER_WAY: usize = 8;

/// Keeps every link full until it is told to stop; how much arrived.
fn flood(cluster: &Cluster, sinks: &[ActorRef<Sink>], stop: &Arc<AtomicBool>, done: &Arc<AtomicU64>) {
    for (at, _) in sinks.iter().enumerate() {
        let others = sinks.iter().enumerate().filter(|(to, _)| *to != at);
        for (n, (_, to)) in others.cycle().take(2 * UNDER_WAY).enumerate() {
            // Some travel with the short ones, some apart.
            let bytes = if n % 4 < 2 { 200_000 } else { 300_000 };
            let (peer, to, stop, done) = (cluster.peer(at).clone(), to.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    peer.ask_within(&to, freight(bytes), PATIENCE).await.unwrap();
                    done.fetch_add(bytes as u64, Ordering::Relaxed);
                }
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn simulated_heartbeats_and_commits_are_not_behind_the_messages_of_users() {
    logs();
    let world = World::new(42);
    let cluster = Cluster::simulated(world.clone(), 3, sinks).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let mut sinks = Vec::new();
    for at in 0..3 {
        sinks.push(sink(&cluster, at, &format!("sink-{at}")).await);
        for to in 0..3 {
            world.network().set_rate(cluster.host(at), cluster.host(to), Some(RATE));
        }
    }
    let mut events = cluster.peer(0).events();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    flood(&cluster, &sinks, &stop, &done);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let from = other_than(&cluster, &[cluster.leader().await.unwrap()]);
    let mut commits = Vec::new();
    let (begin, before) = (Instant::now(), done.load(Ordering::Relaxed));
    while begin.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        // One entry in the log, and nothing else.
        drop(cluster.peer(from).session().await.unwrap());
        commits.push(asked.elapsed());
        assert!(cluster.peers().all(|peer| peer.status().holds_lease), "somebody lost its lease");
    }
    let (took, arrived) = (begin.elapsed(), done.load(Ordering::Relaxed) - before);
    stop.store(true, Ordering::Relaxed);
    commits.sort_unstable();
    let (median, slowest) = (commits[commits.len() / 2], commits[commits.len() - 1]);
    println!(
        "{arrived} bytes in {took:?}; {} commits: median {median:?}, slowest {slowest:?}",
        commits.len()
    );
    assert!(arrived > 4 * RATE, "the links are not full: {arrived} bytes in {took:?}");
    assert!(median < Duration::from_millis(250), "{commits:?}");
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::PeerDown { .. } | Event::LeaderChanged { .. }), "{event:?}");
    }
    cluster.check_invariants().await.unwrap();
}
