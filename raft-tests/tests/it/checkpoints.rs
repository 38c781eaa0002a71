//! Copies that are away, gone, spoiled or late.

use standin::actor::ActorRef;
use standin::testing::Cluster;
use standin::{Event, Outcome, Placement, Reason};
use std::time::Duration;

use crate::support::{
    Add, Boom, Counter, Fragile, PATIENCE, add, cluster, counter, event, holders, line, sum, until,
};

/// Kept by its host and one more. Both away: calls wait. One disk back: so is the actor. Both gone: lost.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_copies_unreachable_calls_wait_and_with_all_retired_the_actor_is_lost_loudly() {
    let mut cluster = cluster(5).await;
    let host = (cluster.leader().await.unwrap() + 1) % 5;
    let home = Placement::On(cluster.node(host));
    let name = cluster.peer(host).create("apples", Fragile { n: 3 }, home).await.unwrap();
    let holder = holders(&cluster, host, &name).await[0];
    let from = (0..5).find(|at| *at != host && *at != holder).unwrap();
    cluster.kill(host);
    cluster.kill(holder);
    cluster.replace(host).await.unwrap();
    let waits = cluster.peer(from).ask_within(&name, Add(1), Duration::from_secs(1)).await.unwrap_err();
    assert!(waits.is_retry_safe() && waits.reason != Reason::Lost, "{waits}");
    assert!(!line(&cluster, from, &name).await.lost);
    cluster.restart(holder).await.unwrap();
    assert_eq!(cluster.peer(from).ask_durable(&name, Add(1), PATIENCE).await.unwrap(), 4);
    cluster.check_invariants().await.unwrap();
    let holder = holders(&cluster, from, &name).await[0];
    let from = (0..5).find(|at| *at != host && *at != holder).unwrap();
    let mut events = cluster.peer(from).events();
    cluster.kill(host);
    cluster.kill(holder);
    cluster.replace(host).await.unwrap();
    cluster.replace(holder).await.unwrap();
    let lost = event(&mut events, |e| matches!(e, Event::ActorLost { .. })).await;
    assert_eq!(lost, Event::ActorLost { actor: name.id().clone() });
    let error = cluster.peer(from).ask(&name, Add(1)).await.unwrap_err();
    assert_eq!((error.outcome, error.reason), (Outcome::NotExecuted, Reason::Lost));
    // Never a silent fresh start: only who says so begins anew.
    cluster.peer(from).stop(&name).await.unwrap();
    let home = Placement::On(cluster.node(host));
    let name = cluster.peer(from).create("apples", Fragile { n: 0 }, home).await.unwrap();
    assert_eq!(cluster.peer(from).ask_durable(&name, Add(1), PATIENCE).await.unwrap(), 1);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_short_states_come_back_without_a_stream_for_each() {
    let mut cluster = cluster(3).await;
    let host = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (host + 1) % 3;
    let mut names = Vec::new();
    for n in 0..200 {
        names.push(counter(&cluster, host, &n.to_string(), n).await);
    }
    cluster.kill(host);
    let before = cluster.streams();
    cluster.replace(host).await.unwrap();
    for (name, n) in names.iter().zip(0..) {
        assert_eq!(cluster.peer(from).ask(name, Add(0)).await.unwrap(), n);
    }
    // Raft's, and those that bring copies to the new disk, many at once.
    let streams = cluster.streams() - before;
    assert!(streams < 100, "{streams} streams for {} actors", names.len());
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_copy_is_passed_over_and_made_again() {
    let mut cluster = cluster(3).await;
    let host = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (host + 1) % 3;
    let name = counter(&cluster, host, "apples", 0).await;
    assert_eq!(add(&cluster, from, &name, 9).await, 9);
    let first = holders(&cluster, from, &name).await[0];
    assert!(cluster.spoil_copies(first, name.id()).await.unwrap() > 0);
    cluster.checkpoints_are_on_their_holders().unwrap_err();
    cluster.kill(host);
    cluster.replace(host).await.unwrap();
    // Plainly: a durable call would make new copies everywhere.
    assert_eq!(cluster.peer(from).ask(&name, Add(0)).await.unwrap(), 9);
    until("the spoiled copy is made again", || cluster.checkpoints_are_on_their_holders().is_ok()).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

/// The host's links to those that are to keep its copies are cut, so a checkpoint is long on its way; meanwhile the
/// actor panics. The state that is restored: without what that checkpoint holds, unless it found another way (it has
/// some seconds for that) before the panic was in the log.
async fn panic_overtakes_a_checkpoint(
    cluster: &Cluster,
    host: usize,
    name: &ActorRef<Counter>,
    n: u64,
) -> u64 {
    for holder in holders(cluster, host, name).await {
        cluster.cut(host, holder);
    }
    let (peer, target) = (cluster.peer(host).clone(), name.clone());
    let late = tokio::spawn(async move { peer.ask_durable(&target, Add(10), PATIENCE).await });
    // Once somebody sees its effect, its checkpoint is on the way.
    let plain = async {
        while cluster.peer(host).ask(name, Add(0)).await.unwrap() != n + 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, plain).await.unwrap();
    let panicked = cluster.peer(host).ask(name, Boom).await.unwrap_err();
    assert!(matches!(panicked.reason, Reason::Panicked(_)), "{panicked}");
    let restored = cluster.peer(host).ask(name, Add(0)).await.unwrap();
    match late.await.unwrap() {
        Ok(sum) => assert_eq!((sum, restored), (n + 10, n + 10), "it was durable before the panic"),
        Err(late) => assert_eq!(late.outcome, Outcome::Unknown, "{late}"),
    }
    restored
}

/// What is restored stays true, whenever the late copies arrive.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_overtaken_by_a_panic_never_commits() {
    let mut cluster = cluster(5).await;
    let host = cluster.leader().await.unwrap();
    let name = counter(&cluster, host, "apples", 1).await;
    let (mut n, mut tries) = (1, 0);
    let before = loop {
        let before = line(&cluster, host, &name).await;
        let restored = panic_overtakes_a_checkpoint(&cluster, host, &name, n).await;
        if restored == n {
            break before;
        }
        assert_eq!(restored, n + 10, "all of the checkpoint or nothing");
        tries += 1;
        assert!(tries < 10, "no checkpoint was overtaken");
        n = restored;
        cluster.heal_all();
        cluster.everything_lives_again().await.unwrap();
    };
    assert_eq!(cluster.peer(host).ask_durable(&name, Add(100), PATIENCE).await.unwrap(), n + 100);
    let after = line(&cluster, host, &name).await;
    assert!(after.checkpoint.unwrap().0 > before.epoch, "{after:?}");
    cluster.heal_all();
    cluster.everything_lives_again().await.unwrap();
    // What the cluster would restore is what the callers saw.
    cluster.kill(host);
    cluster.replace(host).await.unwrap();
    assert_eq!(sum(&cluster, (host + 1) % 5, &name).await, n + 100);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_again_and_again_never_takes_back_a_durable_reply() {
    let mut cluster = cluster(3).await;
    let host = (cluster.leader().await.unwrap() + 1) % 3;
    let name = counter(&cluster, host, "apples", 0).await;
    let mut durable = 0;
    for round in 0..6 {
        let (peer, target) = (cluster.peer((host + 1) % 3).clone(), name.clone());
        let adding =
            tokio::spawn(async move { peer.ask_durable(&target, Add(1), Duration::from_secs(10)).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let boom = cluster.peer((host + 2) % 3).ask(&name, Boom).await.unwrap_err();
        assert!(matches!(boom.reason, Reason::Panicked(_)), "{boom}");
        durable = durable.max(adding.await.unwrap().unwrap_or(0));
        let now = sum(&cluster, host, &name).await;
        assert!(now >= durable, "round {round}: {now} after {durable} was promised");
        durable = now;
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_came_back_with_an_empty_disk_holds_its_actors_states_again() {
    let mut cluster = cluster(3).await;
    let counter = counter(&cluster, 1, "c", 7).await;
    cluster.kill(1);
    cluster.replace(1).await.unwrap();
    let (watcher, disk) = (cluster.peer(0), cluster.peer(1).status().raft_id.unwrap());
    // Without a change of the state there is no new checkpoint that would bring it there.
    let is_there = || watcher.actors().iter().any(|l| l.id == *counter.id() && l.holders.contains(&disk));
    until("the new disk holds it, too", is_there).await;
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
