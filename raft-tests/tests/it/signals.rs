//! What actors and users are told of actors, and what an actor tells itself later, across the loss of machines.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Cause, Context, Down, Handler, Kind, Message, Policy, Restored, When};
use standin::id::{ActorId, NodeId};
use standin::testing::{Cluster, World};
use standin::{Builder, CallError, Change, Event, Outcome, Placement, Reason, Watcher};
use std::time::Duration;
use tokio::time::{Instant, timeout};

use crate::support::*;

/// Remembers what it is told, and keeps a watch over others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    told: Vec<(String, Change)>,
    begun: Vec<String>,
    /// How old the checkpoint was, and for how long it ran nowhere, in milliseconds.
    aged: Vec<(Option<u64>, u64)>,
    rung: Vec<u64>,
}

impl Actor for Guard {
    const KIND: &'static str = "guard";
    fn policy() -> Policy {
        Policy {
            checkpoint: When::Every(Duration::from_millis(100)),
            max_restarts: Some(3),
            ..Policy::default()
        }
    }

    async fn on_change(&mut self, of: ActorId, change: Change, _: &mut Context<Self>) {
        self.told.push((of.key().to_owned(), change));
    }

    async fn on_restored(&mut self, what: Restored, _: &mut Context<Self>) {
        assert_ne!(what.cause, Cause::Panicked, "it never gets over a panic");
        let long = if what.downtime > Duration::from_millis(500) { "long" } else { "short" };
        let ms = |long: Duration| long.as_millis() as u64;
        self.aged.push((what.age.map(ms), ms(what.downtime)));
        self.begun.push(format!("{:?} after a {long} time", what.cause));
    }
}

#[derive(Serialize, Deserialize)]
pub struct Mind {
    key: String,
}
impl Message for Mind {
    const NAME: &'static str = "mind";
    type Reply = ();
}
impl Handler<Mind> for Guard {
    async fn handle(&mut self, Mind { key }: Mind, ctx: &mut Context<Self>) {
        ctx.watch(&ActorRef::<Counter>::new(key).unwrap()).unwrap();
        ctx.checkpoint().await;
    }
}

/// Rings after so many milliseconds.
#[derive(Serialize, Deserialize)]
pub struct Arm {
    ms: u64,
    n: u64,
}
impl Message for Arm {
    const NAME: &'static str = "arm";
    type Reply = ();
}
impl Handler<Arm> for Guard {
    async fn handle(&mut self, Arm { ms, n }: Arm, ctx: &mut Context<Self>) {
        ctx.schedule_durable(Duration::from_millis(ms), Ring(n)).unwrap();
        ctx.checkpoint().await;
    }
}

#[derive(Serialize, Deserialize)]
pub struct Ring(u64);
impl Message for Ring {
    const NAME: &'static str = "ring";
    type Reply = ();
}
impl Handler<Ring> for Guard {
    async fn handle(&mut self, Ring(n): Ring, _: &mut Context<Self>) {
        self.rung.push(n);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Report;
impl Message for Report {
    const NAME: &'static str = "report";
    type Reply = Guard;
}
impl Handler<Report> for Guard {
    async fn handle(&mut self, Report: Report, _: &mut Context<Self>) -> Guard {
        self.clone()
    }
}

#[derive(Serialize, Deserialize)]
pub struct Faint;
impl Message for Faint {
    const NAME: &'static str = "faint";
    type Reply = ();
}
impl Handler<Faint> for Guard {
    async fn handle(&mut self, Faint: Faint, _: &mut Context<Self>) {
        panic!("as the test wishes");
    }
}

fn guards(builder: Builder) -> Builder {
    let guard = Kind::of::<Guard>().handles::<Mind>().handles::<Arm>().handles::<Ring>();
    counters(builder).kind(guard.handles::<Report>().handles::<Faint>())
}

async fn guarded(n: usize) -> Cluster {
    logs();
    let cluster = Cluster::start(n, guards).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    cluster
}

async fn simulated(seed: u64, n: usize) -> Cluster {
    logs();
    let cluster = Cluster::simulated(World::new(seed), n, guards).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    cluster
}

async fn guard(cluster: &Cluster, at: usize) -> ActorRef<Guard> {
    cluster.peer(at).create("g", Guard::default(), Placement::On(cluster.node(at))).await.unwrap()
}

async fn report(cluster: &Cluster, by: usize, guard: &ActorRef<Guard>) -> Guard {
    cluster.peer(by).ask(guard, Report).await.unwrap()
}

/// Waits until the guard's report is as it should be.
async fn until_reported(
    cluster: &Cluster,
    by: usize,
    guard: &ActorRef<Guard>,
    holds: impl Fn(&Guard) -> bool,
) -> Guard {
    let end = Instant::now() + PATIENCE;
    loop {
        match cluster.peer(by).ask(guard, Report).await {
            Ok(seen) if holds(&seen) => return seen,
            seen => assert!(Instant::now() < end, "{seen:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a call is told that the actor has failed. One that was under way just then is told something else.
async fn until_refused(cluster: &Cluster, guard: &ActorRef<Guard>) {
    let end = Instant::now() + PATIENCE;
    loop {
        let refused = cluster.peer(0).ask(guard, Report).await.unwrap_err();
        if refused == (CallError { outcome: Outcome::NotExecuted, reason: Reason::Failed }) {
            return;
        }
        assert!(Instant::now() < end, "{refused}");
    }
}

async fn next(watcher: &mut Watcher) -> Change {
    timeout(PATIENCE, watcher.next()).await.expect("in time").expect("it goes on")
}

fn is_at(node: &NodeId) -> impl Fn(&Change) -> bool {
    move |change| matches!(change, Change::Recovered { node: at, .. } | Change::Moved { node: at, .. } if at == node)
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_inside_and_outside_of_actors_are_told_what_becomes_of_one() {
    watchers_are_told(guarded(4).await).await;
}

#[tokio::test(start_paused = true)]
async fn simulated_watchers_inside_and_outside_of_actors_are_told_what_becomes_of_one() {
    watchers_are_told(simulated(41, 4).await).await;
}

async fn watchers_are_told(mut cluster: Cluster) {
    let (home, away) = (cluster.node(1), cluster.node(2));
    let counter = counter(&cluster, 1, "watched", 1).await;
    let guard = guard(&cluster, 0).await;
    cluster.peer(0).ask(&guard, Mind { key: "watched".into() }).await.unwrap();
    cluster.peer(0).ask(&guard, Mind { key: "never was".into() }).await.unwrap();
    let mut watcher = cluster.peer(3).watch(&counter).await.unwrap();

    cluster.kill(1);
    assert_eq!(next(&mut watcher).await, Change::Recovering);
    cluster.replace(1).await.unwrap();
    let recovered = next(&mut watcher).await;
    let Change::Recovered { away: silent, from_seq: 0, .. } = &recovered else { panic!("{recovered:?}") };
    assert!(is_at(&home)(&recovered) && *silent > Duration::from_millis(500), "{recovered:?}");
    cluster.peer(0).move_to(&counter, &away).await.unwrap();
    let moved = next(&mut watcher).await;
    assert!(is_at(&away)(&moved), "{moved:?}");
    cluster.peer(0).stop(&counter).await.unwrap();
    assert_eq!(next(&mut watcher).await, Change::Stopped);
    assert_eq!(watcher.next().await, None);

    let told = until_reported(&cluster, 0, &guard, |g| {
        g.told.iter().filter(|(_, c)| *c == Change::Stopped).count() == 2
    });
    let told = told.await.told;
    let of = |key: &str| told.iter().filter(|(of, _)| of == key).map(|(_, c)| c.clone()).collect::<Vec<_>>();
    assert_eq!(of("never was"), [Change::Stopped]);
    assert!(
        matches!(
            &of("watched")[..],
            [Change::Recovering, Change::Recovered { .. }, Change::Moved { .. }, Change::Stopped]
        ),
        "{told:?}"
    );
    let refused = cluster.peer(0).watch(&counter).await.err();
    assert_eq!(refused, Some(CallError { outcome: Outcome::NotExecuted, reason: Reason::NoSuchActor }));
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_was_away_itself_is_told_what_it_missed_and_why_it_began_anew() {
    a_watcher_was_away(guarded(4).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_watcher_that_was_away_itself_is_told_what_it_missed_and_why_it_began_anew() {
    a_watcher_was_away(simulated(42, 4).await).await;
}

async fn a_watcher_was_away(mut cluster: Cluster) {
    let counter = counter(&cluster, 1, "watched", 1).await;
    let guard = guard(&cluster, 0).await;
    cluster.peer(0).ask(&guard, Mind { key: "watched".into() }).await.unwrap();
    cluster.peer(0).ask(&guard, Arm { ms: 400, n: 1 }).await.unwrap();
    let armed = tokio::time::Instant::now();
    cluster.kill(0);
    // It happens while the watcher is away.
    cluster.peer(2).stop(&counter).await.unwrap();
    cluster.replace(0).await.unwrap();
    let seen = until_reported(&cluster, 2, &guard, |g| !g.told.is_empty() && !g.rung.is_empty()).await;
    assert_eq!(seen.told, [("watched".to_owned(), Change::Stopped)]);
    assert_eq!(seen.begun, ["Recovered after a long time"]);
    // The checkpoint was durable before it was armed; who let the new machine in knows since when.
    let (age, downtime) = seen.aged[0];
    assert!(age.is_some_and(|age| age + 500 >= downtime && age <= 1000 + armed.elapsed().as_millis() as u64));
    cluster.peer(2).move_to(&guard, &cluster.node(3)).await.unwrap();
    let seen = report(&cluster, 2, &guard).await;
    assert_eq!(seen.begun, ["Recovered after a long time", "Moved after a short time"]);
    assert_eq!((seen.told.len(), seen.rung), (1, vec![1]), "nothing comes twice");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_get_over_a_panic_fails_loudly_until_it_is_revived_by_a_program_that_can() {
    one_fails_loudly(guarded(3).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_one_that_cannot_get_over_a_panic_fails_loudly_until_it_is_revived() {
    one_fails_loudly(simulated(43, 3).await).await;
}

async fn one_fails_loudly(mut cluster: Cluster) {
    let options = Placement::On(cluster.node(1)).down(Down::StandIn { after: Duration::ZERO });
    let guard = cluster.peer(1).create("g", Guard::default(), options).await.unwrap();
    let (mut events, mut watcher) = (cluster.peer(2).events(), cluster.peer(2).watch(&guard).await.unwrap());
    let fainted = cluster.peer(0).ask(&guard, Faint).await;
    assert!(matches!(fainted, Err(CallError { outcome: Outcome::Executed, .. })), "{fainted:?}");
    event(&mut events, |e| matches!(e, Event::ActorFailed { actor } if actor == guard.id())).await;
    until_refused(&cluster, &guard).await;
    while next(&mut watcher).await != Change::Failed {}
    // Nor does it run elsewhere.
    cluster.kill(1);
    event(&mut events, |e| matches!(e, Event::PeerDown { .. })).await;
    until_refused(&cluster, &guard).await;
    cluster.peer(0).revive(&guard).await.unwrap();
    // Its new host has not seen it panic.
    let seen = report(&cluster, 0, &guard).await;
    assert_eq!(seen.begun.len(), 1);
    cluster.replace(1).await.unwrap();
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
