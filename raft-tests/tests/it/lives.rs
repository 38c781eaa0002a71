//! Actors that end and begin anew under the same name, on either end of a session, and on both.

use serde::{Deserialize, Serialize};
use standin::Placement;
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Policy, Undelivered, When};
use standin::testing::Cluster;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// In one of its lives: keeps what each life of the other one sent, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mortal {
    life: u32,
    sent: u64,
    got: BTreeMap<u32, Vec<u64>>,
    undelivered: u64,
}

impl Actor for Mortal {
    const KIND: &'static str = "mortal";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, ..Policy::default() }
    }
    async fn on_undelivered(&mut self, what: Undelivered, _: &mut Context<Self>) {
        self.undelivered += what.messages;
    }
}

/// A number from one of the other's lives.
#[derive(Serialize, Deserialize)]
pub struct Word(u32, u64);
impl Message for Word {
    const NAME: &'static str = "word";
    type Reply = ();
}
impl Handler<Word> for Mortal {
    async fn handle(&mut self, Word(life, n): Word, _: &mut Context<Self>) {
        self.got.entry(life).or_default().push(n);
    }
}

/// Send so many to the sink.
#[derive(Serialize, Deserialize)]
pub struct Speak(u64);
impl Message for Speak {
    const NAME: &'static str = "speak";
    type Reply = ();
}
impl Handler<Speak> for Mortal {
    async fn handle(&mut self, Speak(words): Speak, ctx: &mut Context<Self>) {
        let sink = ActorRef::<Self>::new("sink").unwrap();
        for _ in 0..words {
            self.sent += 1;
            ctx.send(&sink, Word(self.life, self.sent)).unwrap();
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Show;
impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Mortal;
}
impl Handler<Show> for Mortal {
    async fn handle(&mut self, Show: Show, _: &mut Context<Self>) -> Mortal {
        self.clone()
    }
}

async fn mortals() -> Cluster {
    logs();
    let kind = || Kind::of::<Mortal>().handles::<Word>().handles::<Speak>().handles::<Show>();
    Cluster::start(5, move |builder| builder.kind(kind())).await.unwrap()
}

async fn born(cluster: &Cluster, key: &str, at: usize, life: u32) -> ActorRef<Mortal> {
    let state = Mortal { life, ..Mortal::default() };
    cluster.peer(0).create(key, state, Placement::On(cluster.node(at))).await.unwrap()
}

/// Durably, so that what is sent has left.
async fn speak(cluster: &Cluster, source: &ActorRef<Mortal>, words: u64) {
    cluster.peer(0).ask_durable(source, Speak(words), PATIENCE).await.unwrap();
}

async fn shown(cluster: &Cluster, of: &ActorRef<Mortal>, is_so: impl Fn(&Mortal) -> bool) -> Mortal {
    let end = Instant::now() + PATIENCE;
    loop {
        match cluster.peer(0).ask_within(of, Show, Duration::from_secs(5)).await {
            Ok(seen) if is_so(&seen) => return seen,
            seen => assert!(Instant::now() < end, "{of}: {seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn numbers(to: u64) -> Vec<u64> {
    (1..=to).collect()
}

/// A first life of the source: ten numbers arrive, the sink's machine dies, and when the source ends five more wait for
/// it. The sink.
async fn a_life_has_ended(cluster: &mut Cluster) -> ActorRef<Mortal> {
    let (source, sink) = (born(cluster, "source", 1, 1).await, born(cluster, "sink", 2, 0).await);
    speak(cluster, &source, 10).await;
    shown(cluster, &sink, |sink| sink.got.get(&1) == Some(&numbers(10))).await;
    cluster.kill(2);
    speak(cluster, &source, 5).await;
    cluster.peer(0).stop(&source).await.unwrap();
    sink
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_begins_anew_under_its_name_is_another_one() {
    let mut cluster = mortals().await;
    let sink = a_life_has_ended(&mut cluster).await;
    let source = born(&cluster, "source", 3, 2).await;
    speak(&cluster, &source, 7).await;
    cluster.replace(2).await.unwrap();
    let all = |sink: &Mortal| sink.got.get(&2) == Some(&numbers(7));
    let first = shown(&cluster, &sink, all).await.got.remove(&1).unwrap();
    assert_eq!(first, numbers(10), "what had arrived stays, and no more of it comes");
    // Both tables go through a checkpoint and a restore once more.
    cluster.kill(2);
    cluster.kill(3);
    cluster.replace(2).await.unwrap();
    cluster.replace(3).await.unwrap();
    speak(&cluster, &source, 3).await;
    let seen = shown(&cluster, &sink, |sink| sink.got.get(&2) == Some(&numbers(10))).await;
    assert_eq!(seen.got[&1], numbers(10));
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_both_ends_begin_anew_neither_hears_of_what_was_before() {
    let mut cluster = mortals().await;
    let sink = a_life_has_ended(&mut cluster).await;
    cluster.peer(0).stop(&sink).await.unwrap();
    let source = born(&cluster, "source", 3, 2).await;
    speak(&cluster, &source, 4).await;
    let told = shown(&cluster, &source, |source| source.undelivered > 0).await;
    assert_eq!(told.undelivered, 4, "there is nobody of that name");
    cluster.replace(2).await.unwrap();
    let sink = born(&cluster, "sink", 2, 9).await;
    speak(&cluster, &source, 6).await;
    let seen = shown(&cluster, &sink, |sink| sink.got.contains_key(&2)).await;
    assert_eq!(seen.got.keys().collect::<Vec<_>>(), [&2], "{seen:?}");
    let seen = shown(&cluster, &sink, |sink| sink.got[&2].len() == 6).await;
    assert_eq!(seen.got[&2], (5..=10).collect::<Vec<_>>());
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
