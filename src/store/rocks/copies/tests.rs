//! Bundles on a real disk.

use std::collections::BTreeSet;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::id::Epoch;
use crate::limits::{BUNDLE_BYTES, BUNDLE_WASTE, BUNDLE_WASTE_BYTES};
use crate::store::rocks::codec::seal;
use crate::store::tests::{copy, durable};

fn open(dir: &TempDir) -> RocksStore {
    RocksStore::open(dir.path()).unwrap()
}

/// Short, and unlike any other.
fn content(key: &CopyKey) -> Vec<u8> {
    let mut bytes = format!("{} {} {}", key.actor, key.epoch, key.seq).into_bytes();
    bytes.resize(200, b'.');
    bytes
}

async fn put(store: &RocksStore, keys: impl IntoIterator<Item = CopyKey>) {
    durable(|done| put_then(store, keys, done)).await.unwrap();
}

fn put_then(store: &RocksStore, keys: impl IntoIterator<Item = CopyKey>, done: Durable) {
    let copies = keys.into_iter().map(|key| (key.clone(), content(&key).into())).collect();
    store.put_copies(copies, done);
}

/// The same without waiting for the disk.
fn put_soon(store: &RocksStore, keys: impl IntoIterator<Item = CopyKey>) {
    put_then(store, keys, Box::new(|written| written.unwrap()));
}

/// The numbers of the bundles on the disk.
fn bundles(store: &RocksStore) -> Vec<u64> {
    let end = vec![CopyPart::Bundle as u8 + 1];
    let mut stored = store.disk.iterate(Column::Copies, &bundle_key(0), end).unwrap();
    let mut numbers = vec![];
    while let Some(key) = stored.key() {
        numbers.push(parse_bundle_key(key).unwrap());
        stored.next();
    }
    numbers
}

fn check(store: &RocksStore, keys: &BTreeSet<CopyKey>) {
    assert!(store.list_copies(None).unwrap().iter().eq(keys));
    for key in keys {
        assert_eq!(store.get_copy(key).unwrap().unwrap(), content(key));
    }
}

#[tokio::test]
async fn a_bundle_goes_with_the_last_copy_in_it_that_counts() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    put(&store, (0..3).map(|n| copy("a", n))).await;
    put(&store, [copy("a", 3), copy("b", 0)]).await;
    assert_eq!(bundles(&store), [0, 1]);
    store.delete_copies(&[copy("a", 0), copy("a", 2)]).unwrap();
    assert_eq!(bundles(&store), [0, 1]);
    check(&store, &BTreeSet::from([copy("a", 1), copy("a", 3), copy("b", 0)]));
    store.delete_copies(&[copy("a", 1)]).unwrap();
    assert_eq!(bundles(&store), [1]);
    check(&store, &BTreeSet::from([copy("a", 3), copy("b", 0)]));
    // Written again, it counts in its new place only.
    put(&store, [copy("a", 3), copy("b", 0)]).await;
    store.delete_copies(&[]).unwrap();
    assert_eq!(bundles(&store), [2]);
    drop(store);
    let store = open(&dir);
    check(&store, &BTreeSet::from([copy("a", 3), copy("b", 0)]));
    put(&store, [copy("c", 0)]).await;
    assert_eq!(bundles(&store), [2, 3], "a number is not used twice while it is used");
}

#[tokio::test]
async fn a_removed_copy_may_come_back_with_its_bundle_and_is_removed_again() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    put(&store, [copy("a", 0), copy("a", 1)]).await;
    store.delete_copies(&[copy("a", 0)]).unwrap();
    drop(store);
    let store = open(&dir);
    check(&store, &BTreeSet::from([copy("a", 0), copy("a", 1)]));
    store.delete_copies(&[copy("a", 0), copy("a", 1)]).unwrap();
    assert_eq!(bundles(&store), []);
    drop(store);
    check(&open(&dir), &BTreeSet::new());
}

#[tokio::test]
async fn bundles_of_which_little_counts_are_emptied_and_nothing_that_counts_is_lost() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let per_bundle = BUNDLE_BYTES / 200;
    let rounds = 3 * BUNDLE_WASTE_BYTES as usize / BUNDLE_BYTES;
    let mut kept = BTreeSet::new();
    for round in 0..rounds {
        let keys: Vec<_> = (0..per_bundle as u64).map(|n| copy(&format!("{round}"), n)).collect();
        put_soon(&store, keys.clone());
        kept.insert(keys[0].clone());
        store.delete_copies(&keys[1..]).unwrap();
    }
    check(&store, &kept);
    let held = bundles(&store).len() * BUNDLE_BYTES;
    let may = BUNDLE_WASTE as usize * kept.len() * 300 + BUNDLE_WASTE_BYTES as usize;
    assert!(held < may + may / 4, "{held} bytes are held, {may} may be");
    drop(store);
    let store = open(&dir);
    kept.iter().for_each(|key| assert_eq!(store.get_copy(key).unwrap().unwrap(), content(key)));
}

#[tokio::test]
async fn copies_that_an_older_version_wrote_with_their_names_are_read_and_removed() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let (key, column) = (copy("a", 1), store.disk.column(Column::Copies).unwrap());
    let name = copy_key(CopyPart::Name, &key);
    let sealed = seal(Column::Copies.tag(), &name, &content(&key)).unwrap();
    store.disk.db().put_cf(column, &name, sealed).unwrap();
    put(&store, [copy("a", 2)]).await;
    check(&store, &BTreeSet::from([key.clone(), copy("a", 2)]));
    store.delete_copies(&[key]).unwrap();
    check(&store, &BTreeSet::from([copy("a", 2)]));
}

#[tokio::test]
async fn a_spoiled_bundle_costs_what_was_in_it_and_is_told() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    for n in 0..3 {
        put(&store, [copy("a", n), copy("b", n)]).await;
    }
    let column = store.disk.column(Column::Copies).unwrap();
    let mut stored = store.disk.db().get_cf(column, bundle_key(1)).unwrap().unwrap();
    stored[50] ^= 1;
    store.disk.db().put_cf(column, bundle_key(1), stored).unwrap();
    assert_eq!(store.get_copy(&copy("a", 1)).unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(store);
    let store = open(&dir);
    for n in 0..3 {
        for key in [copy("a", n), copy("b", n)] {
            match (n, store.get_copy(&key)) {
                (1, found) => assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData),
                (_, found) => assert_eq!(found.unwrap().unwrap(), content(&key)),
            }
        }
    }
    assert_eq!(store.list_copies(None).unwrap().len(), 4);
    put(&store, [copy("a", 1)]).await;
    assert_eq!(store.get_copy(&copy("a", 1)).unwrap().unwrap(), content(&copy("a", 1)), "it was mended");
}

/// Removals and moves go on while others read and look through all.
#[tokio::test]
async fn nothing_that_counts_is_ever_missed_by_who_reads_meanwhile() {
    let dir = tempdir().unwrap();
    let store = open(&dir);
    let keep: Vec<_> = (0..40).map(|n| CopyKey { epoch: Epoch(n), ..copy("kept", 7) }).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
    // Each of them alone among many that go.
    let rounds = 2 * BUNDLE_WASTE_BYTES as usize / BUNDLE_BYTES;
    for key in &keep {
        let others: Vec<_> = (0..30).map(|n| CopyKey { epoch: key.epoch, ..copy("gone", n) }).collect();
        put_soon(&store, others.iter().cloned().chain([key.clone()]));
        store.delete_copies(&others).unwrap();
    }
    let (actor, all) = (keep[0].actor.clone(), keep.iter().cloned().collect::<BTreeSet<_>>());
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !is_over() {
                let found = store.list_copies(Some(&[&actor])).unwrap();
                assert!(found.iter().eq(&all));
                keep.iter().for_each(|key| assert_eq!(store.get_copy(key).unwrap().unwrap(), content(key)));
                looks += 1;
            }
            looks
        });
        for round in 0..rounds as u64 {
            let others: Vec<_> =
                (0..20).map(|n| CopyKey { epoch: Epoch(round), ..copy("more", n) }).collect();
            put_soon(&store, others.iter().cloned());
            // One of each stays for now, so that bundles are sparse and not empty.
            store.delete_copies(&others[1..]).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 1);
}
