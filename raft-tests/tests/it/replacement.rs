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
    let started = std::time::Instant::now();
    let held = {
        let peer = cluster.peer(1).clone();
        let name = name.clone();
        tokio::spawn(async move { peer.ask_within(&name, Add(3), PATIENCE).await })
    };
    cluster.replace(2).await.unwrap();
    assert_eq!(held.await.unwrap().unwrap(), 5);
    println!("answered after {:?}", started.elapsed());
    cluster.shutdown().await;
}
