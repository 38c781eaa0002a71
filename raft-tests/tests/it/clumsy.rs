//! An actor that cannot help panicking, under a stream of reliable messages.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, SendError};
use standin::testing::Cluster;
use standin::{Builder, Placement};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// Takes numbers, and panics ten times a second, on each number once: on a slow machine the same one would have its
/// turn again and again, and be put aside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clumsy {
    newest: u64,
    out_of_order: u64,
    dead: usize,
}

/// Not part of the state: that goes back with every panic.
static LAST_PANIC: Mutex<Option<(Instant, u64)>> = Mutex::new(None);

impl Actor for Clumsy {
    const KIND: &'static str = "clumsy";
}

#[derive(Serialize, Deserialize)]
pub struct Number(u64);
impl Message for Number {
    const NAME: &'static str = "number";
    type Reply = ();
}
impl Handler<Number> for Clumsy {
    async fn handle(&mut self, Number(n): Number, ctx: &mut Context<Self>) {
        {
            let mut last = LAST_PANIC.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_none_or(|(at, on)| at.elapsed() >= Duration::from_millis(100) && n > on) {
                *last = Some((Instant::now(), n));
                panic!("as it does");
            }
        }
        self.out_of_order += u64::from(n != self.newest + 1);
        (self.newest, self.dead) = (n, ctx.dead_letters().count());
    }
}

#[derive(Serialize, Deserialize)]
pub struct Look;
impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = Clumsy;
}
impl Handler<Look> for Clumsy {
    async fn handle(&mut self, Look: Look, _: &mut Context<Self>) -> Clumsy {
        self.clone()
    }
}

/// Sends the numbers up to a goal.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Source {
    sent: u64,
}
impl Actor for Source {
    const KIND: &'static str = "source";
}

#[derive(Serialize, Deserialize)]
pub struct Go(u64);
impl Message for Go {
    const NAME: &'static str = "go";
    type Reply = ();
}
impl Handler<Go> for Source {
    async fn handle(&mut self, Go(goal): Go, ctx: &mut Context<Self>) {
        let to = ActorRef::<Clumsy>::new("c").unwrap();
        for _ in 0..500 {
            if self.sent == goal {
                return;
            }
            match ctx.send(&to, Number(self.sent + 1)) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => break,
                Err(e) => panic!("{e}"),
            }
        }
        ctx.schedule_durable(Duration::ZERO, Go(goal)).unwrap();
    }
}

fn kinds(builder: Builder) -> Builder {
    let clumsy = Kind::of::<Clumsy>().handles::<Number>().handles::<Look>();
    builder.kind(clumsy).kind(Kind::of::<Source>().handles::<Go>())
}

async fn exact_despite_panics(messages: u64) {
    let mut cluster = Cluster::start(3, kinds).await.unwrap();
    let me = cluster.peer(0).clone();
    let source = me.create("s", Source::default(), Placement::On(cluster.node(1))).await.unwrap();
    let clumsy = me.create("c", Clumsy::default(), Placement::On(cluster.node(2))).await.unwrap();
    let begin = Instant::now();
    me.tell(&source, Go(messages)).await.unwrap();
    let end = Instant::now() + PATIENCE * 10;
    loop {
        match me.ask(&clumsy, Look).await {
            Ok(seen) if seen.newest == messages => {
                assert_eq!((seen.out_of_order, seen.dead), (0, 0));
                break;
            }
            seen => assert!(Instant::now() < end, "{seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{messages} messages in {:?}", begin.elapsed());
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_an_actor_that_panics_ten_times_a_second_take_effect_once_and_in_order() {
    exact_despite_panics(200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: cargo test --release -p raft-tests -- --ignored --nocapture a_million_messages"]
async fn a_million_messages_to_an_actor_that_panics_ten_times_a_second() {
    exact_despite_panics(1_000_000).await;
}
