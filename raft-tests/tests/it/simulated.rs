//! The harness's simulated clusters: the same peers on a network, disks and clocks of memory.

use standin::testing::{Cluster, World};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::{add, counter, counters, logs, other_than, sum};

#[tokio::test(start_paused = true)]
async fn a_simulated_machine_is_lost_and_replaced() {
    logs();
    let mut cluster = Cluster::simulated(World::new(1), 5, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let lost = other_than(&cluster, &[cluster.leader().await.unwrap()]);
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 1).await;
    assert_eq!(add(&cluster, from, &name, 2).await, 3);
    cluster.kill(lost);
    cluster.replace(lost).await.unwrap();
    assert_eq!(sum(&cluster, from, &name).await, 3);
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_simulated_process_that_is_frozen_past_its_lease_goes_on_where_it_was() {
    logs();
    let cluster = Cluster::simulated(World::new(2), 3, counters).await.unwrap();
    let from = cluster.leader().await.unwrap();
    let frozen = other_than(&cluster, &[from]);
    let name = counter(&cluster, frozen, "apples", 1).await;
    cluster.process(frozen).freeze();
    let asked = Instant::now();
    let answer = tokio::spawn({
        let (peer, name) = (cluster.peer(from).clone(), name.clone());
        async move { peer.ask(&name, crate::support::Add(1)).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.process(frozen).thaw();
    assert_eq!(answer.await.unwrap(), Ok(2));
    assert!(asked.elapsed() >= Duration::from_secs(3));
    cluster.check_invariants().await.unwrap();
}
