//! What only a disk can do wrong: crashes, cut and flipped bytes, missing files, no space.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::codec::{bundle_key, copy_key};
use super::*;
use crate::clock::{BootClock, Clock};
use crate::store::tests::{copy, durable, entries};
use tempfile::{TempDir, tempdir};

fn open(dir: &TempDir) -> Result<RocksStore, StoreError> {
    RocksStore::open(dir.path())
}

/// The files as a SIGKILL leaves them: whatever was written, in the middle of whatever.
fn killed(dir: &TempDir) -> TempDir {
    let to = tempdir().unwrap();
    for (name, bytes) in files(dir) {
        let path = to.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    to
}

fn files(dir: &TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(dir.path()).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// The newest non-empty file of a kind, and its content.
fn newest(dir: &TempDir, extension: &str) -> (PathBuf, Vec<u8>) {
    let of_kind = |(path, bytes): &(PathBuf, Vec<u8>)| {
        path.extension().is_some_and(|e| e == extension) && !bytes.is_empty()
    };
    let (path, bytes) = files(dir).into_iter().rfind(of_kind).unwrap();
    (dir.path().join(path), bytes)
}

/// Something in every column, all of it acknowledged.
async fn fill(store: &RocksStore) {
    durable(|done| store.log_append(entries(1..20, "first"), done)).await.unwrap();
    durable(|done| store.put(Slot::Vote, b"vote".to_vec(), done)).await.unwrap();
    durable(|done| store.put_snapshot(b"meta".to_vec(), vec![5; 3000], done)).await.unwrap();
    durable(|done| {
        store.copies_put(
            vec![(copy("a", 1), vec![6; 3000].into()), (copy("a", 2), vec![7; 5000].into())],
            done,
        )
    })
    .await
    .unwrap();
    store.log_truncate(10).unwrap();
    durable(|done| store.log_append(entries(10..15, "second"), done)).await.unwrap();
    store.log_purge(3, Slot::Purged, b"3".to_vec()).unwrap();
    durable(|done| store.put(Slot::Identity, b"me".to_vec(), done)).await.unwrap();
}

/// Reads all that `fill` wrote. An error is honest; anything else must be what was written.
fn check_filled(store: &RocksStore) -> io::Result<()> {
    let log = [entries(4..10, "first"), entries(10..15, "second")].concat();
    assert_eq!(store.log_read(0..99, 10_000)?, log);
    assert_eq!(store.get(Slot::Vote)?.as_deref(), Some(&b"vote"[..]));
    assert_eq!(store.get(Slot::Purged)?.as_deref(), Some(&b"3"[..]));
    assert_eq!(store.get(Slot::Identity)?.as_deref(), Some(&b"me"[..]));
    assert_eq!(store.snapshot()?, Some((b"meta".to_vec(), vec![5; 3000])));
    // Short ones lie in bundles, long ones alone.
    assert_eq!(store.copy_get(&copy("a", 1))?, Some(vec![6; 3000]));
    assert_eq!(store.copy_get(&copy("a", 2))?, Some(vec![7; 5000]));
    assert_eq!(store.copies_of(None)?, vec![copy("a", 1), copy("a", 2)]);
    Ok(())
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_kill_and_after_a_clean_end() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    fill(&store).await;
    let after_kill = killed(&dir);
    for _ in 0..3 {
        check_filled(&open(&after_kill).unwrap()).unwrap();
    }
    drop(store);
    check_filled(&open(&dir).unwrap()).unwrap();
}

#[tokio::test]
async fn a_directory_is_opened_once_at_a_time() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    assert!(matches!(open(&dir), Err(StoreError::InUse { .. })));
    fill(&store).await;
    drop(store);
    open(&dir).unwrap();
}

#[tokio::test]
async fn a_cut_tail_of_acknowledged_writes_is_an_error_and_changes_nothing() {
    let dir = tempdir().unwrap();
    fill(&open(&dir).unwrap()).await;
    let (wal, whole) = newest(&dir, "log");
    for cut in [1, 2, 7, 20, 60, 300, whole.len() / 2, whole.len()] {
        fs::write(&wal, &whole[..whole.len() - cut]).unwrap();
        let before = files(&dir);
        let error = open(&dir).err().unwrap();
        assert!(matches!(error, StoreError::LostWrites { .. }), "cut by {cut}: {error}");
        assert_eq!(files(&dir), before, "a refused directory is left as it was");
    }
    fs::write(&wal, &whole).unwrap();
    check_filled(&open(&dir).unwrap()).unwrap();
}

/// Many chunks go round the write-ahead log, which begins a new file then.
#[tokio::test]
async fn an_older_file_of_the_write_ahead_log_that_was_cut_between_two_writes_is_an_error() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    durable(|done| store.log_append(entries(0..6, "kept"), done)).await.unwrap();
    let (wal, kept) = newest(&dir, "log");
    durable(|done| store.put(Slot::Vote, b"vote".to_vec(), done)).await.unwrap();
    let whole = fs::read(&wal).unwrap();
    let chunk = ([7; 32], Bytes::from(vec![7; UNLOGGED_CHUNK_BYTES]));
    let of = copy("a", 1).actor;
    durable(|done| store.chunks_put(&of, vec![chunk.clone()], done)).await.unwrap();
    durable(|done| store.log_append(entries(6..9, "later"), done)).await.unwrap();
    assert!(whole.len() > kept.len() && newest(&dir, "log").0 != wal);
    let (after_kill, cut) = (killed(&dir), killed(&dir));
    drop(store);

    let store = open(&after_kill).unwrap();
    assert_eq!(store.chunk_get(&of, &[7; 32]).unwrap().as_deref(), Some(&chunk.1[..]), "it was acknowledged");
    assert_eq!(store.get(Slot::Vote).unwrap().as_deref(), Some(&b"vote"[..]));
    drop(store);

    let path = cut.path().join(wal.strip_prefix(dir.path()).unwrap());
    fs::write(&path, &whole[..kept.len()]).unwrap();
    let error = open(&cut).err().expect("the vote is lost, and it was acknowledged");
    assert!(matches!(error, StoreError::Corrupt { .. } | StoreError::LostWrites { .. }), "{error}");
}

/// Of each file a little is needed on: it goes nowhere by itself.
#[tokio::test]
async fn room_that_removed_chunks_took_comes_back() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    let (of, each, rounds) = (copy("a", 1).actor, 32 << 10, 100);
    let digest = |round: usize, n: usize| *blake3::hash(&[round as u8, n as u8]).as_bytes();
    let per_round = UNLOGGED_CHUNK_BYTES / each;
    for round in 0..rounds {
        let chunks =
            (0..per_round).map(|n| (digest(round, n), Bytes::from(vec![round as u8; each]))).collect();
        durable(|done| store.chunks_put(&of, chunks, done)).await.unwrap();
        let removed: Vec<_> = (1..per_round).map(|n| digest(round, n)).collect();
        store.chunks_delete(&of, &removed).unwrap();
    }
    let stored = || -> u64 {
        let files = fs::read_dir(dir.path().join("db")).unwrap().flatten();
        let blobs = files.filter(|file| file.path().extension().is_some_and(|ext| ext == "blob"));
        blobs.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    };
    let written = (rounds * UNLOGGED_CHUNK_BYTES) as u64;
    let end = BootClock.now() + Duration::from_secs(20);
    while stored() > written / 2 {
        assert!(BootClock.now() < end, "{} of {written} bytes are still there", stored());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for round in 0..rounds {
        assert_eq!(store.chunk_get(&of, &digest(round, 0)).unwrap().unwrap(), vec![round as u8; each]);
    }
}

#[tokio::test]
async fn a_cut_tail_of_unsynced_writes_leaves_a_prefix_of_them() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    durable(|done| store.log_append(entries(0..6, "old"), done)).await.unwrap();
    // As a power cut leaves it: what follows was written, and neither synced nor promised.
    let mark = fs::read(dir.path().join("mark")).unwrap();
    let (wal, promised) = newest(&dir, "log");
    store.log_truncate(3).unwrap();
    durable(|done| store.log_append(entries(3..5, "new"), done)).await.unwrap();
    drop(store);
    let whole = fs::read(&wal).unwrap();
    fs::write(dir.path().join("mark"), mark).unwrap();

    let rewritten = [entries(0..3, "old"), entries(3..5, "new")].concat();
    let prefixes = [entries(0..6, "old"), entries(0..3, "old"), rewritten];
    let mut seen = BTreeMap::new();
    for length in (promised.len()..whole.len()).step_by(3).chain([whole.len()]) {
        fs::write(&wal, &whole[..length]).unwrap();
        let log = open(&killed(&dir)).unwrap().log_read(0..9, 1000).unwrap();
        let which = prefixes.iter().position(|prefix| *prefix == log);
        *seen.entry(which.expect("a prefix of the writes")).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_write_ahead_log_is_never_passed_over() {
    let dir = tempdir().unwrap();
    fill(&open(&dir).unwrap()).await;
    let (wal, whole) = newest(&dir, "log");
    for at in (0..whole.len()).step_by(whole.len() / 80).chain([whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&wal, flipped).unwrap();
        let error = open(&dir).err().unwrap_or_else(|| panic!("a flip at {at} was passed over"));
        assert!(matches!(error, StoreError::LostWrites { .. } | StoreError::Corrupt { .. }), "{error}");
    }
    fs::write(&wal, &whole).unwrap();
    check_filled(&open(&dir).unwrap()).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_a_table_is_never_passed_over() {
    let dir = tempdir().unwrap();
    fill(&open(&dir).unwrap()).await;
    // Opening writes what it replays into tables.
    check_filled(&open(&dir).unwrap()).unwrap();
    let mut noticed = 0;
    let tables: Vec<_> =
        files(&dir).into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "sst")).collect();
    assert!(tables.len() >= 4, "a table for each column");
    for (path, whole) in tables {
        for at in (0..whole.len()).step_by(whole.len() / 12) {
            let damaged = killed(&dir);
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(damaged.path().join(&path), flipped).unwrap();
            match open(&damaged) {
                Ok(store) => noticed += usize::from(check_filled(&store).is_err()),
                Err(StoreError::Corrupt { .. }) => noticed += 1,
                Err(other) => panic!("{path:?} at {at}: {other}"),
            }
        }
    }
    assert!(noticed > 20, "{noticed} flips noticed; the rest hit statistics that nobody reads");
}

#[tokio::test]
async fn missing_files_are_an_error() {
    let dir = tempdir().unwrap();
    fill(&open(&dir).unwrap()).await;
    for name in ["mark", "db/CURRENT"] {
        let damaged = killed(&dir);
        fs::remove_file(damaged.path().join(name)).unwrap();
        let error = open(&damaged).err().unwrap();
        let expected = matches!(
            (name, &error),
            ("mark", StoreError::Corrupt { .. }) | ("db/CURRENT", StoreError::LostWrites { .. })
        );
        assert!(expected, "{name}: {error}");
    }
    let damaged = killed(&dir);
    fs::remove_file(newest(&damaged, "log").0).unwrap();
    assert!(matches!(open(&damaged), Err(StoreError::LostWrites { .. })));
    check_filled(&open(&dir).unwrap()).unwrap();
    fs::remove_file(newest(&dir, "sst").0).unwrap();
    assert!(open(&dir).is_err());
}

#[tokio::test]
async fn a_creation_that_was_cut_short_starts_again() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("mark"), b"").unwrap();
    drop(open(&dir).unwrap());
    assert_eq!(open(&dir).unwrap().log_bounds().unwrap(), None);
}

#[tokio::test]
async fn a_hole_in_the_log_is_an_error_at_open_and_at_read() {
    for hole in [4_u64, 9] {
        let dir = tempdir().unwrap();
        let store = open(&dir).unwrap();
        fill(&store).await;
        store.disk.db().delete_cf(store.disk.column(Column::Log).unwrap(), hole.to_be_bytes()).unwrap();
        let error = store.log_read(0..99, 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.to_string(), format!("log entry {hole} is missing"));
        drop(store);
        let error = open(&dir).err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_match_its_checksum_is_invalid_data() {
    let dir = tempdir().unwrap();
    let store = open(&dir).unwrap();
    fill(&store).await;
    let spoil = |column: Column, key: &[u8]| {
        let family = store.disk.column(column).unwrap();
        let mut stored = store.disk.db().get_cf(family, key).unwrap().unwrap();
        *stored.last_mut().unwrap() ^= 1;
        store.disk.db().put_cf(family, key, stored).unwrap();
    };
    spoil(Column::Copies, &bundle_key(0));
    spoil(Column::Copies, &copy_key(CopyPart::Bytes, &copy("a", 2)));
    spoil(Column::Meta, slot_key(Slot::Vote));
    spoil(Column::Snapshot, SNAPSHOT);
    for n in [1, 2] {
        assert_eq!(store.copy_get(&copy("a", n)).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    assert_eq!(store.copies_of(None).unwrap(), [copy("a", 1), copy("a", 2)], "they are found, to be mended");
    assert_eq!(store.get(Slot::Vote).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(store.snapshot().unwrap_err().kind(), io::ErrorKind::InvalidData);
    spoil(Column::Log, &7_u64.to_be_bytes());
    assert_eq!(store.log_read(0..99, 1000).unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(store);
    assert!(matches!(open(&dir), Err(StoreError::Corrupt { .. })));
}

/// A file system of its own, of a few megabytes. Unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self(tempdir().unwrap());
        disk.command("mount", &["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).then_some(disk)
    }

    fn command(&self, command: &str, arguments: &[&str]) -> bool {
        let status = Command::new(command).args(arguments).arg(self.0.path()).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.command("umount", &["-l"]);
    }
}

#[tokio::test]
async fn a_full_disk_is_a_clear_error_and_loses_nothing_acknowledged() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a file system of its own can be mounted by root only");
        return;
    };
    let value = |index: u64| vec![index as u8; 64 << 10];
    let store = open(&disk.0).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        let entry = vec![(acknowledged, value(acknowledged))];
        match durable(|done| store.log_append(entry, done)).await {
            Ok(()) => acknowledged += 1,
            Err(e) => break e,
        }
        assert!(acknowledged < 10_000, "the disk never filled up");
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    let later = durable(|done| store.put(Slot::Vote, b"v".to_vec(), done)).await.unwrap_err();
    assert_eq!(later.kind(), io::ErrorKind::StorageFull, "{later}");
    assert!(later.to_string().starts_with("the store takes no writes since one failed"), "{later}");
    assert!(store.put_unsynced(Slot::Committed, vec![]).is_err());
    drop(store);
    // Whether it opens while the disk is still full is not promised; that it loses nothing is.
    drop(open(&disk.0));
    assert!(disk.command("mount", &["-o", "remount,size=200m"]));
    let store = open(&disk.0).unwrap();
    let log = store.log_read(0..u64::MAX, usize::MAX).unwrap();
    assert!(log.len() as u64 >= acknowledged, "{} of {acknowledged} are left", log.len());
    assert!(log.iter().zip(0..).all(|((index, bytes), n)| *index == n && *bytes == value(n)));
}
