//! The log is handed out in parts that fit in memory, and without holes.

use futures_util::TryStreamExt;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorageExt};
use std::sync::Arc;
use std::time::Duration;

use super::super::log::{Log, READ_BYTES};
use super::super::types::{Entry, LogId};
use crate::core::command::{Command, Create};
use crate::id::{ActorId, Incarnation};
use crate::store::MemoryStore;

/// An entry of a bit more than a third of what is read at once.
fn large(index: u64) -> Entry {
    let create = |n: usize| Create { actor: ActorId::new("k", format!("{n:0>200}")).unwrap(), nonce: 1 };
    let items = (0..READ_BYTES / 600).map(create).collect();
    let command = Command::Create { by: Incarnation(index), items };
    Entry::new(LogId { leader_id: 1.into(), index }, EntryPayload::Normal(command))
}

#[tokio::test]
async fn entries_to_apply_come_in_parts_and_all_of_them() {
    let mut log = Log::open(Arc::new(MemoryStore::new(Duration::ZERO))).unwrap();
    let entries: Vec<Entry> = (0..10).map(large).collect();
    log.blocking_append(entries.clone()).await.unwrap();
    let some = log.limited_get_log_entries(0, 10).await.unwrap().len();
    assert!((1..5).contains(&some), "one read gave {some}");

    for range in [0..10_u64, 0..1, 3..9, 4..4, 8..20] {
        let read: Vec<Entry> = log.entries_stream(range.clone()).await.try_collect().await.unwrap();
        let expected: Vec<_> = entries.iter().filter(|e| range.contains(&e.log_id.index)).cloned().collect();
        assert_eq!(read, expected, "{range:?}");
    }
}
