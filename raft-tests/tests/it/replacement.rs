//! A lost machine comes back under its own name.

use standin::Placement;
use standin::testing::Cluster;

use crate::support::{Add, Counter, PATIENCE, counters, logs};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_on_an_empty_disk_gets_its_actors_back_with_their_state() {
    logs();
    let mut cluster = Cluster::start(3, counters).await.unwrap();
    let home = cluster.node(2);
    let name = cluster.peer(0).create("apples", Counter { n: 0 }, Placement::On(home)).await.unwrap();
    assert_eq!(cluster.peer(1).ask_durable(&name, Add(2), PATIENCE).await.unwrap(), 2);
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    assert_eq!(cluster.peer(1).ask(&name, Add(3)).await.unwrap(), 5);
    cluster.shutdown().await;
}
