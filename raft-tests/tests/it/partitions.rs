//! Links that are cut while everybody lives.

use standin::{Event, Outcome};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::{Add, PAST_LEASES, PATIENCE, add, cluster, counter, event, sum};

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_reach_the_leader_keeps_its_lease_through_others_while_the_log_goes_on() {
    let mut cluster = cluster(3).await;
    let leader = cluster.leader().await.unwrap();
    let (cut, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let there = counter(&cluster, cut, "there", 0).await;
    let elsewhere = counter(&cluster, third, "elsewhere", 0).await;
    let place = cluster.peer(cut).status().incarnation;
    let mut events = cluster.peer(cut).events();
    cluster.cut(cut, leader);
    let start = Instant::now();
    let mut sums = 0;
    while start.elapsed() < PAST_LEASES * 2 {
        // Each of these is an entry that the cut peer must apply before its next lease counts.
        sums += 1;
        assert_eq!(cluster.peer(third).ask_durable(&elsewhere, Add(1), PATIENCE).await.unwrap(), sums);
        assert_eq!(cluster.peer(third).ask_durable(&there, Add(1), PATIENCE).await.unwrap(), sums);
    }
    while let Ok(event) = events.try_recv() {
        assert!(
            !matches!(event, Event::LeasePaused | Event::PeerDown { .. }),
            "{event:?} after {sums} rounds"
        );
    }
    assert_eq!(cluster.peer(cut).status().incarnation, place);
    assert_eq!(cluster.leader().await.unwrap(), leader, "nobody had a reason to elect another");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minority_pauses_commits_nothing_and_resumes_where_it_paused() {
    let mut cluster = cluster(5).await;
    let leader = cluster.leader().await.unwrap();
    let others: Vec<usize> = (0..5).filter(|at| *at != leader).collect();
    let (minority, majority) = ([leader, others[0]], [others[1], others[2], others[3]]);
    let here = counter(&cluster, leader, "here", 0).await;
    let there = counter(&cluster, majority[0], "there", 0).await;
    // Not in any checkpoint: only a pause keeps it, a restart would not.
    assert_eq!(cluster.peer(leader).ask(&here, Add(1)).await.unwrap(), 1);
    let place = cluster.peer(leader).status().incarnation;
    let mut events = cluster.peer(leader).events();
    let mut neighbour = cluster.peer(minority[1]).events();
    cluster.partition(&minority, &majority);
    event(&mut events, |e| *e == Event::LeasePaused).await;
    event(&mut neighbour, |e| *e == Event::LeasePaused).await;
    let applied = cluster.peer(leader).status().applied;
    let late = cluster.peer(leader).ask_durable(&here, Add(1), Duration::from_secs(1)).await.unwrap_err();
    assert_ne!(late.outcome, Outcome::Executed);
    // The majority goes on meanwhile.
    assert_eq!(add(&cluster, majority[1], &there, 1).await, 1);
    let paused = cluster.peer(leader).status();
    assert!(!paused.holds_lease && paused.applied == applied, "{paused:?}");
    assert!(cluster.peer(majority[0]).status().applied > applied);
    cluster.heal_all();
    event(&mut events, |e| *e == Event::LeaseResumed).await;
    let now = sum(&cluster, majority[0], &here).await;
    assert!(now == 1 || now == 2, "a paused call may run when the lease is back: {now}");
    assert_eq!(cluster.peer(leader).status().incarnation, place, "it went on, nobody took its place");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_leader_and_a_restarting_voter_get_going_again_while_a_third_is_dead() {
    let mut cluster = cluster(3).await;
    let leader = cluster.leader().await.unwrap();
    let (restarts, dead) = ((leader + 1) % 3, (leader + 2) % 3);
    let name = counter(&cluster, restarts, "apples", 6).await;
    cluster.kill(dead);
    cluster.kill(restarts);
    // The old leader may still believe in itself, but nobody follows it until this one votes again.
    cluster.restart(restarts).await.unwrap();
    assert_eq!(add(&cluster, leader, &name, 1).await, 7);
    cluster.replace(dead).await.unwrap();
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_are_cut_off_one_after_the_other_all_come_back() {
    let mut cluster = cluster(3).await;
    let name = counter(&cluster, 0, "apples", 0).await;
    for round in 1..=3 {
        let leader = cluster.leader().await.unwrap();
        let from = (leader + 1) % 3;
        let mut events = cluster.peer(from).events();
        cluster.isolate(leader);
        let node = cluster.node(leader);
        event(&mut events, |e| matches!(e, Event::PeerDown { node: down, .. } if *down == node)).await;
        cluster.heal_all();
        assert!(add(&cluster, from, &name, 1).await >= round);
        cluster.everything_lives_again().await.unwrap();
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
