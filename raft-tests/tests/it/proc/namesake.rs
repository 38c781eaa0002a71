//! Two processes under one node id.

use standin::{Event, PhaseStatus};

use super::evidence::Told;
use super::fleet::{ANY_PORT, Fleet};
use super::process::Process;
use crate::support::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_a_living_node_is_told_so_and_gets_in_when_the_first_dies() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[2, 2]).await;
    let first = fleet.process(2).clone();
    let dir = fleet.new_dir(2);
    let second = Process::start(fleet.role(2, dir.clone(), ANY_PORT), &[]).await.unwrap();

    let in_use = |e: &Event| matches!(e, Event::NodeIdInUse { addr, .. } if *addr == first.addr());
    second.wait_event("a living namesake", in_use).await;
    // Again and again, and all the while the first is undisturbed.
    for _ in 0..20 {
        for key in &keys {
            assert_eq!(fleet.evidence.note(fleet.process(0), key, true, PATIENCE).await, Told::Durable);
        }
    }
    second.wait_events("a living namesake, again", 3, in_use).await;
    assert_eq!(second.look().await.unwrap().status.phase, PhaseStatus::Joining);
    let status = first.look().await.unwrap().status;
    assert!(status.holds_lease && status.actors_here == 2, "{status:?}");
    let disturbed = |e: &Event| matches!(e, Event::LeasePaused | Event::Retired { .. });
    assert!(!first.events().iter().any(disturbed), "{:?}", first.events());

    fleet.kill(2).await;
    fleet.take_in(2, second, dir);
    fleet.joined().await;
    assert_eq!(fleet.process(2).look().await.unwrap().status.actors_here, 2);
    fleet.check(0).await;
}
