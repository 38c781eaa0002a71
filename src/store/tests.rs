//! What both stores must do, checked on both.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

use super::*;
use crate::id::{ActorId, Epoch};

/// A callback, and what it was told.
pub(super) fn ack() -> (Durable, oneshot::Receiver<io::Result<()>>) {
    let (send, receive) = oneshot::channel();
    (Box::new(move |outcome| drop(send.send(outcome))), receive)
}

/// Makes a write and waits until it is durable or has failed.
pub(super) async fn durable(write: impl FnOnce(Durable)) -> io::Result<()> {
    let (done, told) = ack();
    write(done);
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    told.expect("a callback within 30 s").expect("a callback, not a dropped one")
}

pub(super) fn entries(range: Range<u64>, text: &str) -> Vec<(u64, Vec<u8>)> {
    range.map(|index| (index, format!("{text}{index}").into_bytes())).collect()
}

pub(super) fn copy(actor: &str, seq: u64) -> CopyKey {
    let digest = [seq as u8; 32];
    CopyKey { actor: ActorId::new("kind", actor).unwrap(), epoch: Epoch(5), seq, digest }
}

/// A store under test, with the directory it lives in.
struct Fixture(Arc<dyn Store>, #[allow(dead_code)] Option<tempfile::TempDir>);

impl Fixture {
    fn memory() -> Self {
        Self(Arc::new(MemoryStore::new(Duration::from_millis(1))), None)
    }

    fn rocks() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self(Arc::new(RocksStore::open(dir.path()).unwrap()), Some(dir))
    }
}

macro_rules! on_both_stores {
    ($($check:ident),* $(,)?) => {$(
        mod $check {
            #[tokio::test]
            async fn memory() {
                super::$check(super::Fixture::memory().0.as_ref()).await;
            }

            #[tokio::test]
            async fn rocks() {
                let fixture = super::Fixture::rocks();
                super::$check(fixture.0.as_ref()).await;
            }
        }
    )*};
}

on_both_stores!(
    log_reads_honour_range_and_bytes,
    gaps_and_overlaps_are_refused_and_change_nothing,
    truncated_entries_are_replaced,
    purge_moves_the_start_and_writes_the_slot,
    slots_and_snapshot_hold_the_last_value,
    copies_are_listed_read_and_deleted_by_name,
    short_copies_are_listed_read_and_deleted_by_name,
    copies_of_all_lengths_are_listed_read_and_deleted_by_name,
    chunks_are_listed_read_and_deleted_by_actor_and_digest,
    callbacks_come_in_the_order_of_the_writes,
    writes_are_visible_before_they_are_durable,
);

async fn log_reads_honour_range_and_bytes(store: &dyn Store) {
    assert_eq!(store.log_bounds().unwrap(), None);
    assert_eq!(store.log_read(0..u64::MAX, 100).unwrap(), vec![]);
    durable(|done| store.log_append(entries(3..9, "abcd"), done)).await.unwrap();
    durable(|done| store.log_append(vec![], done)).await.unwrap();
    assert_eq!(store.log_bounds().unwrap(), Some((3, 8)));
    assert_eq!(store.log_read(0..u64::MAX, 1000).unwrap(), entries(3..9, "abcd"));
    assert_eq!(store.log_read(4..6, 1000).unwrap(), entries(4..6, "abcd"));
    assert_eq!(store.log_read(4..9, 15).unwrap(), entries(4..7, "abcd"));
    assert_eq!(store.log_read(4..9, 14).unwrap(), entries(4..6, "abcd"));
    assert_eq!(store.log_read(4..9, 0).unwrap(), entries(4..5, "abcd"));
    for nothing in [0..3, 9..20, 5..5] {
        assert_eq!(store.log_read(nothing, 1000).unwrap(), vec![]);
    }
}

async fn gaps_and_overlaps_are_refused_and_change_nothing(store: &dyn Store) {
    durable(|done| store.log_append(entries(1..4, "x"), done)).await.unwrap();
    let holed = [entries(4..5, "y"), entries(6..7, "y")].concat();
    for bad in [entries(5..6, "y"), entries(3..5, "y"), holed] {
        let refusal = durable(|done| store.log_append(bad, done)).await.unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(store.log_read(0..9, 1000).unwrap(), entries(1..4, "x"));
    durable(|done| store.log_append(entries(4..5, "x"), done)).await.unwrap();
}

async fn truncated_entries_are_replaced(store: &dyn Store) {
    durable(|done| store.log_append(entries(0..10, "old"), done)).await.unwrap();
    store.log_truncate(20).unwrap();
    store.log_truncate(6).unwrap();
    assert_eq!(store.log_bounds().unwrap(), Some((0, 5)));
    assert_eq!(store.log_read(0..99, 1000).unwrap(), entries(0..6, "old"));
    durable(|done| store.log_append(entries(6..8, "new"), done)).await.unwrap();
    let expected = [entries(0..6, "old"), entries(6..8, "new")].concat();
    assert_eq!(store.log_read(0..99, 1000).unwrap(), expected);
    store.log_truncate(0).unwrap();
    assert_eq!(store.log_bounds().unwrap(), None);
    durable(|done| store.log_append(entries(0..2, "newer"), done)).await.unwrap();
    assert_eq!(store.log_read(0..99, 1000).unwrap(), entries(0..2, "newer"));
}

async fn purge_moves_the_start_and_writes_the_slot(store: &dyn Store) {
    durable(|done| store.log_append(entries(1..10, "e"), done)).await.unwrap();
    store.log_purge(4, Slot::Purged, b"4".to_vec()).unwrap();
    assert_eq!(store.log_bounds().unwrap(), Some((5, 9)));
    assert_eq!(store.log_read(0..99, 1000).unwrap(), entries(5..10, "e"));
    store.log_purge(2, Slot::Purged, b"2".to_vec()).unwrap();
    assert_eq!(store.log_bounds().unwrap(), Some((5, 9)));
    store.log_purge(30, Slot::Purged, b"30".to_vec()).unwrap();
    assert_eq!(store.log_bounds().unwrap(), None);
    assert_eq!(store.get(Slot::Purged).unwrap().unwrap(), b"30");
    durable(|done| store.log_append(entries(31..33, "e"), done)).await.unwrap();
    assert_eq!(store.log_read(0..99, 1000).unwrap(), entries(31..33, "e"));
}

async fn slots_and_snapshot_hold_the_last_value(store: &dyn Store) {
    assert_eq!(store.get(Slot::Vote).unwrap(), None);
    assert_eq!(store.snapshot().unwrap(), None);
    for vote in ["one", "two"] {
        durable(|done| store.put(Slot::Vote, vote.into(), done)).await.unwrap();
        durable(|done| store.put_snapshot(vote.into(), vec![7; 100_000], done)).await.unwrap();
    }
    store.put_unsynced(Slot::Committed, b"hint".to_vec()).unwrap();
    assert_eq!(store.get(Slot::Vote).unwrap().unwrap(), b"two");
    assert_eq!(store.get(Slot::Committed).unwrap().unwrap(), b"hint");
    assert_eq!(store.get(Slot::Identity).unwrap(), None);
    assert_eq!(store.snapshot().unwrap(), Some((b"two".to_vec(), vec![7; 100_000])));
}

async fn copies_are_listed_read_and_deleted_by_name(store: &dyn Store) {
    check_copies(store, |_| 50_000).await;
}

async fn short_copies_are_listed_read_and_deleted_by_name(store: &dyn Store) {
    check_copies(store, |_| 200).await;
}

async fn copies_of_all_lengths_are_listed_read_and_deleted_by_name(store: &dyn Store) {
    check_copies(store, |key| [0, 5000][key.seq as usize % 2]).await;
}

async fn check_copies(store: &dyn Store, length: impl Fn(&CopyKey) -> usize) {
    let (a1, a2, b1) = (copy("a", 1), copy("a", 2), copy("ab", 1));
    let twin = CopyKey { digest: [99; 32], ..a1.clone() };
    let bytes = |key: &CopyKey| vec![key.digest[0]; length(key)];
    let all: Vec<_> = [&a1, &twin, &a2, &b1].map(|key| (key.clone(), bytes(key).into())).into();
    durable(|done| store.copies_put(all, done)).await.unwrap();
    for key in [&a1, &twin, &a2, &b1] {
        assert_eq!(store.copy_get(key).unwrap(), Some(bytes(key)));
    }
    let of_a = store.copies_of(Some(&[&a1.actor])).unwrap();
    assert_eq!(of_a, vec![a1.clone(), twin.clone(), a2.clone()]);
    assert_eq!(store.copies_of(None).unwrap().len(), 4);
    let none = copy("c", 0).actor;
    assert_eq!(store.copies_of(Some(&[&none])).unwrap(), vec![]);
    let some = store.copies_of(Some(&[&b1.actor, &none, &a1.actor])).unwrap();
    assert_eq!(some, [of_a.as_slice(), std::slice::from_ref(&b1)].concat());
    store.copies_delete(&[a1.clone(), twin, copy("c", 0)]).unwrap();
    assert_eq!(store.copy_get(&a1).unwrap(), None);
    assert_eq!(store.copies_of(None).unwrap(), vec![a2.clone(), b1.clone()]);
    assert_eq!([&a2, &b1].map(|key| store.copy_get(key).unwrap()), [&a2, &b1].map(|key| Some(bytes(key))));
    let others: Bytes = vec![77; length(&a2)].into();
    let again = vec![(a1.clone(), bytes(&a1).into()), (a2.clone(), others.clone())];
    durable(|done| store.copies_put(again, done)).await.unwrap();
    assert_eq!(store.copies_of(None).unwrap(), vec![a1.clone(), a2.clone(), b1.clone()]);
    assert_eq!(store.copy_get(&a2).unwrap().unwrap(), others, "the last one counts");
    store.copies_delete(&[a2, b1, a1]).unwrap();
    assert_eq!(store.copies_of(None).unwrap(), vec![]);
}

async fn chunks_are_listed_read_and_deleted_by_actor_and_digest(store: &dyn Store) {
    let [a, ab, b] = ["a", "ab", "b"].map(|key| ActorId::new("kind", key).unwrap());
    let chunk = |n: u8| ([n; 32], Bytes::from(vec![n; 20_000]));
    assert_eq!(store.chunked_actors().unwrap(), vec![]);
    let of_a = vec![chunk(0), chunk(7), chunk(255)];
    durable(|done| store.chunks_put(&a, of_a, done)).await.unwrap();
    durable(|done| store.chunks_put(&ab, vec![chunk(7)], done)).await.unwrap();
    durable(|done| store.chunks_put(&a, vec![chunk(7)], done)).await.unwrap();
    assert_eq!(store.chunked_actors().unwrap(), vec![a.clone(), ab.clone()]);
    assert_eq!(store.chunks_of(&a).unwrap(), BTreeSet::from([[0; 32], [7; 32], [255; 32]]));
    assert_eq!(store.chunks_of(&b).unwrap(), BTreeSet::new());
    assert_eq!(store.chunk_get(&ab, &[7; 32]).unwrap().unwrap(), chunk(7).1);
    assert_eq!(store.chunk_get(&ab, &[0; 32]).unwrap(), None);
    store.chunks_delete(&a, &[[7; 32], [8; 32]]).unwrap();
    assert_eq!(store.chunks_of(&a).unwrap(), BTreeSet::from([[0; 32], [255; 32]]));
    assert_eq!(store.chunk_get(&a, &[7; 32]).unwrap(), None);
    assert_eq!(store.chunk_get(&ab, &[7; 32]).unwrap().unwrap(), chunk(7).1, "each actor has its own");
    durable(|done| store.reset_raft(vec![1], done)).await.unwrap();
    assert_eq!(store.chunk_get(&a, &[0; 32]).unwrap().unwrap(), chunk(0).1, "as copies do");
    store.chunks_delete(&a, &[[0; 32], [255; 32]]).unwrap();
    assert_eq!(store.chunked_actors().unwrap(), vec![ab]);
}

async fn callbacks_come_in_the_order_of_the_writes(store: &dyn Store) {
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..300_u64 {
        let order = order.clone();
        let done: Durable = Box::new(move |outcome| order.lock().unwrap().push((n, outcome.is_ok())));
        match n % 3 {
            0 => store.put(Slot::Vote, vec![1], done),
            1 => store.log_append(entries(n / 3..n / 3 + 1, "e"), done),
            _ => store.copies_put(vec![(copy("a", n), vec![1].into())], done),
        }
        tokio::task::yield_now().await;
    }
    durable(|done| store.put(Slot::Vote, vec![1], done)).await.unwrap();
    let expected: Vec<_> = (0..300).map(|n| (n, true)).collect();
    assert_eq!(*order.lock().unwrap(), expected);
}

async fn writes_are_visible_before_they_are_durable(store: &dyn Store) {
    let (done, vote) = ack();
    store.put(Slot::Vote, b"mine".to_vec(), done);
    assert_eq!(store.get(Slot::Vote).unwrap().unwrap(), b"mine");
    let (done, appended) = ack();
    store.log_append(entries(0..5, "e"), done);
    assert_eq!(store.log_read(0..9, 1000).unwrap(), entries(0..5, "e"));
    assert_eq!(store.log_bounds().unwrap(), Some((0, 4)));
    vote.await.unwrap().unwrap();
    appended.await.unwrap().unwrap();
}

mod callbacks_may_write {
    use super::*;

    async fn check(store: Arc<dyn Store>) {
        let (done, told) = ack();
        let again = store.clone();
        let first: Durable = Box::new(move |_| again.put(Slot::Identity, b"from a callback".to_vec(), done));
        store.put(Slot::Vote, b"1".to_vec(), first);
        told.await.unwrap().unwrap();
        assert_eq!(store.get(Slot::Identity).unwrap().unwrap(), b"from a callback");
    }

    #[tokio::test]
    async fn memory() {
        check(Fixture::memory().0).await;
    }

    #[tokio::test]
    async fn memory_without_delay() {
        check(Arc::new(MemoryStore::new(Duration::ZERO))).await;
    }

    #[tokio::test]
    async fn rocks() {
        let fixture = Fixture::rocks();
        check(fixture.0.clone()).await;
    }
}
