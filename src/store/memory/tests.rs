use super::*;
use crate::store::tests::{ack, durable, entries};

const NEVER: Duration = Duration::from_secs(1 << 30);

#[tokio::test]
async fn a_crash_keeps_what_was_durable_and_the_prefix_that_was_chosen() {
    for kept in 0..=4 {
        let store = MemoryStore::new(NEVER);
        store.log_append(entries(0..5, "old"), ack().0);
        store.sync_now();
        store.log_append(entries(5..6, "old"), ack().0);
        store.log_truncate(3).unwrap();
        let (done, mut told) = ack();
        store.log_append(entries(3..5, "new"), done);
        store.put_unsynced(Slot::Committed, b"x".to_vec()).unwrap();
        assert_eq!(store.unsynced(), 4);
        assert!(told.try_recv().is_err(), "not durable, so not acknowledged");

        let after = store.crash(kept);
        let old_and_new = [entries(0..3, "old"), entries(3..5, "new")].concat();
        let logs = [
            entries(0..5, "old"),
            entries(0..6, "old"),
            entries(0..3, "old"),
            old_and_new.clone(),
            old_and_new,
        ];
        assert_eq!(after.log_read(0..9, 1000).unwrap(), logs[kept], "{kept} kept");
        assert_eq!(after.get(Slot::Committed).unwrap().is_some(), kept == 4);
        assert_eq!(after.unsynced(), 0);
        // The old process is gone: it is told nothing, and writes nothing.
        assert!(told.await.is_err());
        assert!(store.put_unsynced(Slot::Vote, vec![]).is_err());
    }
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_and_loses_nothing_acknowledged() {
    let store = MemoryStore::new(Duration::from_millis(1));
    durable(|done| store.put(Slot::Vote, b"1".to_vec(), done)).await.unwrap();
    store.fail_next_sync();
    assert!(durable(|done| store.put(Slot::Vote, b"2".to_vec(), done)).await.is_err());
    assert!(durable(|done| store.put(Slot::Vote, b"3".to_vec(), done)).await.is_err());
    assert!(store.log_truncate(0).is_err());
    assert_eq!(store.crash(usize::MAX).get(Slot::Vote).unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_says_so_and_stays() {
    let store = MemoryStore::new(Duration::ZERO);
    store.set_full(true);
    for _ in 0..2 {
        let error = durable(|done| store.log_append(entries(0..1, "e"), done)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        store.set_full(false);
    }
    assert_eq!(store.log_bounds().unwrap(), None);
}

#[test]
fn without_a_runtime_writes_are_durable_at_once() {
    let store = MemoryStore::new(NEVER);
    let (done, mut told) = ack();
    store.put(Slot::Vote, b"1".to_vec(), done);
    told.try_recv().unwrap().unwrap();
    assert_eq!(store.crash(0).get(Slot::Vote).unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn the_queue_of_unsynced_writes_is_bounded() {
    let store = MemoryStore::new(NEVER);
    for _ in 0..MAX_UNSYNCED_WRITES {
        store.put_unsynced(Slot::Committed, vec![]).unwrap();
    }
    let refusal = durable(|done| store.put(Slot::Vote, vec![], done)).await.unwrap_err();
    assert_eq!(refusal.kind(), io::ErrorKind::ResourceBusy);
    store.sync_now();
    store.put_unsynced(Slot::Vote, vec![]).unwrap();
}

#[tokio::test]
async fn after_a_failed_sync_a_crash_leaves_no_write_without_those_before_it() {
    let store = MemoryStore::new(NEVER);
    store.log_append(entries(0..3, "a"), ack().0);
    store.fail_next_sync();
    let begun_with = store.unsynced();
    store.log_append(entries(3..5, "b"), ack().0);
    store.sync(begun_with);
    let after = store.crash(usize::MAX);
    assert_eq!(after.log_read(0..9, 1000).unwrap(), vec![]);
    assert_eq!(after.log_bounds().unwrap(), None);
}

#[tokio::test]
async fn a_process_dies_at_the_moment_that_was_chosen() {
    for (moment, is_kept, is_told) in [
        (Moment::Before, false, false),
        (Moment::Made, false, false),
        (Moment::Durable, true, false),
        (Moment::Told, true, true),
    ] {
        let store = MemoryStore::new(NEVER);
        let died = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let dies = died.clone();
        store
            .crash_at(WriteKind::Vote, moment, move || dies.store(true, std::sync::atomic::Ordering::SeqCst));
        store.put_unsynced(Slot::Committed, b"x".to_vec()).unwrap();
        let (done, mut told) = ack();
        store.put(Slot::Vote, b"v".to_vec(), done);
        store.sync_now();
        assert!(died.load(std::sync::atomic::Ordering::SeqCst), "{moment:?}");
        assert_eq!(told.try_recv().is_ok_and(|result| result.is_ok()), is_told, "{moment:?}");
        assert!(store.put_unsynced(Slot::Committed, vec![]).is_err(), "nothing is written afterwards");
        assert_eq!(store.crash(0).get(Slot::Vote).unwrap().is_some(), is_kept, "{moment:?}");
    }
}

#[tokio::test]
async fn what_rots_cannot_be_read_until_it_is_written_again() {
    let store = MemoryStore::new(Duration::ZERO);
    store.log_append(entries(0..3, "a"), ack().0);
    store.put(Slot::Vote, b"v".to_vec(), ack().0);
    store.sync_now();
    assert!(!store.flip_bits(WriteKind::Snapshot, 0), "there is none");
    assert!(store.flip_bits(WriteKind::Append, 7) && store.flip_bits(WriteKind::Vote, 0));
    let store = store.crash(0);
    assert!(store.log_read(0..1, 1000).is_ok());
    assert_eq!(store.log_read(0..3, 1000).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    assert!(store.get(Slot::Vote).is_err());
    store.log_truncate(1).unwrap();
    store.put(Slot::Vote, b"w".to_vec(), ack().0);
    assert!(store.log_read(0..3, 1000).is_ok() && store.get(Slot::Vote).is_ok());
}
