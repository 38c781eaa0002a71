//! Reliable messages between actors: each takes effect once and in order, whoever dies.

use standin::actor::ActorRef;
use standin::testing::{Cluster, Prng, World};
use standin::{Builder, Event, Placement};
use std::time::Duration;
use tokio::time::Instant;

use crate::chain::{self, Emit, Link, Show};
use crate::support::*;

pub fn links(builder: Builder) -> Builder {
    builder.kind(chain::kind())
}

fn name(at: usize) -> String {
    format!("link-{at}")
}

async fn link(cluster: &Cluster, at: usize, next: Option<usize>) -> ActorRef<Link> {
    let state = Link::passing_on(next.map(name));
    let home = Placement::On(cluster.node(at));
    cluster.peer(0).create(name(at), state, home).await.unwrap()
}

/// One link on each peer, the first of which emits.
async fn chain(cluster: &Cluster, n: usize) -> Vec<ActorRef<Link>> {
    let mut all = Vec::new();
    for at in 0..n {
        all.push(link(cluster, at, (at + 1 < n).then_some(at + 1)).await);
    }
    all
}

async fn show(cluster: &Cluster, link: &ActorRef<Link>) -> Link {
    let end = Instant::now() + PATIENCE;
    loop {
        let asked = other_than(cluster, &[]);
        match cluster.peer(asked).ask_within(link, Show, Duration::from_secs(5)).await {
            Ok(state) => return state,
            Err(e) => assert!(Instant::now() < end, "asking {link}: {e}"),
        }
    }
}

pub async fn arrived(cluster: &Cluster, link: &ActorRef<Link>, n: u64) -> Link {
    let end = Instant::now() + PATIENCE * 4;
    loop {
        let state = show(cluster, link).await;
        if state.newest >= n {
            return state;
        }
        assert!(Instant::now() < end, "stuck at {state:?} of {n}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn emit(cluster: &Cluster, link: &ActorRef<Link>, to: u64) {
    let end = Instant::now() + PATIENCE;
    while let Err(e) = cluster.peer(other_than(cluster, &[])).ask(link, Emit { to }).await {
        assert!(Instant::now() < end, "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_passes_everything_on_once_and_in_order() {
    logs();
    let mut cluster = Cluster::start(3, links).await.unwrap();
    let chain = chain(&cluster, 3).await;
    let begin = Instant::now();
    emit(&cluster, &chain[0], 20_000).await;
    let end = arrived(&cluster, &chain[2], 20_000).await;
    println!("20000 messages over 3 links in {:?}", begin.elapsed());
    assert_eq!((end.newest, end.out_of_order), (20_000, 0));
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

async fn exact_while_machines_die(mut cluster: Cluster, messages: u64) {
    cluster.everything_lives_again().await.unwrap();
    let chain = chain(&cluster, 5).await;
    emit(&cluster, &chain[0], messages).await;
    for victim in [2, 4, 0, 3] {
        cluster.kill(victim);
        cluster.replace(victim).await.unwrap();
        cluster.everything_lives_again().await.unwrap();
    }
    for link in &chain[1..] {
        let end = arrived(&cluster, link, messages).await;
        assert_eq!((end.newest, end.out_of_order), (messages, 0), "{link}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_exact_while_its_machines_die_and_are_replaced() {
    logs();
    exact_while_machines_die(Cluster::start(5, links).await.unwrap(), 30_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_chain_is_exact_while_its_machines_die_and_are_replaced() {
    logs();
    for seed in 21..24 {
        let cluster = Cluster::simulated(World::new(seed), 5, links).await.unwrap();
        exact_while_machines_die(cluster, 3_000).await;
    }
}

/// One run: `messages` through five links on five peers that die at random; how often one did, and how long it took.
async fn deadly_run(seed: u64, messages: u64) -> (u32, Duration) {
    let empty = seed.is_multiple_of(2);
    let mut random = Prng::new(seed);
    let mut cluster = Cluster::start(5, links).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let chain = chain(&cluster, 5).await;
    let begin = Instant::now();
    emit(&cluster, &chain[0], messages).await;
    let mut kills = 0;
    while show(&cluster, &chain[4]).await.newest < messages {
        let victim = random.below(5) as usize;
        let killed = Instant::now();
        cluster.kill(victim);
        kills += 1;
        if empty {
            // The next one as soon as the last one's vote and copies are in their places.
            cluster.replace(victim).await.unwrap();
            cluster.everything_lives_again().await.unwrap();
        } else {
            cluster.restart(victim).await.unwrap();
            tokio::time::sleep_until(killed + Duration::from_secs(1)).await;
        }
    }
    let took = begin.elapsed();
    for link in &chain[1..] {
        let end = arrived(&cluster, link, messages).await;
        assert_eq!((end.newest, end.out_of_order, end.undelivered), (messages, 0, 0), "seed {seed}: {link}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
    (kills, took)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "hours: cargo test --release -p raft-tests -- --ignored --nocapture a_long_chain; STANDIN_RUNS=A..B"]
async fn a_long_chain_is_exact_in_all_of_many_runs() {
    logs();
    let runs = std::env::var("STANDIN_RUNS").unwrap_or_else(|_| "0..50".to_owned());
    let (first, end) = runs.split_once("..").expect("a range");
    for seed in first.parse().unwrap()..end.parse().unwrap() {
        let (kills, took) = deadly_run(seed, 200_000).await;
        let how = if seed.is_multiple_of(2) { "replaced empty" } else { "restarted with their disks" };
        println!(
            "seed {seed}: 200000 messages through 5 links in {took:?}, {kills} peers killed and {how}: exact"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_an_ended_life_is_reported_and_never_reaches_the_next_one() {
    logs();
    let mut cluster = Cluster::start(3, links).await.unwrap();
    let (source, sink) = (link(&cluster, 1, Some(2)).await, link(&cluster, 2, None).await);
    emit(&cluster, &source, 10).await;
    arrived(&cluster, &sink, 10).await;
    let mut events = cluster.peer(1).events();
    // While its home is away what is sent waits; the life ends before it could arrive.
    cluster.kill(2);
    emit(&cluster, &source, 20).await;
    cluster.peer(0).stop(&sink).await.unwrap();
    let what = event(&mut events, |e| matches!(e, Event::Undelivered { .. })).await;
    assert!(matches!(&what, Event::Undelivered { to, .. } if to == sink.id()), "{what:?}");
    cluster.replace(2).await.unwrap();
    let sink = link(&cluster, 2, None).await;
    assert_eq!(show(&cluster, &sink).await, Link::default(), "nothing of the old life");
    assert!(show(&cluster, &source).await.undelivered >= 10);
    emit(&cluster, &source, 21).await;
    assert_eq!(arrived(&cluster, &sink, 21).await.newest, 21, "the new life gets what is meant for it");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
