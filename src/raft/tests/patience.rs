//! What a leader does about a disk that is gone.

use std::time::Duration;

use super::net::{Net, until};
use crate::id::RaftId;
use crate::store::MemoryStore;

/// Each attempt costs the leader a turn: one that did not pause between them would be busy with nothing else.
#[tokio::test]
async fn a_leader_pauses_between_attempts_to_reach_a_disk_that_is_gone() {
    let (net, me) = (Net::default(), RaftId(0));
    let leader = net.start(me, &MemoryStore::new(Duration::from_millis(1))).await;
    leader.found().await.unwrap();
    until("a learner", async || leader.add_learner(RaftId(9)).await.ok()).await;
    // Heartbeats are the clock of this test.
    let before = net.calls(me);
    until("some heartbeats", async || (net.calls(me) >= before + 10).then_some(())).await;
    let opens = net.opens(me);
    assert!(opens <= 40, "{opens} streams tried in the time of ten heartbeats");
    leader.shutdown().await;
}
