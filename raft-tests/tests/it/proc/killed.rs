//! A process is killed, and another takes its place.

use std::time::Duration;

use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port};
use crate::support::PATIENCE;

/// Kills a peer under load, replaces it at once, and checks everything.
async fn kill_and_replace(fleet: &mut Fleet, victim: usize, port: Port, keys: &[String]) {
    let by = fleet.other_than(victim);
    let load = Load::start(&fleet.evidence, &by, keys, PATIENCE);
    for key in keys {
        assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    fleet.kill(victim).await;
    fleet.replace(victim, port).await;
    fleet.joined().await;
    load.stop().await;
    fleet.check(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_is_replaced_by_an_empty_one_wherever_it_listens_and_whoever_leads() {
    let mut fleet = Fleet::start(5).await;
    let keys = fleet.create(&[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]).await;
    let leader = fleet.leader().await;
    let follower = (leader + 1) % 5;
    kill_and_replace(&mut fleet, follower, Port::Other, &keys).await;
    kill_and_replace(&mut fleet, follower, Port::Same, &keys).await;
    let leader = fleet.leader().await;
    kill_and_replace(&mut fleet, leader, Port::Same, &keys).await;
    let leader = fleet.leader().await;
    kill_and_replace(&mut fleet, leader, Port::Other, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_killed_at_any_point_of_its_admission_is_replaced_in_turn() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[2, 2, 2]).await;
    fleet.kill(2).await;
    // From before it asks, through the wait for the lease, to its first steps as a member.
    for wait_ms in [0, 300, 900, 1100, 1200, 1300] {
        fleet.replace(2, Port::Other).await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        fleet.kill(2).await;
    }
    fleet.replace(2, Port::Other).await;
    fleet.joined().await;
    let by = fleet.other_than(2);
    for key in &keys {
        assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    fleet.check(0).await;
}
