//! What a cluster costs that does nothing.

use standin::testing::Cluster;
use std::time::Duration;

use crate::support::{counters, logs};

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p raft-tests -- --ignored --nocapture idle"]
async fn an_idle_cluster_of_11_costs_less_than_a_tenth_of_a_core() {
    logs();
    let mut cluster = Cluster::start(11, counters).await.unwrap();
    cluster
        .wait_all(|s| s.members.values().filter(|m| m.votes).count() == 11, Duration::from_secs(30))
        .await
        .unwrap();
    let (span, before) = (Duration::from_secs(20), processor_time());
    tokio::time::sleep(span).await;
    let used = processor_time() - before;
    println!(
        "idle: {:.1}% of one core for 11 peers in one process",
        100.0 * used.as_secs_f64() / span.as_secs_f64()
    );
    cluster.shutdown().await;
}
