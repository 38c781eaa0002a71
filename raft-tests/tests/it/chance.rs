//! A handler that draws lots, under both kinds of outboxes: why the default is the slower one.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Outbox, Policy, When};
use standin::testing::Cluster;
use standin::{Builder, Placement};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::support::*;

/// Draws a number for each order, adds it up, and tells another who does so too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gambler<const EAGER: bool> {
    rolls: u64,
    sum: u64,
}

impl<const EAGER: bool> Actor for Gambler<EAGER> {
    const KIND: &'static str = if EAGER { "eager-gambler" } else { "held-gambler" };
    fn policy() -> Policy {
        let outbox = if EAGER { Outbox::Eager } else { Outbox::Held };
        Policy { checkpoint: When::OnRequest, outbox, ..Policy::default() }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Roll;
impl Message for Roll {
    const NAME: &'static str = "roll";
    type Reply = ();
}
impl<const EAGER: bool> Handler<Roll> for Gambler<EAGER> {
    async fn handle(&mut self, Roll: Roll, ctx: &mut Context<Self>) {
        let drawn = RandomState::new().hash_one(0) >> 16;
        (self.rolls, self.sum) = (self.rolls + 1, self.sum + drawn);
        ctx.send(&ActorRef::<Self>::new("book").unwrap(), Drawn(drawn)).unwrap();
    }
}

#[derive(Serialize, Deserialize)]
pub struct Drawn(u64);
impl Message for Drawn {
    const NAME: &'static str = "drawn";
    type Reply = ();
}
impl<const EAGER: bool> Handler<Drawn> for Gambler<EAGER> {
    async fn handle(&mut self, Drawn(n): Drawn, _: &mut Context<Self>) {
        (self.rolls, self.sum) = (self.rolls + 1, self.sum + n);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Look;
impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = (u64, u64);
}
impl<const EAGER: bool> Handler<Look> for Gambler<EAGER> {
    async fn handle(&mut self, Look: Look, _: &mut Context<Self>) -> (u64, u64) {
        (self.rolls, self.sum)
    }
}

fn gamblers(builder: Builder) -> Builder {
    builder
        .kind(Kind::of::<Gambler<true>>().handles::<Roll>().handles::<Drawn>().handles::<Look>())
        .kind(Kind::of::<Gambler<false>>().handles::<Roll>().handles::<Drawn>().handles::<Look>())
}

/// What both have in the end, after the one that draws died at the moment when the other one had heard of the newest
/// number.
async fn sums<const EAGER: bool>(cluster: &mut Cluster, rolls: u64) -> ((u64, u64), (u64, u64)) {
    let me = cluster.peer(0).clone();
    let state = Gambler::<EAGER>::default;
    let gambler = me.create("gambler", state(), Placement::On(cluster.node(1))).await.unwrap();
    let book = me.create("book", state(), Placement::On(cluster.node(2))).await.unwrap();
    for n in 1..=rolls {
        let (session, to) = (me.session().await.unwrap(), gambler.clone());
        let order = tokio::spawn(async move { session.send(&to, Roll).await });
        while me.ask(&book, Look).await.unwrap().0 < n {
            tokio::task::yield_now().await;
        }
        cluster.kill(1);
        cluster.restart(1).await.unwrap();
        order.await.unwrap().unwrap();
    }
    let mut seen = (me.ask(&gambler, Look).await.unwrap(), me.ask(&book, Look).await.unwrap());
    while seen.1.0 < rolls {
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen = (me.ask(&gambler, Look).await.unwrap(), me.ask(&book, Look).await.unwrap());
    }
    me.stop(&gambler).await.unwrap();
    me.stop(&book).await.unwrap();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_draws_lots_is_exact_when_held_and_not_when_eager() {
    logs();
    let mut cluster = Cluster::start(3, gamblers).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let (gambler, book) = sums::<false>(&mut cluster, 4).await;
    assert_eq!((gambler.0, gambler), (4, book), "held: both tell the same story");
    // Each order takes effect once here too; but the one that drew again sent what the other one knew already.
    let (gambler, book) = sums::<true>(&mut cluster, 4).await;
    assert_eq!((gambler.0, book.0), (4, 4));
    assert_ne!(gambler.1, book.1, "eager: its history and that of the book differ");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
