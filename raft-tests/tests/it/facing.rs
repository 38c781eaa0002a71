//! Two that send each other more than their outboxes hold.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, SendError};
use standin::testing::{Cluster, World};
use standin::{Builder, Placement};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// Sends numbers to another of its kind as fast as it may, and checks those that it gets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Duelist {
    other: String,
    sent: u64,
    goal: u64,
    got: u64,
    out_of_order: u64,
    refused: u64,
}

impl Actor for Duelist {
    const KIND: &'static str = "duelist";
}

/// Go on until so many are sent.
#[derive(Serialize, Deserialize)]
pub struct Fire {
    goal: u64,
}
impl Message for Fire {
    const NAME: &'static str = "fire";
    type Reply = ();
}

impl Handler<Fire> for Duelist {
    async fn handle(&mut self, Fire { goal }: Fire, ctx: &mut Context<Self>) {
        let other = ActorRef::<Self>::new(&self.other).unwrap();
        self.goal = goal;
        for _ in 0..1000 {
            if self.sent == goal {
                return;
            }
            match ctx.send(&other, Hit(self.sent + 1)) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => {
                    self.refused += 1;
                    break;
                }
                Err(e) => panic!("{e}"),
            }
        }
        ctx.schedule_durable(Duration::from_millis(1), Fire { goal }).unwrap();
    }
}

#[derive(Serialize, Deserialize)]
pub struct Hit(u64);
impl Message for Hit {
    const NAME: &'static str = "hit";
    type Reply = ();
}

impl Handler<Hit> for Duelist {
    async fn handle(&mut self, Hit(n): Hit, _: &mut Context<Self>) {
        self.out_of_order += u64::from(n != self.got + 1);
        self.got = n;
    }
}

#[derive(Serialize, Deserialize)]
pub struct Show;
impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Duelist;
}

impl Handler<Show> for Duelist {
    async fn handle(&mut self, Show: Show, _: &mut Context<Self>) -> Duelist {
        self.clone()
    }
}

fn duelists(builder: Builder) -> Builder {
    builder.kind(Kind::of::<Duelist>().handles::<Fire>().handles::<Hit>().handles::<Show>())
}

async fn duelist(cluster: &Cluster, at: usize, key: &str, other: &str) -> ActorRef<Duelist> {
    let state = Duelist { other: other.to_owned(), ..Duelist::default() };
    cluster.peer(0).create(key, state, Placement::On(cluster.node(at))).await.unwrap()
}

/// Both have sent all, and have got all, once and in order.
async fn until_even(cluster: &Cluster, all: &[ActorRef<Duelist>], goal: u64) {
    let end = Instant::now() + PATIENCE * 3;
    for one in all {
        loop {
            let seen = cluster.peer(0).ask(one, Show).await;
            match &seen {
                Ok(d) if d.got == goal && d.sent == goal => {
                    println!("{one}: {seen:?}");
                    assert_eq!(d.out_of_order, 0);
                    break;
                }
                _ => assert!(Instant::now() < end, "{one}: {seen:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_with_full_outboxes_that_face_each_other_go_on() {
    logs();
    face_each_other(Cluster::start(3, duelists).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn two_simulated_ones_with_full_outboxes_that_face_each_other_go_on() {
    logs();
    let cluster = Cluster::simulated(World::new(51), 3, duelists).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    face_each_other(cluster).await;
}

async fn face_each_other(mut cluster: Cluster) {
    const GOAL: u64 = 60_000;
    let all = [duelist(&cluster, 1, "a", "b").await, duelist(&cluster, 2, "b", "a").await];
    for one in &all {
        cluster.peer(0).tell(one, Fire { goal: GOAL }).await.unwrap();
    }
    until_even(&cluster, &all, GOAL).await;
    // And when one of them was away while the other went on sending.
    cluster.kill(2);
    cluster.peer(0).tell(&all[0], Fire { goal: GOAL * 2 }).await.unwrap();
    tokio::time::sleep(PAST_LEASES).await;
    cluster.replace(2).await.unwrap();
    cluster.peer(0).tell(&all[1], Fire { goal: GOAL * 2 }).await.unwrap();
    until_even(&cluster, &all, GOAL * 2).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
