//! Calls end in time, and their errors tell the truth.

use standin::actor::ActorRef;
use standin::testing::{Cluster, per_sender_order};
use standin::{Event, Outcome, Placement};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::{
    Add, Counter, Journal, Note, PATIENCE, Read, Tally, cluster, counter, event, sum, until,
};

const BRIEF: Duration = Duration::from_millis(400);

async fn ends_in_time(cluster: &Cluster, from: usize, name: &ActorRef<Counter>) -> Outcome {
    let start = Instant::now();
    let error = cluster.peer(from).ask_within(name, Add(1), BRIEF).await.unwrap_err();
    let took = start.elapsed();
    assert!(took < BRIEF * 2, "{took:?}: {error}");
    assert_ne!(error.outcome, Outcome::Executed);
    error.outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_cut_off_or_dead_target_ends_at_its_deadline_and_held_ones_are_delivered_later() {
    let mut cluster = cluster(3).await;
    let target = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (target + 1) % 3;
    let name = counter(&cluster, target, "apples", 0).await;
    let mut tally = Tally::default();
    tally.count(&cluster.peer(from).ask_durable(&name, Add(1), PATIENCE).await);
    cluster.isolate(target);
    for _ in 0..2 {
        match ends_in_time(&cluster, from, &name).await {
            Outcome::Unknown => tally.unknown += 1,
            _ => tally.not_executed += 1,
        }
    }
    cluster.heal_all();
    cluster.everything_lives_again().await.unwrap();
    let mut events = cluster.peer(from).events();
    cluster.kill(target);
    match ends_in_time(&cluster, from, &name).await {
        Outcome::Unknown => tally.unknown += 1,
        _ => tally.not_executed += 1,
    }
    event(&mut events, |e| matches!(e, Event::PeerDown { .. })).await;
    let held: Vec<_> = (0..20)
        .map(|_| {
            let (peer, name) = (cluster.peer(from).clone(), name.clone());
            tokio::spawn(async move { peer.ask_durable(&name, Add(1), PATIENCE).await })
        })
        .collect();
    cluster.replace(target).await.unwrap();
    let mut delivered = Tally::default();
    for call in held {
        delivered.count(&call.await.unwrap());
    }
    assert_eq!(delivered.not_executed, 0, "they had time enough: {delivered:?}");
    assert!(delivered.done > 0, "{delivered:?}");
    tally.done += delivered.done;
    tally.unknown += delivered.unknown;
    let sum = sum(&cluster, from, &name).await;
    assert!(tally.explains(sum), "{sum} of {tally:?}");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_knows_the_way_sends_nothing_to_a_host_that_is_known_to_be_down() {
    let mut cluster = cluster(3).await;
    let target = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (target + 1) % 3;
    let name = counter(&cluster, target, "apples", 0).await;
    for _ in 0..2 {
        cluster.peer(from).ask_within(&name, Add(1), Duration::MAX).await.unwrap();
    }
    let mut events = cluster.peer(from).events();
    cluster.isolate(target);
    event(&mut events, |e| matches!(e, Event::PeerDown { .. })).await;
    assert_eq!(ends_in_time(&cluster, from, &name).await, Outcome::NotExecuted);
    cluster.heal_all();
    cluster.everything_lives_again().await.unwrap();
    cluster.peer(from).ask_durable(&name, Add(1), PATIENCE).await.unwrap();
    assert_eq!(sum(&cluster, from, &name).await, 3);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_on_all_sides_of_a_replacement_hear_the_truth_and_keep_their_order() {
    let mut cluster = cluster(3).await;
    let target = (cluster.leader().await.unwrap() + 1) % 3;
    let callers = [(target + 1) % 3, (target + 2) % 3];
    let name = counter(&cluster, target, "apples", 0).await;
    let home = Placement::On(cluster.node(target));
    let journal = cluster.peer(target).create("journal", Journal::default(), home).await.unwrap();
    let stop = tokio::sync::watch::Sender::new(false);
    let answered = Arc::new(AtomicUsize::new(0));
    let mut running = vec![];
    for at in callers {
        let (peer, name, journal) = (cluster.peer(at).clone(), name.clone(), journal.clone());
        let (stopped, answered) = (stop.subscribe(), answered.clone());
        running.push(tokio::spawn(async move {
            let mut tally = Tally::default();
            let sender = peer.node_id().to_string();
            for number in 1.. {
                if *stopped.borrow() {
                    break;
                }
                let answer = peer.ask_durable(&name, Add(1), Duration::from_secs(2)).await;
                answered.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
                tally.count(&answer);
                drop(peer.ask_durable(&journal, Note(sender.clone(), number), Duration::from_secs(2)).await);
            }
            tally
        }));
    }
    for _ in 0..2 {
        let before = answered.load(Ordering::Relaxed);
        until("calls are answered", || answered.load(Ordering::Relaxed) > before).await;
        cluster.kill(target);
        cluster.replace(target).await.unwrap();
        cluster.everything_lives_again().await.unwrap();
    }
    stop.send_replace(true);
    let mut tally = Tally::default();
    for caller in running {
        let one = caller.await.unwrap();
        tally.done += one.done;
        tally.unknown += one.unknown;
    }
    let sum = sum(&cluster, callers[0], &name).await;
    assert!(tally.done > 0 && tally.explains(sum), "{sum} of {tally:?}");
    let lines = cluster.peer(callers[0]).ask(&journal, Read).await.unwrap();
    per_sender_order(&lines).unwrap();
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
