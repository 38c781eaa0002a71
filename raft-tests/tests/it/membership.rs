//! Coming, leaving, and two of one name.

use standin::id::NodeId;
use standin::identity::{DevAuthority, Identity};
use standin::testing::Cluster;
use standin::{Event, Peer, PhaseStatus};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::{PATIENCE, add, cluster, counter, counters, event, sum, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_has_started_survives_the_loss_of_any_two_of_five() {
    let mut cluster = Cluster::start(5, counters).await.unwrap();
    let status = cluster.peer(4).status(); // the last that came
    let votes = status.members.values().filter(|member| member.votes).count();
    assert_eq!((votes, status.joint), (5, false), "{status:?}");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_takes_nothing_along_and_finds_its_actors_when_it_comes_back() {
    let mut cluster = cluster(3).await;
    let leaves = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (leaves + 1) % 3;
    let name = counter(&cluster, leaves, "apples", 0).await;
    // Not durable yet: the last checkpoint of a leaving peer saves it.
    let plain = cluster.peer(from).ask(&name, crate::support::Add(5)).await.unwrap();
    assert_eq!(plain, 5);
    let mut events = cluster.peer(from).events();
    cluster.leave(leaves).await.unwrap();
    event(&mut events, |e| matches!(e, Event::PeerLeft { .. })).await;
    let votes = || cluster.configuration(cluster_leader(&cluster)).0.concat().len();
    until("two voters are left", || votes() == 2).await;
    let held = cluster.peer(from).ask_within(&name, crate::support::Add(1), Duration::from_millis(300)).await;
    assert!(held.unwrap_err().is_retry_safe(), "it waits for its home");
    cluster.restart(leaves).await.unwrap();
    assert_eq!(sum(&cluster, from, &name).await, 5);
    cluster.check_invariants().await.unwrap();
    // The leader may leave too, and an empty disk may come in its place.
    let leader = cluster.leader().await.unwrap();
    let from = (leader + 1) % 3;
    let name = counter(&cluster, leader, "pears", 3).await;
    cluster.leave(leader).await.unwrap();
    cluster.replace(leader).await.unwrap();
    assert_eq!(add(&cluster, from, &name, 1).await, 4);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

fn cluster_leader(cluster: &standin::testing::Cluster) -> usize {
    let leading = cluster.peers().find(|p| p.status().leads).or_else(|| cluster.peers().next());
    cluster.index(leading.unwrap().node_id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_living_peer_under_a_node_id_in_use_is_told_so_and_waits_for_its_turn() {
    let mut cluster = cluster(3).await;
    let used = (cluster.leader().await.unwrap() + 1) % 3;
    let from = (used + 1) % 3;
    let name = counter(&cluster, used, "apples", 1).await;
    let (place, addr) = (cluster.peer(used).status().incarnation, cluster.peer(used).status().addr);
    let dir = cluster.spare_dir(used);
    let second = cluster.describe(&cluster.node(used), &dir).unwrap().start().await.unwrap();
    let mut told = second.events();
    for _ in 0..3 {
        let in_use = event(&mut told, |e| matches!(e, Event::NodeIdInUse { .. })).await;
        let Event::NodeIdInUse { addr: theirs, incarnation, .. } = in_use else { unreachable!() };
        assert_eq!((Some(theirs), Some(incarnation)), (addr, place));
    }
    assert_eq!(second.status().phase, PhaseStatus::Joining);
    assert!(cluster.peer(used).status().holds_lease);
    assert_eq!(add(&cluster, from, &name, 1).await, 2);
    // As soon as the first one dies, the second one's turn has come.
    cluster.kill(used);
    second.joined(PATIENCE).await.unwrap();
    assert_eq!(add(&cluster, from, &name, 1).await, 3);
    second.shutdown().await;
    cluster.replace(used).await.unwrap();
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_listen_on_every_address_are_found_at_the_one_they_advertise() {
    let (authority, root) = (DevAuthority::create("test").unwrap(), tempfile::tempdir().unwrap());
    let mut peers: Vec<Peer> = vec![];
    for name in ["peer-1", "peer-2"] {
        let node = NodeId::new(name).unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let builder = Peer::builder(node.clone())
            .identity(authority.issue(&node).unwrap())
            .data_dir(root.path().join(name))
            .listen(SocketAddr::from(([0, 0, 0, 0], port)))
            .advertise(SocketAddr::from(([127, 0, 0, 1], port)))
            .contacts(peers.iter().filter_map(|peer| peer.status().addr))
            .bootstrap(peers.is_empty());
        let peer = builder.start().await.unwrap();
        peer.joined(PATIENCE).await.unwrap();
        peers.push(peer);
    }
    for peer in &peers {
        peer.wait_until(|s| s.members.len() == 2, PATIENCE).await.unwrap();
        let members = peer.status().members;
        for other in &peers {
            assert_eq!(Some(members[other.node_id()].addr), other.status().addr);
            assert!(members[other.node_id()].addr.ip().is_loopback(), "{members:?}");
        }
    }
    for peer in peers {
        peer.shutdown().await;
    }
}

/// A port that is taken is an error: it once ended in a panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_port_is_taken_says_so() {
    let mut cluster = cluster(1).await;
    let taken = cluster.peer(0).status().addr.unwrap();
    let (dir, node) = (tempfile::tempdir().unwrap(), NodeId::new("other").unwrap());
    let identity = Identity::development("other", &node).unwrap();
    let builder = Peer::builder(node).identity(identity).data_dir(dir.path()).bootstrap(true).listen(taken);
    let Err(error) = builder.start().await else { panic!("it cannot listen there") };
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    cluster.shutdown().await;
}

/// Whoever called it and was called by it still lives, in the same process.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_leaves_its_port() {
    let mut cluster = cluster(3).await;
    let name = counter(&cluster, 1, "apples", 0).await;
    assert_eq!(add(&cluster, 0, &name, 1).await, 1);
    let pears = counter(&cluster, 0, "pears", 0).await;
    assert_eq!(add(&cluster, 1, &pears, 1).await, 1);
    let addr = cluster.peer(1).status().addr.unwrap();
    cluster.kill(1);
    until("its port is free", || UdpSocket::bind(addr).is_ok()).await;
    cluster.replace_at_same_address(1).await.unwrap();
    assert_eq!(add(&cluster, 0, &name, 1).await, 2);
    cluster.shutdown().await;
}
