//! What reliable messages cost where nothing fails.

use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Outbox, Policy, SendError};
use standin::testing::Cluster;
use standin::{Builder, Placement};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::*;

/// The newest number that has taken effect on a receiver.
static LANDED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Sends numbers to another of its kind, or counts those that it gets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pump<const EAGER: bool> {
    got: u64,
    sent: u64,
    ballast: String,
}

impl<const EAGER: bool> Actor for Pump<EAGER> {
    const KIND: &'static str = if EAGER { "eager-pump" } else { "held-pump" };
    fn policy() -> Policy {
        Policy { outbox: if EAGER { Outbox::Eager } else { Outbox::Held }, ..Policy::default() }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Drip(u64);
impl Message for Drip {
    const NAME: &'static str = "drip";
    type Reply = u64;
}
impl<const EAGER: bool> Handler<Drip> for Pump<EAGER> {
    async fn handle(&mut self, Drip(n): Drip, _: &mut Context<Self>) -> u64 {
        if n > 0 {
            self.got += 1;
            // With nobody to tell it costs nothing.
            let _ = LANDED.send(n);
        }
        self.got
    }
}

/// Send so many.
#[derive(Serialize, Deserialize)]
pub struct Run(u64);
impl Message for Run {
    const NAME: &'static str = "run";
    type Reply = ();
}
impl<const EAGER: bool> Handler<Run> for Pump<EAGER> {
    async fn handle(&mut self, Run(goal): Run, ctx: &mut Context<Self>) {
        let to = ActorRef::<Self>::new("sink").unwrap();
        for _ in 0..500 {
            match ctx.send(&to, Drip(self.sent + 1)) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => break,
                Err(e) => panic!("{e}"),
            }
            if self.sent == goal {
                return;
            }
        }
        ctx.schedule_durable(Duration::ZERO, Run(goal)).unwrap();
    }
}

fn pumps(builder: Builder) -> Builder {
    builder
        .kind(Kind::of::<Pump<true>>().handles::<Drip>().handles::<Run>())
        .kind(Kind::of::<Pump<false>>().handles::<Drip>().handles::<Run>())
}

async fn made<const EAGER: bool>(cluster: &Cluster, at: usize, key: &str) -> ActorRef<Pump<EAGER>> {
    cluster.peer(0).create(key, Pump::<EAGER>::default(), Placement::On(cluster.node(at))).await.unwrap()
}

/// Reliable messages a second, from an actor on one peer to one on another.
async fn reliably<const EAGER: bool>(cluster: &Cluster, messages: u64) -> f64 {
    let source = made::<EAGER>(cluster, 1, "source").await;
    let sink = made::<EAGER>(cluster, 2, "sink").await;
    let begin = Instant::now();
    cluster.peer(1).tell(&source, Run(messages)).await.unwrap();
    while cluster.peer(2).ask(&sink, Drip(0)).await.unwrap() < messages {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    cluster.peer(0).stop(&source).await.unwrap();
    cluster.peer(0).stop(&sink).await.unwrap();
    rate
}

/// Plain tells a second, from one peer to an actor on another, so many under way at once.
async fn plainly(cluster: &Cluster, messages: u64, at_once: usize) -> f64 {
    let sink = made::<true>(cluster, 2, "sink").await;
    let begin = Instant::now();
    let tell = |n: u64| cluster.peer(1).tell(&sink, Drip(n));
    let failed = stream::iter((1..=messages).map(tell)).buffer_unordered(at_once).filter(|r| {
        let failed = r.is_err();
        async move { failed }
    });
    assert_eq!(failed.count().await, 0);
    while cluster.peer(2).ask(&sink, Drip(0)).await.unwrap() < messages {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    cluster.peer(0).stop(&sink).await.unwrap();
    rate
}

/// Medians, when nothing else is under way.
struct Latencies {
    /// From a sender's handler to the receiver's.
    effect: Duration,
    /// From a sender's handler to the first reply of the receiver that shows the effect.
    shown: Duration,
    /// A durable reply: one checkpoint of the same sender.
    checkpoint: Duration,
}

/// The sender's state is so large, in bytes.
async fn latencies<const EAGER: bool>(cluster: &Cluster, runs: u64, ballast: usize) -> Latencies {
    let heavy = Pump::<EAGER> { ballast: "x".repeat(ballast), ..Pump::default() };
    let source = cluster.peer(1).create("source", heavy, Placement::On(cluster.node(1))).await.unwrap();
    let sink = made::<EAGER>(cluster, 2, "sink").await;
    let (mut effects, mut shows, mut checkpoints) = (vec![], vec![], vec![]);
    for n in 1..=runs {
        let begin = Instant::now();
        cluster.peer(1).ask_durable(&source, Drip(0), PATIENCE).await.unwrap();
        checkpoints.push(begin.elapsed());
        LANDED.send_replace(0);
        let mut landed = LANDED.subscribe();
        let begin = Instant::now();
        cluster.peer(1).tell(&source, Run(n)).await.unwrap();
        landed.wait_for(|newest| *newest == n).await.unwrap();
        effects.push(begin.elapsed());
        while cluster.peer(2).ask(&sink, Drip(0)).await.unwrap() < n {
            tokio::task::yield_now().await;
        }
        shows.push(begin.elapsed());
    }
    cluster.peer(0).stop(&source).await.unwrap();
    cluster.peer(0).stop(&sink).await.unwrap();
    let median = |mut all: Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    Latencies { effect: median(effects), shown: median(shows), checkpoint: median(checkpoints) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --release -p raft-tests -- --ignored --nocapture measure_reliability"]
async fn measure_reliability() {
    const MESSAGES: u64 = 200_000;
    logs();
    let mut cluster = Cluster::start(3, pumps).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    for _ in 0..3 {
        let plain = plainly(&cluster, MESSAGES, 256).await;
        let eager = reliably::<true>(&cluster, MESSAGES).await;
        let held = reliably::<false>(&cluster, MESSAGES).await;
        println!(
            "messages a second: plain tell {plain:.0} (256 at once), eager {eager:.0} ({:.2} of it), held {held:.0} \
             ({:.2} of eager)",
            eager / plain,
            held / eager
        );
    }
    let held = latencies::<false>(&cluster, 101, 0).await;
    let eager = latencies::<true>(&cluster, 101, 0).await;
    println!(
        "median latency to the effect: held {:?}, eager {:?}, one durable checkpoint {:?}: held adds {:.1} of those; \
         to a reply that shows it: held {:?}, eager {:?}",
        held.effect,
        eager.effect,
        held.checkpoint,
        (held.effect.as_secs_f64() - eager.effect.as_secs_f64()) / held.checkpoint.as_secs_f64(),
        held.shown,
        eager.shown
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --release -p raft-tests -- --ignored --nocapture measure_large_states"]
async fn measure_large_states() {
    logs();
    let mut cluster = Cluster::start(3, pumps).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    for mib in [0, 1, 16, 64] {
        let of = latencies::<false>(&cluster, 7, mib << 20).await;
        println!(
            "sender of {mib} MiB: held send to its effect {:?}, to a reply that shows it {:?}, one checkpoint {:?}",
            of.effect, of.shown, of.checkpoint
        );
    }
    cluster.shutdown().await;
}
