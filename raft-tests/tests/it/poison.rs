//! A message that no handler survives, among others that an actor sends reliably.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message};
use standin::testing::{Cluster, World};
use standin::{Builder, Placement};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// What it cannot stand.
const POISON: u64 = 13;

/// Takes numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Taster {
    got: Vec<u64>,
}

impl Actor for Taster {
    const KIND: &'static str = "taster";
}

#[derive(Serialize, Deserialize)]
pub struct Morsel(u64);
impl Message for Morsel {
    const NAME: &'static str = "morsel";
    type Reply = ();
}
impl Handler<Morsel> for Taster {
    async fn handle(&mut self, Morsel(n): Morsel, _: &mut Context<Self>) {
        self.got.push(n);
        assert_ne!(n, POISON, "as the test wishes");
    }
}

/// What it took, and how many messages were put aside.
#[derive(Serialize, Deserialize)]
pub struct Look;
impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = (Vec<u64>, usize);
}
impl Handler<Look> for Taster {
    async fn handle(&mut self, Look: Look, ctx: &mut Context<Self>) -> (Vec<u64>, usize) {
        (self.got.clone(), ctx.dead_letters().count())
    }
}

/// Sends numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cook {
    sent: u64,
}

impl Actor for Cook {
    const KIND: &'static str = "cook";
}

#[derive(Serialize, Deserialize)]
pub struct Serve(u64);
impl Message for Serve {
    const NAME: &'static str = "serve";
    type Reply = ();
}
impl Handler<Serve> for Cook {
    async fn handle(&mut self, Serve(up_to): Serve, ctx: &mut Context<Self>) {
        let taster = ActorRef::<Taster>::new("t").unwrap();
        while self.sent < up_to {
            self.sent += 1;
            ctx.send(&taster, Morsel(self.sent)).unwrap();
        }
    }
}

fn kinds(builder: Builder) -> Builder {
    let taster = Kind::of::<Taster>().handles::<Morsel>().handles::<Look>();
    builder.kind(taster).kind(Kind::of::<Cook>().handles::<Serve>())
}

/// Waits until all but the poison was taken, once and in order, and that was put aside.
async fn until_taken(cluster: &Cluster, taster: &ActorRef<Taster>, up_to: u64) {
    let all: Vec<u64> = (1..=up_to).filter(|n| *n != POISON).collect();
    let end = Instant::now() + PATIENCE;
    loop {
        match cluster.peer(0).ask_within(taster, Look, Duration::from_secs(5)).await {
            Ok((got, dead)) if got == all => return assert_eq!(dead, 1),
            seen => assert!(Instant::now() < end, "{seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_poison_message_is_put_aside(mut cluster: Cluster) {
    cluster.everything_lives_again().await.unwrap();
    let cook = cluster.peer(0).create("c", Cook::default(), Placement::On(cluster.node(1))).await.unwrap();
    let taster =
        cluster.peer(0).create("t", Taster::default(), Placement::On(cluster.node(2))).await.unwrap();
    cluster.peer(0).ask_durable(&cook, Serve(20), PATIENCE).await.unwrap();
    // Somewhere among its panics; the next machine begins to count anew.
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    until_taken(&cluster, &taster, 20).await;
    cluster.everything_lives_again().await.unwrap();
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    cluster.peer(0).ask_durable(&cook, Serve(30), PATIENCE).await.unwrap();
    until_taken(&cluster, &taster, 30).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_always_panics_is_put_aside_once_although_machines_die() {
    logs();
    a_poison_message_is_put_aside(Cluster::start(4, kinds).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_message_that_always_panics_is_put_aside_once_although_machines_die() {
    logs();
    for seed in 71..74 {
        a_poison_message_is_put_aside(Cluster::simulated(World::new(seed), 4, kinds).await.unwrap()).await;
    }
}
