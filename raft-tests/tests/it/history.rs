//! The history that tells why a user's name for a machine is not the identity of its disk.

use standin::Placement;
use std::time::Duration;

use crate::support::{Counter, PATIENCE, add, cluster, counter, sum};

#[tokio::test(flavor = "multi_thread")]
async fn what_three_of_five_acknowledged_survives_an_empty_disk_a_death_and_a_cut() {
    let mut cluster = cluster(5).await;
    let leader = cluster.leader().await.unwrap();
    let [cut, wiped, four, five]: [usize; 4] =
        (0..5).filter(|at| *at != leader).collect::<Vec<_>>().try_into().unwrap();
    // Acknowledged by the leader, the one that will be cut off and the one that will lose its disk.
    cluster.partition(&[four, five], &[leader, cut, wiped]);
    let kept = counter(&cluster, cut, "kept", 7).await;
    assert_eq!(add(&cluster, leader, &kept, 1).await, 8);

    cluster.kill(wiped);
    cluster.kill(leader);
    cluster.heal_all();
    cluster.isolate(cut);
    cluster.replace_unjoined(wiped).await.unwrap();
    // The two that are left and the empty newcomer ask each other for as long as an election and an
    // admission would take: they decide nothing, for they do not know what was acknowledged.
    let create = cluster.peer(four).create("new", Counter { n: 0 }, Placement::On(cluster.node(five)));
    let early = tokio::time::timeout(Duration::from_secs(3), create).await;
    assert!(early.is_err() || early.unwrap().is_err(), "a minority decided something");
    assert_eq!(cluster.peer(wiped).status().incarnation, None, "a minority admitted somebody");

    cluster.heal_all();
    cluster.peer(wiped).joined(PATIENCE).await.unwrap();
    assert_eq!(sum(&cluster, wiped, &kept).await, 8);
    cluster.replace(leader).await.unwrap();
    assert_eq!(sum(&cluster, leader, &kept).await, 8);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
