//! Snapshots that are built while others are installed.

use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, entry::RaftEntry};
use std::sync::Arc;
use std::time::Duration;

use super::super::machine::Machine;
use super::super::types::{Entry, LogId, TypeConfig};
use crate::store::{MemoryStore, Store};

fn log_id(index: u64) -> LogId {
    LogId { leader_id: 1.into(), index }
}

fn blank(index: u64) -> Entry {
    Entry::new(log_id(index), EntryPayload::Blank)
}

async fn apply(machine: &mut Machine, indexes: std::ops::RangeInclusive<u64>) {
    let entries = indexes.map(|i| Ok::<EntryResponder<TypeConfig>, std::io::Error>((blank(i), None)));
    machine.apply(futures_util::stream::iter(entries)).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_built_slowly_does_not_replace_a_newer_one_that_was_installed_meanwhile() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Duration::ZERO));
    let mut follower = Machine::open(store.clone()).unwrap();
    apply(&mut follower, 0..=4).await;
    let mut slow = follower.get_snapshot_builder().await;

    let mut leader = Machine::open(Arc::new(MemoryStore::new(Duration::ZERO))).unwrap();
    apply(&mut leader, 0..=9).await;
    let newer = leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
    follower.install_snapshot(&newer.meta, newer.snapshot).await.unwrap();

    assert_eq!(slow.build_snapshot().await.unwrap().meta.last_log_id, Some(log_id(4)));
    let kept = follower.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(kept.meta.last_log_id, Some(log_id(9)), "the log up to 9 may be purged by now");
    let mut reopened = Machine::open(store).unwrap();
    assert_eq!(reopened.applied_state().await.unwrap().0, Some(log_id(9)));
}
