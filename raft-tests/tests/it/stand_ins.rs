//! Others go on with the actors of a peer that is away, and hand them back; and actors move when a user says so.

use standin::actor::{ActorRef, Down};
use standin::testing::Cluster;
use standin::{CallError, Event, Outcome, Placement, Reason};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::*;

const AT_ONCE: Down = Down::StandIn { after: Duration::ZERO };

/// Counters at the peer `at`, with one each, that others may run.
async fn counters_at(cluster: &Cluster, at: usize, n: u64, down: Down) -> Vec<ActorRef<Counter>> {
    let mut all = vec![];
    for key in 0..n {
        let options = Placement::On(cluster.node(at)).down(down);
        all.push(cluster.peer(at).create(format!("c{at}-{key}"), Counter { n: 1 }, options).await.unwrap());
    }
    all
}

/// How many actors every peer runs, as one of them sees it.
fn loads(cluster: &Cluster, seen_by: usize) -> BTreeMap<usize, usize> {
    let members = cluster.peer(seen_by).status().members;
    let mut loads = BTreeMap::new();
    for line in cluster.peer(seen_by).actors() {
        let host = members.iter().find(|(_, m)| Some(m.incarnation) == line.host);
        if let Some((node, _)) = host {
            *loads.entry(cluster.index(node)).or_insert(0) += 1;
        }
    }
    loads
}

async fn wait_until_all_run_at(cluster: &Cluster, at: usize, n: usize, seen_by: usize) {
    until("all run there", || loads(cluster, seen_by).get(&at) == Some(&n)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peers_actors_run_elsewhere_until_its_replacement_has_them_back() {
    let mut cluster = cluster(4).await;
    let counters = counters_at(&cluster, 0, 30, AT_ONCE).await;
    let mut events = cluster.peer(1).events();
    cluster.kill(0);
    event(&mut events, |e| matches!(e, Event::TakenOver { actors: 30, .. })).await;
    // All answer although nobody replaces the machine, and no peer has to run all.
    for counter in &counters {
        assert_eq!(add(&cluster, 1, counter, 1).await, 2);
    }
    let spread = loads(&cluster, 1);
    assert_eq!(spread.values().copied().collect::<Vec<_>>(), [10, 10, 10], "{spread:?}");
    cluster.everything_lives_again().await.unwrap();

    cluster.replace(0).await.unwrap();
    wait_until_all_run_at(&cluster, 0, 30, 1).await;
    for counter in &counters {
        assert_eq!(add(&cluster, 0, counter, 1).await, 3, "what the stand-in did is not lost");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_do_not_fail_while_actors_are_handed_back_and_nothing_is_undone() {
    let cluster = Arc::new(cluster(4).await);
    let counters = counters_at(&cluster, 0, 20, AT_ONCE).await;
    cluster.isolate(0);
    until("others run them", || !loads(&cluster, 1).contains_key(&0)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = vec![];
    for (n, counter) in counters.iter().enumerate() {
        let (cluster, counter, stop) = (cluster.clone(), counter.clone(), stop.clone());
        callers.push(tokio::spawn(async move {
            let (mut sum, mut longest) = (1, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                // Plain asks: also what no checkpoint held yet when the move began must survive it.
                let answer = cluster.peer(1 + n % 3).ask(&counter, Add(1)).await;
                longest = longest.max(asked.elapsed());
                sum += 1;
                assert_eq!(answer, Ok(sum));
            }
            (sum, longest)
        }));
    }
    cluster.heal_all();
    wait_until_all_run_at(&cluster, 0, 20, 1).await;
    stop.store(true, Ordering::Relaxed);
    for (caller, counter) in callers.into_iter().zip(&counters) {
        let (expected, longest) = caller.await.unwrap();
        assert!(longest < Duration::from_secs(10), "a call waited for {longest:?}");
        assert_eq!(sum(&cluster, 2, counter).await, expected);
    }
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_waits_and_a_stand_in_comes_no_sooner_than_wished() {
    let mut cluster = cluster(3).await;
    let waits = counters_at(&cluster, 0, 1, Down::Wait).await.remove(0);
    let after = Duration::from_secs(2);
    let options = Placement::On(cluster.node(0)).down(Down::StandIn { after });
    let moves = cluster.peer(0).create("moves", Counter { n: 1 }, options).await.unwrap();
    let mut events = cluster.peer(1).events();
    cluster.kill(0);
    event(&mut events, |e| matches!(e, Event::PeerDown { .. })).await;
    let down = Instant::now();
    assert_eq!(add(&cluster, 1, &moves, 1).await, 2);
    let passed = down.elapsed();
    assert!(passed > after - Duration::from_millis(200), "taken over after {passed:?}");
    let asked = cluster.peer(1).ask_within(&waits, Add(1), Duration::from_millis(300)).await;
    assert_eq!(asked, Err(CallError { outcome: Outcome::NotExecuted, reason: Reason::Deadline }));
    cluster.restart(0).await.unwrap();
    assert_eq!(add(&cluster, 1, &waits, 1).await, 2);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_comes_back_and_dies_again_and_so_does_a_stand_in() {
    let mut cluster = cluster(5).await;
    let counters = counters_at(&cluster, 0, 40, AT_ONCE).await;
    let mut expected = 1;
    for round in 0..3 {
        cluster.kill(0);
        until("others run them", || !loads(&cluster, 1).contains_key(&0)).await;
        for counter in &counters {
            add(&cluster, 1, counter, 1).await;
        }
        expected += 1;
        cluster.replace(0).await.unwrap();
        // In the middle of the hand-back, or at its end.
        until("some are back", || loads(&cluster, 1).get(&0) >= Some(&(round * 15))).await;
    }
    cluster.kill(2);
    for counter in &counters {
        assert_eq!(sum(&cluster, 1, counter).await, expected);
    }
    cluster.replace(2).await.unwrap();
    wait_until_all_run_at(&cluster, 0, 40, 1).await;
    for counter in &counters {
        assert_eq!(sum(&cluster, 1, counter).await, expected);
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_at_a_long_message_goes_home_when_that_is_done_and_delays_no_other() {
    let cluster = Arc::new(cluster(3).await);
    let counters = counters_at(&cluster, 0, 10, AT_ONCE).await;
    cluster.isolate(0);
    until("others run them", || !loads(&cluster, 1).contains_key(&0)).await;
    let busy = counters[0].clone();
    let asks = cluster.clone();
    let long = tokio::spawn(async move { asks.peer(1).ask(&busy, AddSlowly(5, 6_000)).await });
    until("it has begun", || loads(&cluster, 1).len() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.heal_all();
    until("the others are home", || loads(&cluster, 1).get(&0) == Some(&9)).await;
    assert!(!long.is_finished());
    assert_eq!(long.await.unwrap(), Ok(6));
    wait_until_all_run_at(&cluster, 0, 10, 1).await;
    assert_eq!(sum(&cluster, 2, &counters[0]).await, 6);
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_moves_where_it_is_told_to_and_stays_there_until_its_host_is_lost() {
    let mut cluster = cluster(4).await;
    let counter = counter(&cluster, 0, "mover", 1).await;
    assert_eq!(cluster.peer(1).ask(&counter, Add(1)).await, Ok(2));
    let mut events = cluster.peer(2).events();
    cluster.peer(3).move_to(&counter, &cluster.node(2)).await.unwrap();
    // Not even a checkpoint was asked for before.
    assert_eq!(cluster.peer(1).ask(&counter, Add(1)).await, Ok(3));
    event(&mut events, |e| matches!(e, Event::ActorMoved { .. })).await;
    assert_eq!(loads(&cluster, 2), BTreeMap::from([(2, 1)]));
    cluster.peer(1).move_to(&counter, &cluster.node(2)).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    assert_eq!(loads(&cluster, 2), BTreeMap::from([(2, 1)]), "it stays, although its home is up");

    let nowhere = standin::id::NodeId::new("nowhere").unwrap();
    let refused = cluster.peer(1).move_to(&counter, &nowhere).await.unwrap_err();
    assert_eq!(refused.outcome, Outcome::NotExecuted, "{refused}");
    let nobody = ActorRef::<Counter>::new("nobody").unwrap();
    let refused = cluster.peer(1).move_to(&nobody, &cluster.node(2)).await.unwrap_err();
    assert_eq!(refused, CallError { outcome: Outcome::NotExecuted, reason: Reason::NoSuchActor });

    add(&cluster, 1, &counter, 0).await;
    cluster.kill(2);
    assert_eq!(sum(&cluster, 1, &counter).await, 3);
    assert_eq!(loads(&cluster, 1), BTreeMap::from([(0, 1)]), "its home is up, and nobody had to wait");
    cluster.replace(2).await.unwrap();
    cluster.peer(1).move_to(&counter, &cluster.node(2)).await.unwrap();
    cluster.peer(1).move_to(&counter, &cluster.node(0)).await.unwrap();
    assert_eq!(sum(&cluster, 1, &counter).await, 3);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_peers_actors_leave_before_it_does_and_are_back_when_it_is() {
    let mut cluster = cluster(4).await;
    let counters = counters_at(&cluster, 0, 30, Down::Wait).await;
    for counter in &counters {
        assert_eq!(cluster.peer(1).ask(counter, Add(1)).await, Ok(2));
    }
    cluster.drain(0).await.unwrap();
    assert_eq!(loads(&cluster, 1).get(&0), None);
    for counter in &counters {
        // Nobody waits: they run elsewhere although their policy is to wait for a home that dies.
        let asked = cluster.peer(1).ask_within(counter, Add(1), Duration::from_secs(10)).await;
        assert_eq!(asked, Ok(3));
    }
    cluster.restart(0).await.unwrap();
    wait_until_all_run_at(&cluster, 0, 30, 1).await;
    for counter in &counters {
        assert_eq!(cluster.peer(1).ask(counter, Add(1)).await, Ok(4));
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
