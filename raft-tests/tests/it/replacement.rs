//! A lost machine comes back under its own name.

use standin::testing::Cluster;
use standin::{Event, Placement};

use crate::support::{
    Add, Counter, PATIENCE, add, cluster, counter, counters, event, logs, other_than, sum, until,
};

async fn follower(cluster: &Cluster) -> usize {
    other_than(cluster, &[cluster.leader().await.unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_then_the_leader_then_the_founder_get_their_actors_back_with_their_state() {
    let mut cluster = cluster(3).await;
    let keys = ["apples", "pears", "plums"];
    let mut names = vec![];
    for (at, key) in keys.iter().enumerate() {
        names.push(counter(&cluster, at, key, 1).await);
    }
    let mut sums = [1, 1, 1];
    for round in 0..3 {
        let lost = match round {
            0 => follower(&cluster).await,
            1 => cluster.leader().await.unwrap(),
            _ => 0,
        };
        let from = other_than(&cluster, &[lost]);
        let mut events = cluster.peer(from).events();
        let before = cluster.peer(lost).status();
        cluster.kill(lost);
        cluster.replace(lost).await.unwrap();
        let replaced = |e: &Event| matches!(e, Event::PeerReplaced { fresh_disk: true, silent_ms: 1.., .. });
        event(&mut events, replaced).await;
        for (name, n) in names.iter().zip(&mut sums) {
            assert_eq!(sum(&cluster, from, name).await, *n, "round {round}");
            *n = add(&cluster, from, name, 10).await;
        }
        let after = cluster.peer(lost).status();
        assert!(after.incarnation > before.incarnation && after.raft_id > before.raft_id);
        // It must vote before the next of three may die.
        cluster.everything_lives_again().await.unwrap();
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_is_replaced_by_a_learner() {
    logs();
    let mut cluster = Cluster::start(4, |peer| counters(peer).max_voters(3)).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let (_, learners) = cluster.configuration(0);
    let status = cluster.peer(0).status();
    let is_learner = |at: &usize| !status.members[&cluster.node(*at)].votes;
    let learner = (0..4).find(is_learner).expect("three of four vote");
    assert_eq!(learners, [status.members[&cluster.node(learner)].raft_id.0]);
    let name = counter(&cluster, learner, "apples", 3).await;
    cluster.kill(learner);
    cluster.replace(learner).await.unwrap();
    let from = other_than(&cluster, &[learner]);
    assert_eq!(sum(&cluster, from, &name).await, 3);
    cluster.check_invariants().await.unwrap();
    let votes = |at: usize| cluster.peer(0).status().members[&cluster.node(at)].votes;
    assert_eq!((0..4).filter(|at| votes(*at)).count(), 3);
    assert!(!votes(learner));
    cluster.shutdown().await;
}

async fn lose_two(cluster: &mut Cluster, lost: [usize; 2]) {
    let key = format!("of-{}", cluster.peers().count());
    let mut names = vec![];
    for at in lost {
        names.push(counter(cluster, at, &format!("{key}-{at}"), 5).await);
    }
    lost.iter().for_each(|at| cluster.kill(*at));
    for at in lost {
        cluster.replace_unjoined(at).await.unwrap();
    }
    let from = other_than(cluster, &lost);
    for (at, name) in lost.iter().zip(&names) {
        cluster.peer(*at).joined(PATIENCE).await.unwrap();
        assert_eq!(sum(cluster, from, name).await, 5);
    }
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_at_once_of_five_then_of_seven_the_leader_among_them() {
    let mut cluster = cluster(5).await;
    let leader = cluster.leader().await.unwrap();
    let lost = [leader, other_than(&cluster, &[leader])];
    lose_two(&mut cluster, lost).await;
    for _ in 0..2 {
        cluster.add().await.unwrap();
    }
    cluster.everything_lives_again().await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let lost = [leader, other_than(&cluster, &[leader])];
    lose_two(&mut cluster, lost).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_itself_killed_halfway_is_replaced() {
    let mut cluster = cluster(3).await;
    let lost = follower(&cluster).await;
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 7).await;
    let first = cluster.peer(lost).status().incarnation;
    cluster.kill(lost);
    // Once before it is admitted.
    cluster.replace_unjoined(lost).await.unwrap();
    event(&mut cluster.peer(lost).events(), |e| matches!(e, Event::NodeIdInUse { .. })).await;
    cluster.kill(lost);
    assert_eq!(cluster.peer(from).status().members[&cluster.node(lost)].incarnation, first.unwrap());
    // And as soon as it is, before or while it learns of that and restores.
    cluster.replace_unjoined(lost).await.unwrap();
    let admitted = || Some(cluster.peer(from).status().members[&cluster.node(lost)].incarnation) > first;
    until("the second replacement is admitted", admitted).await;
    let second = cluster.peer(from).status().members[&cluster.node(lost)].incarnation;
    cluster.kill(lost);
    cluster.replace(lost).await.unwrap();
    assert!(cluster.peer(lost).status().incarnation > Some(second));
    assert_eq!(add(&cluster, from, &name, 1).await, 8);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_address_of_the_dead_one_and_then_at_another() {
    let mut cluster = cluster(3).await;
    let lost = follower(&cluster).await;
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 0).await;
    let addr = cluster.peer(lost).status().addr;
    cluster.kill(lost);
    cluster.replace_at_same_address(lost).await.unwrap();
    assert_eq!(cluster.peer(lost).status().addr, addr);
    assert_eq!(add(&cluster, from, &name, 1).await, 1);
    cluster.check_invariants().await.unwrap();
    cluster.kill(lost);
    cluster.replace(lost).await.unwrap();
    assert_ne!(cluster.peer(lost).status().addr, addr);
    assert_eq!(add(&cluster, from, &name, 1).await, 2);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_disk_a_peer_keeps_its_raft_id_and_goes_back_to_the_last_checkpoint() {
    let mut cluster = cluster(3).await;
    let lost = follower(&cluster).await;
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 0).await;
    assert_eq!(add(&cluster, from, &name, 4).await, 4);
    // Plain: a failure may take it back.
    assert_eq!(cluster.peer(from).ask(&name, Add(5)).await.unwrap(), 9);
    let before = cluster.peer(lost).status();
    cluster.kill(lost);
    cluster.restart(lost).await.unwrap();
    let after = cluster.peer(lost).status();
    assert!(after.incarnation > before.incarnation);
    assert_eq!(after.raft_id, before.raft_id);
    assert_eq!(sum(&cluster, from, &name).await, 4);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_disk_is_as_good_as_an_empty_one_and_no_better() {
    let mut cluster = cluster(3).await;
    let lost = follower(&cluster).await;
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 0).await;
    assert_eq!(add(&cluster, from, &name, 1).await, 1);
    cluster.stop(lost).await;
    let backup = cluster.copy_of_dir(lost).await.unwrap();
    cluster.restart(lost).await.unwrap();
    assert_eq!(add(&cluster, from, &name, 1).await, 2);
    let before = cluster.peer(lost).status();
    cluster.kill(lost);
    cluster.set_dir(lost, backup);
    cluster.restart(lost).await.unwrap();
    let after = cluster.peer(lost).status();
    assert!(after.raft_id > before.raft_id, "a restored copy may lack acknowledged entries");
    assert_eq!(add(&cluster, from, &name, 1).await, 3);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_disk_elects_nobody_while_it_is_all_that_a_majority_lacks() {
    let mut cluster = cluster(3).await;
    let lost = follower(&cluster).await;
    cluster.stop(lost).await;
    let backup = cluster.copy_of_dir(lost).await.unwrap();
    cluster.restart(lost).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let before = cluster.peer(lost).status();
    // What the leader and the lost one decide now, the third does not hear.
    let leader = cluster.leader().await.unwrap();
    let deaf = other_than(&cluster, &[lost, leader]);
    cluster.cut(deaf, leader);
    cluster.cut(deaf, lost);
    let name = counter(&cluster, leader, "apples", 0).await;
    assert_eq!(add(&cluster, leader, &name, 1).await, 1);
    (0..3).for_each(|at| cluster.kill(at));
    cluster.heal_all();
    cluster.set_dir(lost, backup);
    cluster.restart_at_same_address_unjoined(lost).await.unwrap();
    let mut told = cluster.peer(lost).events();
    cluster.restart_at_same_address_unjoined(deaf).await.unwrap();
    event(&mut told, |e| matches!(e, Event::OldDisk { .. })).await;
    assert!(!cluster.peer(deaf).status().leads);
    cluster.restart_at_same_address_unjoined(leader).await.unwrap();
    for at in 0..3 {
        cluster.peer(at).joined(PATIENCE).await.unwrap();
    }
    let after = cluster.peer(lost).status();
    assert!(after.raft_id > before.raft_id, "it has forgotten its votes");
    assert_eq!(add(&cluster, lost, &name, 1).await, 2);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_from_their_disks_everything_committed_is_back() {
    let mut cluster = cluster(3).await;
    let mut names = vec![];
    for at in 0..3 {
        let placement = Placement::On(cluster.node(at));
        let name = cluster.peer(0).create(format!("a-{at}"), Counter { n: 2 }, placement).await.unwrap();
        assert_eq!(add(&cluster, 0, &name, 1).await, 3);
        names.push(name);
    }
    (0..3).for_each(|at| cluster.kill(at));
    for at in 0..3 {
        cluster.restart_unjoined(at).await.unwrap();
    }
    for at in 0..3 {
        cluster.peer(at).joined(PATIENCE).await.unwrap();
    }
    for name in &names {
        assert_eq!(add(&cluster, 1, name, 1).await, 4);
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
