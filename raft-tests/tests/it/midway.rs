//! Machines that die in the worst moment: after a message has left, or was executed, and before the checkpoint that
//! holds that. And hand-overs that are cut short, or cross each other.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use standin::Placement;
use standin::actor::{
    Actor, ActorRef, Context, Down, Handler, Kind, Message, Outbox, Policy, Restored, When,
};
use standin::testing::Cluster;
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

/// Checks that numbers come one after the other, and passes them on at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Runner {
    next: Option<String>,
    newest: u64,
    out_of_order: u64,
    /// Where it began anew, each time.
    restored: Vec<u64>,
}

impl Actor for Runner {
    const KIND: &'static str = "runner";
    fn policy() -> Policy {
        let checkpoint = When::Every(Duration::from_secs(1));
        Policy { checkpoint, outbox: Outbox::Eager, ..Policy::default() }
    }
    async fn on_restored(&mut self, _: Restored, _: &mut Context<Self>) {
        self.restored.push(self.newest);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Take(u64);
impl Message for Take {
    const NAME: &'static str = "take";
    type Reply = ();
}

impl Handler<Take> for Runner {
    async fn handle(&mut self, Take(n): Take, ctx: &mut Context<Self>) {
        self.out_of_order += u64::from(n != self.newest + 1);
        self.newest = n;
        if let Some(next) = &self.next {
            ctx.send(&ActorRef::<Self>::new(next).unwrap(), Take(n)).unwrap();
        }
    }
}

/// Send the next numbers, up to this one, without haste.
#[derive(Serialize, Deserialize)]
pub struct Run(u64);
impl Message for Run {
    const NAME: &'static str = "run";
    type Reply = ();
}

impl Handler<Run> for Runner {
    async fn handle(&mut self, Run(to): Run, ctx: &mut Context<Self>) {
        let next = ActorRef::<Self>::new(self.next.as_deref().unwrap()).unwrap();
        for n in (self.newest + 1..=to).take(5) {
            ctx.send(&next, Take(n)).unwrap();
            self.newest = n;
        }
        if self.newest < to {
            ctx.schedule_durable(Duration::from_millis(1), Run(to)).unwrap();
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Where;
impl Message for Where {
    const NAME: &'static str = "where";
    type Reply = Runner;
}

impl Handler<Where> for Runner {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Runner {
        self.clone()
    }
}

async fn seen(cluster: &Cluster, runner: &ActorRef<Runner>) -> Runner {
    let end = Instant::now() + PATIENCE;
    loop {
        match cluster.peer(0).ask_within(runner, Where, Duration::from_secs(5)).await {
            Ok(runner) => return runner,
            Err(e) => assert!(Instant::now() < end, "{runner}: {e}"),
        }
    }
}

/// The newest number that one has taken, once it has taken one since this one: after a failure its sender waits for a
/// while before it tries again, and who dies meanwhile has done nothing.
async fn newest_since(cluster: &Cluster, runner: &ActorRef<Runner>, before: u64) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let newest = seen(cluster, runner).await.newest;
        if newest > before {
            return newest;
        }
        assert!(Instant::now() < end, "{runner} stands still at {newest}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn three_runners(cluster: &Cluster) -> Vec<ActorRef<Runner>> {
    let mut runners = Vec::new();
    for at in 1..=3 {
        let next = (at < 3).then(|| format!("runner-{}", at + 1));
        let home = Placement::On(cluster.node(at));
        let state = Runner { next, ..Runner::default() };
        runners.push(cluster.peer(0).create(format!("runner-{at}"), state, home).await.unwrap());
    }
    runners
}

/// The runners on peers 1 to 3 run while some of these peers die, until each victim has lost what others saw of it.
async fn exact_although_these_die_midway(victims: &[usize]) {
    const GOAL: u64 = 200_000;
    let kinds = |b: standin::Builder| {
        b.kind(Kind::of::<Runner>().handles::<Take>().handles::<Run>().handles::<Where>())
    };
    let mut cluster = Cluster::start(5, kinds).await.unwrap();
    let runners = three_runners(&cluster).await;
    cluster.everything_lives_again().await.unwrap();
    cluster.peer(0).ask_durable(&runners[0], Run(GOAL), PATIENCE).await.unwrap();
    let mut lost = vec![false; victims.len()];
    let mut restored_to = vec![0; victims.len()];
    for _ in 0..10 {
        let mut before = Vec::new();
        for (victim, restored_to) in victims.iter().zip(&restored_to) {
            before.push(newest_since(&cluster, &runners[victim - 1], *restored_to).await);
        }
        victims.iter().for_each(|victim| cluster.kill(*victim));
        for victim in victims {
            cluster.replace(*victim).await.unwrap();
        }
        for (at, (victim, before)) in victims.iter().zip(before).enumerate() {
            let Runner { newest, restored, .. } = seen(&cluster, &runners[victim - 1]).await;
            lost[at] |= restored.last().is_some_and(|newest| *newest < before);
            restored_to[at] = newest;
        }
        cluster.everything_lives_again().await.unwrap();
        if lost.iter().all(|lost| *lost) {
            break;
        }
    }
    assert!(lost.iter().all(|lost| *lost), "nobody died between an effect and its checkpoint: {lost:?}");
    let goal = seen(&cluster, &runners[0]).await.newest + 1000;
    for runner in &runners {
        let end = Instant::now() + PATIENCE;
        while seen(&cluster, runner).await.newest < goal {
            assert!(Instant::now() < end, "{runner} is stuck: {:?}", seen(&cluster, runner).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen(&cluster, runner).await.out_of_order, 0, "{runner}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_dies_between_sending_and_its_checkpoint() {
    exact_although_these_die_midway(&[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_dies_after_executing_and_before_its_checkpoint() {
    exact_although_these_die_midway(&[3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_and_its_receiver_die_at_once_before_their_checkpoints() {
    exact_although_these_die_midway(&[1, 2]).await;
}

/// What each counter has after this was added to all of them, at once.
async fn sums(cluster: &Cluster, counters: &[ActorRef<Counter>], n: u64) -> Vec<u64> {
    join_all(counters.iter().map(|counter| add(cluster, 0, counter, n))).await
}

/// Its home comes back before, while and after others take over.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_returns_at_every_moment_of_a_take_over() {
    const COUNTERS: usize = 100;
    let mut cluster = cluster(4).await;
    let mut counters = Vec::new();
    let down = Down::StandIn { after: Duration::ZERO };
    for n in 0..COUNTERS {
        let options = Placement::On(cluster.node(1)).down(down);
        let created = cluster.peer(1).create(format!("c{n}"), Counter { n: 0 }, options);
        counters.push(created);
    }
    let counters: Vec<_> = join_all(counters).await.into_iter().map(Result::unwrap).collect();
    for (round, moment) in (1..).zip([0, 800, 900, 1000, 1100]) {
        assert_eq!(sums(&cluster, &counters, 1).await, [round; COUNTERS]);
        cluster.kill(1);
        // The moment of the fault: marked down, taken over, restored elsewhere, all about one lease after the death.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        cluster.restart(1).await.unwrap();
        assert_eq!(sums(&cluster, &counters, 0).await, [round; COUNTERS], "after {moment} ms");
        let all_home = || {
            let status = cluster.peer(0).status();
            let home = status.members.get(&cluster.node(1)).map(|m| m.incarnation);
            cluster.peer(0).actors().iter().all(|actor| actor.host == home)
        };
        until("all are home", all_home).await;
        cluster.everything_lives_again().await.unwrap();
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
