//! A change of voters that is interrupted halfway.

use standin::Timing;
use standin::testing::Cluster;
use std::time::Duration;

use crate::support::{PATIENCE, add, counter, counters, logs, until};

/// Five voters; one is replaced, and just when its place is swapped, the leader is left with too few
/// to commit that, and dies. Who leads next finds a joint configuration and another empty disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_in_the_middle_of_a_joint_change_is_replaced() {
    logs();
    // A leader without a majority writes for at most this long; that is the time for the swap.
    let timing = Timing { election_max: Duration::from_secs(3), ..Timing::lan() };
    let mut cluster = Cluster::start(5, move |peer| counters(peer).timing(timing.clone())).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let others: Vec<usize> = (0..5).filter(|at| *at != leader).collect();
    let [heir, lost, far, farther] = others[..] else { unreachable!() };
    let name = counter(&cluster, leader, "apples", 2).await;
    cluster.kill(lost);
    cluster.replace_unjoined(lost).await.unwrap();
    // A configuration counts before it is committed; and until it is, no other follows.
    let learns = || !cluster.configuration(leader).1.is_empty() && cluster.is_settled(leader);
    until("the new disk learns", learns).await;
    // Leader and heir hear from each other and from the new disk: no majority of the old voters.
    cluster.partition(&[leader, heir, lost], &[far, farther]);
    until("the heir has seen the joint configuration", || cluster.configuration(heir).0.len() == 2).await;
    cluster.kill(leader);
    cluster.heal_all();
    cluster.replace(leader).await.unwrap();
    cluster.peer(lost).joined(PATIENCE).await.unwrap();
    assert_eq!(add(&cluster, far, &name, 1).await, 3);
    cluster.check_invariants().await.unwrap();
    assert_eq!(cluster.configuration(heir).0.len(), 1);
    cluster.shutdown().await;
}
