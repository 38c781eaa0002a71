//! Actors that share a connection: slow ones leave room for others, and long messages do not delay short ones.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use standin::Placement;
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message};
use standin::testing::Cluster;
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::support::*;

/// Handlers of slow ones wait here.
static BARRIER: Semaphore = Semaphore::const_new(0);

/// Waits as it is told to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Clerk {
    handled: u64,
}

impl Actor for Clerk {
    const KIND: &'static str = "clerk";
}

#[derive(Serialize, Deserialize)]
pub struct Wait;
impl Message for Wait {
    const NAME: &'static str = "wait";
    type Reply = u64;
}

impl Handler<Wait> for Clerk {
    async fn handle(&mut self, _: Wait, _: &mut Context<Self>) -> u64 {
        BARRIER.acquire().await.unwrap().forget();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_actors_leave_room_for_another_one_behind_the_same_connection() {
    const SLOW: u64 = 6;
    const EACH: u64 = 1000;
    let clerks = |b: standin::Builder| b.kind(Kind::of::<Clerk>().handles::<Wait>().handles::<Hurry>());
    let mut cluster = Cluster::start(3, clerks).await.unwrap();
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
            tokio::spawn(async move { peer.ask(&clerk, Wait).await })
        })
        .collect();
    // All that may leave has left: the first that must wait is counted among the calls that wait.
    until("some calls wait for credit", || cluster.peer(0).status().calls_held > 0).await;
    for _ in 0..20 {
        cluster.peer(0).ask_within(&quick, Hurry, Duration::from_secs(5)).await.unwrap();
    }
    BARRIER.add_permits(usize::try_from(SLOW * EACH).unwrap());
    let mut answers = join_all(asked).await.into_iter().map(|a| a.unwrap().unwrap()).collect::<Vec<_>>();
    answers.sort_unstable();
    let each_once: Vec<u64> = (1..=EACH).flat_map(|n| std::iter::repeat_n(n, SLOW as usize)).collect();
    assert!(answers == each_once, "every call was handled once");
    cluster.shutdown().await;
}
