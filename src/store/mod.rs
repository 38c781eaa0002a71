//! What a peer keeps on disk: the Raft log, a few small values, a snapshot, checkpoint copies.
//!
//! Every write is visible to readers when its method returns, and durable when its [`Durable`]
//! callback is called. One flusher syncs many writes at once and calls the callbacks in the order
//! of the writes (group commit). After a failed write or sync the store is poisoned: every later
//! write fails with the first error, because what the disk holds is unknown from then on.
//!
//! After a crash a prefix of the writes is there: all that were acknowledged, and maybe some that
//! were not, but never a later one without every earlier one. Chunks are no part of that: those that were not
//! acknowledged may be there or not, each by itself, and their callbacks have an order of their own.
//!
//! Errors by kind: `InvalidData`, what is stored is not what was written; `InvalidInput`, the
//! write makes no sense, nothing changed; `ResourceBusy`, too many writes wait for the disk,
//! nothing changed; `StorageFull` and any other, the store is poisoned.

mod bounds;
mod error;
mod memory;
mod rocks;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use memory::{MemoryStore, Moment, WriteKind};
pub use rocks::RocksStore;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::id::{ActorId, Epoch};

/// Called once, when the write is durable or has failed; dropped uncalled only if the process ends
/// (or, in the memory twin, crashes). Must not block. It may call the store. A write that was
/// refused before it was made may be answered at once, ahead of earlier ones.
pub type Durable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The name of one checkpoint's bytes. The digest is part of it, so that two writers that disagree
/// never overwrite each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CopyKey {
    /// Whose state it is.
    pub actor: ActorId,
    /// Under which activation it was taken.
    pub epoch: Epoch,
    /// The how-manieth of that activation.
    pub seq: u64,
    /// blake3 of the bytes.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
}

/// blake3 of a chunk, by which the manifests of copies name it.
pub type ChunkDigest = [u8; 32];

/// Small values with a name of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Who this disk belongs to.
    Identity,
    /// The Raft vote.
    Vote,
    /// The last log id known to be committed; a hint, needs no sync.
    Committed,
    /// The last purged log id.
    Purged,
}

/// A peer's disk. Reads block for as long as a disk read does; writes only queue.
pub trait Store: Send + Sync + 'static {
    /// Reads a small value.
    fn get(&self, slot: Slot) -> io::Result<Option<Vec<u8>>>;
    /// Writes a small value.
    fn put(&self, slot: Slot, value: Vec<u8>, done: Durable);
    /// Writes a small value that may be lost in a crash (an older one comes back then).
    fn put_unsynced(&self, slot: Slot, value: Vec<u8>) -> io::Result<()>;

    /// First and last index of the log, none while it is empty.
    fn log_bounds(&self) -> io::Result<Option<(u64, u64)>>;
    /// Entries of a range, in order, without holes: as many as fit in `max_bytes`, but at least one.
    /// Indexes that the log does not hold, at either end of the range, are left out.
    fn log_read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Vec<u8>)>>;
    /// Appends consecutive entries that follow the last one. To an empty log, from any index on.
    fn log_append(&self, entries: Vec<(u64, Vec<u8>)>, done: Durable);
    /// Removes every entry from `first` on. Durable before any later append is.
    fn log_truncate(&self, first: u64) -> io::Result<()>;
    /// Removes every entry up to and including `last`, and writes the small value in the same step.
    /// `last` may lie behind the end. Needs no sync: it comes undone as a whole or not at all.
    fn log_purge(&self, last: u64, slot: Slot, value: Vec<u8>) -> io::Result<()>;

    /// Empties the Raft half (log, vote, committed, purged, snapshot) and writes the identity, in one
    /// atomic step. Copies stay.
    fn reset_raft(&self, identity: Vec<u8>, done: Durable);

    /// The newest snapshot: what it covers, and its bytes.
    fn snapshot(&self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>>;
    /// Replaces the snapshot in one atomic step.
    fn put_snapshot(&self, meta: Vec<u8>, bytes: Vec<u8>, done: Durable);

    /// Stores copies; all of them are durable when `done` is called. One that is there already is as long as this one:
    /// its digest says so.
    fn copies_put(&self, copies: Vec<(CopyKey, Bytes)>, done: Durable);
    /// Reads a copy as it was written (`InvalidData` if the disk spoiled it). The caller checks its
    /// digest.
    fn copy_get(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>>;
    /// The copies held of some actors, or, for none, of all, in order. Reads no long copy's bytes.
    fn copies_of(&self, actors: Option<&[&ActorId]>) -> io::Result<Vec<CopyKey>>;
    /// Removes copies. Needs no sync, and some may come back when the disk is opened again: they are removed again.
    fn copies_delete(&self, keys: &[CopyKey]) -> io::Result<()>;

    /// Stores chunks of an actor's copies; all of them are durable when `done` is called.
    fn chunks_put(&self, actor: &ActorId, chunks: Vec<(ChunkDigest, Bytes)>, done: Durable);
    /// Reads a chunk as it was written, or as the disk spoiled it: the caller checks its digest.
    fn chunk_get(&self, actor: &ActorId, chunk: &ChunkDigest) -> io::Result<Option<Vec<u8>>>;
    /// The chunks held of one actor. Reads no chunk's bytes.
    fn chunks_of(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>>;
    /// The actors of which any chunk is held.
    fn chunked_actors(&self) -> io::Result<Vec<ActorId>>;
    /// Removes chunks of an actor. Needs no sync, as above.
    fn chunks_delete(&self, actor: &ActorId, chunks: &[ChunkDigest]) -> io::Result<()>;
}

/// Starts a write, at once; what it returns waits until it is durable.
///
/// # Errors
/// What the write failed with, or that the store was closed meanwhile.
pub fn durably(write: impl FnOnce(Durable)) -> Written {
    let (tx, rx) = tokio::sync::oneshot::channel();
    write(Box::new(move |result| drop(tx.send(result))));
    Written(rx)
}

/// A write that was started. Ready when it is durable, or has failed.
#[derive(Debug)]
pub struct Written(tokio::sync::oneshot::Receiver<io::Result<()>>);

impl Future for Written {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let closed = |_| Err(io::Error::other("the store is closed"));
        Pin::new(&mut self.0).poll(task).map(|told| told.unwrap_or_else(closed))
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
