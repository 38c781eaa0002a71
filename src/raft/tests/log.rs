//! The log is handed out in parts that fit in memory, and without holes.

use futures_util::TryStreamExt;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::log::{Log, READ_BYTES};
use super::super::types::{Entry, LogId};
use crate::core::command::{Admit, Command, Create};
use crate::core::state::LastRun;
use crate::id::{ActorId, Incarnation, NodeId, RaftId};
use crate::limits::MAX_RECENT_ENTRIES;
use crate::prng::Prng;
use crate::raft::codec::decode;
use crate::store::{MemoryStore, Store};

/// An entry of a bit more than a third of what is read at once.
fn large(index: u64) -> Entry {
    let create = |n: usize| Create {
        actor: ActorId::new("k", format!("{n:0>200}")).unwrap(),
        nonce: 1,
        stand_in_ms: None,
    };
    let items = (0..READ_BYTES / 600).map(create).collect();
    let command = Command::Create { by: Incarnation(index), items };
    Entry::new(LogId { leader_id: 1.into(), index }, EntryPayload::Normal(command.into()))
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

fn small(term: u64, index: u64) -> Entry {
    Entry::new(LogId { leader_id: term.into(), index }, EntryPayload::Blank)
}

/// Whatever happens to the log, memory hands out what the disk would.
#[tokio::test]
async fn recent_entries_are_those_of_the_disk() {
    let disk = Arc::new(MemoryStore::new(Duration::ZERO));
    let mut log = Log::open(disk.clone()).unwrap();
    let (mut dice, mut next, mut purged) = (Prng::new(7), 0_u64, 0_u64);
    let mut roll = move |sides: u64| dice.below(sides);
    for term in 0..400 {
        match roll(8) {
            0 if next > purged => {
                next -= roll((next - purged).min(50) + 1);
                let last = next.checked_sub(1).map(|index| LogId { leader_id: 0.into(), index });
                log.truncate_after(last).await.unwrap();
            }
            1 if next > purged => {
                let index = purged + roll(next - purged);
                log.purge(LogId { leader_id: 0.into(), index }).await.unwrap();
                purged = index + 1;
            }
            _ => {
                let count = 1 + roll(MAX_RECENT_ENTRIES as u64 / 4);
                let entries: Vec<Entry> = (next..next + count).map(|index| small(term, index)).collect();
                log.blocking_append(entries).await.unwrap();
                next += count;
            }
        }
        for _ in 0..8 {
            let start = roll(next + 2);
            let range = start..start + roll(40);
            let read = log.try_get_log_entries(range.clone()).await.unwrap();
            let raw = disk.log_read(range.clone(), usize::MAX).unwrap();
            let kept: Vec<Entry> = raw.iter().map(|(_, bytes)| decode(bytes).unwrap()).collect();
            assert!(read == kept, "{range:?} of {purged}..{next}, term {term}");
        }
    }
}

/// Who asks for votes knows of admissions that it has not applied, also after a restart.
#[tokio::test]
async fn admissions_are_known_before_they_are_applied() {
    let admit = |index: u64, disk: Option<u64>| {
        let admit = Admit {
            node: NodeId::new("a").unwrap(),
            addr: ([127, 0, 0, 1], 1).into(),
            raft_id: disk.map(RaftId),
            nonce: u128::from(index) + 100,
            kinds: BTreeSet::new(),
            labels: BTreeMap::new(),
            replaces: None,
            term: 1,
            silent_ms: 0,
        };
        Entry::new(LogId { leader_id: 1.into(), index }, EntryPayload::Normal(Command::Admit(admit).into()))
    };
    let disk = Arc::new(MemoryStore::new(Duration::ZERO));
    let mut log = Log::open(disk.clone()).unwrap();
    let entries =
        [small(1, 0), admit(1, Some(7)), admit(2, Some(7)), admit(3, None), admit(4, Some(8)), small(1, 5)];
    log.blocking_append(entries).await.unwrap();
    let run = |index: u64| Some(LastRun { incarnation: Incarnation(index), nonce: u128::from(index) + 100 });
    let newest = |log: &Log, disk, applied| log.admissions().newest_on(RaftId(disk), applied);
    assert_eq!(newest(&log, 7, 0), run(2));
    assert_eq!(newest(&log, 7, 2), None, "applied: the state tells");
    assert_eq!(newest(&log, 8, 2), run(4));
    assert_eq!(newest(&log, 3, 0), None, "nobody had run on a disk that was empty");
    let id = |index| LogId { leader_id: 1.into(), index };
    log.truncate_after(Some(id(3))).await.unwrap();
    assert_eq!(newest(&log, 8, 0), None);
    let again = Log::open(disk.clone()).unwrap();
    assert_eq!(newest(&again, 7, 0), run(2));
    log.save_committed(Some(id(1))).await.unwrap();
    let again = Log::open(disk).unwrap();
    assert_eq!(newest(&again, 7, 1), run(2));
    log.purge(id(2)).await.unwrap();
    assert_eq!(newest(&log, 7, 0), None);
}
