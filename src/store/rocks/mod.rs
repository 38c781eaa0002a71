//! The store on a real disk. The only folder that names `rocksdb`.
//!
//! # What is promised
//!
//! - What was acknowledged survives the end of the process at any point, and a power cut if the
//!   disk honours `fsync`. What was not may be there or not, but only as a whole prefix of the
//!   writes: a later one never without all earlier ones.
//! - What was acknowledged and is not readable any more (a flipped bit, a cut or a missing file) is
//!   an error: at [`RocksStore::open`] for the write-ahead log, the Raft log and the shape of the
//!   tables; at the read for a snapshot, a slot or a copy. It is never passed over.
//! - One case is out of reach: a power cut, and the same moment's writes damaged though the disk
//!   said that they were synced. The mark that tells them from unsynced ones (`mark.rs`) is itself
//!   synced only when writers pause for 50 ms, and every 32 groups of writes. The end of the process alone
//!   opens no such gap.
//! - A directory put back as a whole, from an older copy of it, is not noticed here: admission
//!   notices it (the disk's incarnation is not the newest).

mod codec;
mod copies;
mod disk;
mod flusher;
mod mark;
mod options;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use rocksdb::{ReadOptions, WriteBatch};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use self::codec::{CopyPart, chunk_key, copy_prefix, parse_chunk_owner};
use self::copies::Index;
use self::disk::{Disk, io_error};
use self::flusher::{Flusher, Step};
use self::options::Column;
use super::bounds::LogBounds;
use super::error::{StoreError, corrupt};
use super::{ChunkDigest, CopyKey, Durable, Slot, Store, lock};
use crate::id::ActorId;
use crate::limits::UNLOGGED_CHUNK_BYTES;

const SNAPSHOT: &[u8] = b"newest";

/// A [`Store`] in a directory of its own.
///
/// Writes go to RocksDB's write-ahead log at once; one thread syncs it for all that wait. Many chunks go round it, into
/// files of their own, which another thread syncs: nobody waits behind them. A write
/// blocks its caller only while RocksDB itself stalls (its buffers are full and the disk is behind).
/// Dropping the store syncs what is queued, and waits for that.
pub struct RocksStore {
    // They stop, and let go of their shares of the disk, before the fields below do.
    flusher: Flusher,
    /// For chunks that go round the write-ahead log.
    chunk_flusher: Flusher,
    disk: Arc<Disk>,
    /// Held while a write is made and queued: both orders are the same.
    order: Mutex<()>,
    /// Never more than what the database holds: it grows after a write and shrinks before one.
    bounds: Mutex<LogBounds>,
    /// Where short copies are.
    index: Mutex<Index>,
    /// Held while copies are written again elsewhere, and while all are looked through. Taken before the two above.
    moves: Mutex<()>,
}

impl RocksStore {
    /// Opens the store in `dir`, or makes a new one there (parents too).
    ///
    /// Reads the write-ahead log (at most 32 MiB, twice), the Raft log and the short copies once.
    ///
    /// # Errors
    /// [`StoreError`]: in use, damaged, acknowledged writes lost, or refused by the system. A
    /// damaged directory is left as it was.
    pub fn open(dir: &Path) -> Result<RocksStore, StoreError> {
        let disk = Arc::new(Disk::open(dir)?);
        let found = |source: io::Error| match source.kind() {
            io::ErrorKind::InvalidData => StoreError::Corrupt { dir: dir.into(), what: source.to_string() },
            _ => StoreError::Io { dir: dir.into(), source },
        };
        let bounds = disk.check_log().map_err(found)?;
        let index = Mutex::new(disk.index_copies().map_err(found)?);
        let theirs = disk.clone();
        let flusher = Flusher::start("standin-flush", move |step| theirs.perform(step)).map_err(found)?;
        let (theirs, stop) = (disk.clone(), flusher.stopper());
        let flush = move |step| match step {
            Step::Sync(_) => theirs.flush_chunks().inspect_err(&stop),
            // Nothing is promised of them but what their names say.
            Step::Settle => Ok(()),
        };
        let chunk_flusher = Flusher::start("standin-chunks", flush).map_err(found)?;
        let (order, moves, bounds) = (Mutex::new(()), Mutex::new(()), Mutex::new(bounds));
        Ok(Self { flusher, chunk_flusher, disk, order, bounds, index, moves })
    }

    /// Makes a write under the order lock. The first that fails is the last that was tried.
    fn write(&self, batch: WriteBatch) -> io::Result<u64> {
        self.flusher.admit()?;
        self.disk.write(batch).inspect_err(|e| self.stop(e))
    }

    /// The same, round the write-ahead log.
    fn write_unlogged(&self, batch: WriteBatch) -> io::Result<u64> {
        self.flusher.admit()?;
        self.chunk_flusher.admit()?;
        self.disk.write_unlogged(batch).inspect_err(|e| self.stop(e))
    }

    fn stop(&self, e: &io::Error) {
        tracing::error!(error = %e, "the store could not write and takes no more writes");
        self.flusher.fail(e);
    }

    /// Writes what `fill` puts into a batch, and queues `done`.
    fn submit(&self, done: Durable, fill: impl FnOnce(&mut WriteBatch) -> io::Result<()>) {
        self.queue(&self.flusher, Self::write, done, fill);
    }

    /// The same, written in this way, and synced by that thread.
    fn queue(
        &self,
        flusher: &Flusher,
        write: impl FnOnce(&Self, WriteBatch) -> io::Result<u64>,
        done: Durable,
        fill: impl FnOnce(&mut WriteBatch) -> io::Result<()>,
    ) {
        let filled = batch(fill);
        let order = lock(&self.order);
        let written = filled.and_then(|batch| write(self, batch));
        flusher.queue(order, written, done);
    }

    /// Writes what `fill` puts into a batch; the next sync covers it.
    fn submit_unsynced(&self, fill: impl FnOnce(&mut WriteBatch) -> io::Result<()>) -> io::Result<()> {
        let filled = batch(fill)?;
        let _order = lock(&self.order);
        self.write(filled).map(drop)
    }

    /// Removes log entries in one step with what `also` adds.
    fn cut_log(
        &self,
        cut: impl FnOnce(LogBounds) -> (LogBounds, Range<u64>),
        also: impl FnOnce(&mut WriteBatch, LogBounds) -> io::Result<()>,
    ) -> io::Result<()> {
        let _order = lock(&self.order);
        let (kept, removed) = cut(*lock(&self.bounds));
        let batch = batch(|batch| {
            if !removed.is_empty() {
                let (from, to) = (removed.start.to_be_bytes(), removed.end.to_be_bytes());
                batch.delete_range_cf(self.disk.column(Column::Log)?, from, to);
            }
            also(batch, kept)
        })?;
        self.flusher.admit()?;
        *lock(&self.bounds) = kept;
        self.write(batch).map(drop)
    }
}

fn batch(fill: impl FnOnce(&mut WriteBatch) -> io::Result<()>) -> io::Result<WriteBatch> {
    let mut batch = WriteBatch::default();
    fill(&mut batch)?;
    Ok(batch)
}

fn slot_key(slot: Slot) -> &'static [u8] {
    match slot {
        Slot::Identity => b"identity",
        Slot::Vote => b"vote",
        Slot::Committed => b"committed",
        Slot::Purged => b"purged",
    }
}

impl Store for RocksStore {
    fn get(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        self.disk.get(Column::Meta, slot_key(slot), || format!("{slot:?}"))
    }

    fn put(&self, slot: Slot, value: Vec<u8>, done: Durable) {
        self.submit(done, |batch| self.disk.put(batch, Column::Meta, slot_key(slot), &value));
    }

    fn put_unsynced(&self, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        self.submit_unsynced(|batch| self.disk.put(batch, Column::Meta, slot_key(slot), &value))
    }

    fn log_bounds(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(lock(&self.bounds).first_and_last())
    }

    fn log_read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let (held, mut stored) = {
            // The iterator sees the database as it is now: under the lock, at least these bounds.
            let bounds = lock(&self.bounds);
            let held = bounds.clamp(&range);
            if held.is_empty() {
                return Ok(Vec::new());
            }
            let to = held.end.to_be_bytes().to_vec();
            let stored = self.disk.iterate(Column::Log, &held.start.to_be_bytes(), to)?;
            (held, stored)
        };
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for index in held {
            stored.status().map_err(io_error)?;
            let key = index.to_be_bytes();
            let Some(value) = stored.item().filter(|(k, _)| *k == key).map(|(_, value)| value) else {
                return Err(corrupt(format!("log entry {index} is missing")));
            };
            let value = codec::unseal(Column::Log.tag(), &key, value, || format!("log entry {index}"))?;
            bytes = bytes.saturating_add(value.len());
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push((index, value.to_vec()));
            stored.next();
        }
        Ok(entries)
    }

    fn log_append(&self, entries: Vec<(u64, Vec<u8>)>, done: Durable) {
        let filled = batch(|batch| {
            let put = |(index, value): &(u64, Vec<u8>)| {
                self.disk.put(batch, Column::Log, &index.to_be_bytes(), value)
            };
            entries.iter().try_for_each(put)
        });
        let order = lock(&self.order);
        let written = filled.and_then(|mut batch| {
            let before = *lock(&self.bounds);
            let after = before.after_append(&entries)?;
            if after.start != before.start {
                self.disk.put_log_start(&mut batch, after.start)?;
            }
            let number = self.write(batch)?;
            *lock(&self.bounds) = after;
            Ok(number)
        });
        self.flusher.queue(order, written, done);
    }

    fn log_truncate(&self, first: u64) -> io::Result<()> {
        let cut = |log: LogBounds| {
            let kept = log.after_truncate(first);
            (kept, kept.end..log.end)
        };
        self.cut_log(cut, |_, _| Ok(()))
    }

    fn log_purge(&self, last: u64, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        let cut = |log: LogBounds| {
            let kept = log.after_purge(last);
            (kept, log.start..kept.start.min(log.end))
        };
        self.cut_log(cut, |batch, kept| {
            self.disk.put_log_start(batch, kept.start)?;
            self.disk.put(batch, Column::Meta, slot_key(slot), &value)
        })
    }

    fn reset_raft(&self, identity: Vec<u8>, done: Durable) {
        let empty = LogBounds::default();
        let filled = batch(|batch| {
            let (from, to) = (0_u64.to_be_bytes(), u64::MAX.to_be_bytes());
            batch.delete_range_cf(self.disk.column(Column::Log)?, from, to);
            self.disk.put_log_start(batch, empty.start)?;
            for slot in [Slot::Vote, Slot::Committed, Slot::Purged] {
                batch.delete_cf(self.disk.column(Column::Meta)?, slot_key(slot));
            }
            batch.delete_cf(self.disk.column(Column::Snapshot)?, SNAPSHOT);
            self.disk.put(batch, Column::Meta, slot_key(Slot::Identity), &identity)
        });
        let order = lock(&self.order);
        let written = filled.and_then(|batch| {
            *lock(&self.bounds) = empty;
            self.write(batch)
        });
        self.flusher.queue(order, written, done);
    }

    fn snapshot(&self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let joined = self.disk.get(Column::Snapshot, SNAPSHOT, || "the snapshot".into())?;
        let apart =
            |joined: Vec<u8>| codec::split(&joined).ok_or_else(|| corrupt("the snapshot is malformed"));
        joined.map(apart).transpose()
    }

    fn put_snapshot(&self, meta: Vec<u8>, bytes: Vec<u8>, done: Durable) {
        let joined = codec::join(&meta, &bytes);
        self.submit(done, |batch| self.disk.put(batch, Column::Snapshot, SNAPSHOT, &joined));
    }

    fn copies_put(&self, copies: Vec<(CopyKey, Bytes)>, done: Durable) {
        self.put_copies(copies, done);
    }

    fn copy_get(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        self.get_copy(key)
    }

    fn copies_of(&self, actors: Option<&[&ActorId]>) -> io::Result<Vec<CopyKey>> {
        self.list_copies(actors)
    }

    fn copies_delete(&self, keys: &[CopyKey]) -> io::Result<()> {
        self.delete_copies(keys)
    }

    fn chunks_put(&self, actor: &ActorId, chunks: Vec<(ChunkDigest, Bytes)>, done: Durable) {
        let fill = |batch: &mut WriteBatch| {
            let column = self.disk.column(Column::Chunks)?;
            for (digest, bytes) in &chunks {
                batch.put_cf(column, chunk_key(CopyPart::Name, actor, digest), []);
                batch.put_cf(column, chunk_key(CopyPart::Bytes, actor, digest), bytes);
            }
            Ok(())
        };
        let bytes: usize = chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes < UNLOGGED_CHUNK_BYTES {
            self.submit(done, fill);
        } else {
            self.queue(&self.chunk_flusher, Self::write_unlogged, done, fill);
        }
    }

    fn chunk_get(&self, actor: &ActorId, chunk: &ChunkDigest) -> io::Result<Option<Vec<u8>>> {
        let (column, key) = (self.disk.column(Column::Chunks)?, chunk_key(CopyPart::Bytes, actor, chunk));
        // Its digest is checked anyway; RocksDB's own sums take longer than that. What was read without them is kept
        // from others, and believed only if something was found.
        let mut unchecked = ReadOptions::default();
        unchecked.set_verify_checksums(false);
        unchecked.fill_cache(false);
        match self.disk.db().get_pinned_cf_opt(column, &key, &unchecked) {
            Ok(Some(found)) => Ok(Some(found.to_vec())),
            Ok(None) | Err(_) => self.disk.db().get_cf(column, &key).map_err(io_error),
        }
    }

    fn chunks_of(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>> {
        let from = copy_prefix(CopyPart::Name, Some(actor));
        let mut stored = self.disk.iterate(Column::Chunks, &from, copy_prefix(CopyPart::Bytes, None))?;
        let mut chunks = BTreeSet::new();
        while let Some(rest) = stored.key().and_then(|key| key.strip_prefix(from.as_slice())) {
            chunks.insert(rest.try_into().map_err(|_| corrupt("the name of a chunk is malformed"))?);
            stored.next();
        }
        stored.status().map_err(io_error)?;
        Ok(chunks)
    }

    fn chunked_actors(&self) -> io::Result<Vec<ActorId>> {
        let end = copy_prefix(CopyPart::Bytes, None);
        let mut stored = self.disk.iterate(Column::Chunks, &copy_prefix(CopyPart::Name, None), end)?;
        let mut actors = Vec::new();
        while let Some(key) = stored.key() {
            let actor = parse_chunk_owner(key).ok_or_else(|| corrupt("the name of a chunk is malformed"))?;
            // On to the next actor: no digest is greater than this.
            stored.seek([&chunk_key(CopyPart::Name, &actor, &[0xff; 32]), [0].as_slice()].concat());
            actors.push(actor);
        }
        stored.status().map_err(io_error)?;
        Ok(actors)
    }

    fn chunks_delete(&self, actor: &ActorId, chunks: &[ChunkDigest]) -> io::Result<()> {
        self.submit_unsynced(|batch| {
            let column = self.disk.column(Column::Chunks)?;
            for digest in chunks {
                batch.delete_cf(column, chunk_key(CopyPart::Name, actor, digest));
                batch.delete_cf(column, chunk_key(CopyPart::Bytes, actor, digest));
            }
            Ok(())
        })?;
        self.disk.sweep_chunks();
        Ok(())
    }
}
