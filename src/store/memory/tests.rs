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
