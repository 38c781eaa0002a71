//! Actors that share a connection: slow ones leave room for others, and long messages do not delay short ones.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message};
use standin::testing::{Cluster, World};
use standin::{Builder, Placement};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::*;

/// Handlers of slow ones wait here, each test's at one of its own.
static BARRIERS: [Semaphore; 2] = [const { Semaphore::const_new(0) }; 2];

/// Waits as it is told to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Clerk {
    handled: u64,
}

impl Actor for Clerk {
    const KIND: &'static str = "clerk";
}

/// At which barrier.
#[derive(Serialize, Deserialize)]
pub struct Wait(usize);
impl Message for Wait {
    const NAME: &'static str = "wait";
    type Reply = u64;
}

impl Handler<Wait> for Clerk {
    async fn handle(&mut self, Wait(at): Wait, _: &mut Context<Self>) -> u64 {
        BARRIERS[at].acquire().await.unwrap().forget();
        self.handled += 1;
        self.handled
    }
}

#[derive(Serialize, Deserialize)]
pub struct Hurry;
impl Message for Hurry {
    const NAME: &'static str = "hurry";
    type Reply = u64;
}

impl Handler<Hurry> for Clerk {
    async fn handle(&mut self, _: Hurry, _: &mut Context<Self>) -> u64 {
        self.handled
    }
}

fn clerks(builder: Builder) -> Builder {
    builder.kind(Kind::of::<Clerk>().handles::<Wait>().handles::<Hurry>())
}

/// More calls than one connection may have under way wait for slow actors; how long a quick one's answers take.
async fn asks_beside_slow_ones(cluster: &Cluster, barrier: usize) -> Vec<Duration> {
    const SLOW: u64 = 6;
    const EACH: u64 = 1000;
    let home = Placement::On(cluster.node(1));
    let mut slow = Vec::new();
    for n in 0..SLOW {
        slow.push(cluster.peer(0).create(format!("slow-{n}"), Clerk::default(), home.clone()).await.unwrap());
    }
    let quick = cluster.peer(0).create("quick", Clerk::default(), home).await.unwrap();
    let peer = cluster.peer(0).clone();
    let asked = slow.into_iter().flat_map(|clerk: ActorRef<Clerk>| (0..EACH).map(move |_| clerk.clone()));
    let asked: Vec<_> = asked
        .map(|clerk| {
            let peer = peer.clone();
            tokio::spawn(async move { peer.ask(&clerk, Wait(barrier)).await })
        })
        .collect();
    // All that may leave has left: the first that must wait is counted among the calls that wait.
    until("some calls wait for credit", || cluster.peer(0).status().calls_held > 0).await;
    let mut took = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        cluster.peer(0).ask_within(&quick, Hurry, Duration::from_secs(5)).await.unwrap();
        took.push(begin.elapsed());
    }
    BARRIERS[barrier].add_permits(usize::try_from(SLOW * EACH).unwrap());
    let mut answers = join_all(asked).await.into_iter().map(|a| a.unwrap().unwrap()).collect::<Vec<_>>();
    answers.sort_unstable();
    let each_once: Vec<u64> = (1..=EACH).flat_map(|n| std::iter::repeat_n(n, SLOW as usize)).collect();
    assert!(answers == each_once, "every call was handled once");
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_actors_leave_room_for_another_one_behind_the_same_connection() {
    let mut cluster = Cluster::start(3, clerks).await.unwrap();
    asks_beside_slow_ones(&cluster, 0).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn simulated_slow_actors_leave_room_for_another_one_behind_the_same_connection() {
    logs();
    let cluster = Cluster::simulated(World::new(31), 3, clerks).await.unwrap();
    let took = asks_beside_slow_ones(&cluster, 1).await;
    // As if the others were not there: there and back, at 0.7 ms at most each way.
    let slowest = took.iter().max().unwrap();
    assert!(*slowest < Duration::from_millis(10), "{took:?}");
    cluster.check_invariants().await.unwrap();
}
