//! The store's twin without a disk: same rules, and a crash that loses what was not synced.
//!
//! It has no thread and reads no clock but tokio's, so that under a paused clock a run repeats
//! exactly.

mod faults;
mod image;
#[cfg(test)]
mod tests;
mod trap;

use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::image::{Image, Part, Write, shared};
pub use self::trap::{Moment, WriteKind};
use self::trap::{Trap, crashed};
use super::error::{Failure, backlog_full, corrupt};
use super::{ChunkDigest, CopyKey, Durable, Slot, Store, lock};
use crate::id::ActorId;
use crate::limits::MAX_UNSYNCED_WRITES;

/// A [`Store`] in memory. Clones share one content; [`MemoryStore::crash`] is how a disk outlives
/// its process.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    sync_delay: Duration,
}

#[derive(Default)]
struct State {
    /// What readers see.
    visible: Image,
    /// What a crash leaves.
    durable: Image,
    /// What `visible` has and `durable` has not, in order.
    unsynced: VecDeque<(Write, Option<Durable>)>,
    /// Whether a task is on its way to sync.
    syncing: bool,
    failure: Option<Failure>,
    fail_next_sync: bool,
    full: bool,
    /// No sync ends.
    stalled: bool,
    trap: Option<Trap>,
}

impl MemoryStore {
    /// An empty store. A sync takes `sync_delay` of tokio's time and covers what was written before
    /// it began. Zero, or a write outside of a tokio runtime: durable before the write returns.
    pub fn new(sync_delay: Duration) -> Self {
        Self { state: Arc::default(), sync_delay }
    }

    /// Ends this store and returns the one that the next process finds: everything that was durable,
    /// and the first `kept` of the [unsynced](Self::unsynced) writes, maybe without the chunks among
    /// them. Callbacks that still wait are dropped, as their process is; whoever still uses this
    /// store gets an error for every write.
    pub fn crash(&self, kept: usize) -> MemoryStore {
        let mut state = lock(&self.state);
        let mut left = std::mem::take(&mut state.durable);
        let lost = std::mem::take(&mut state.unsynced);
        state.failure.get_or_insert(Failure::new(&crashed()));
        drop(state);
        // Chunks may be lost without what was written later: in half of all cases they are.
        let lose_chunks = kept % 2 == 1;
        for (write, _) in lost.into_iter().take(kept) {
            if !(lose_chunks && matches!(write, Write::Chunks(..))) {
                left.apply(write);
            }
        }
        let state = State { visible: left.clone(), durable: left, ..State::default() };
        MemoryStore { state: Arc::new(Mutex::new(state)), sync_delay: self.sync_delay }
    }

    /// Another disk with the same content, all of it durable.
    pub fn backup(&self) -> MemoryStore {
        let now = lock(&self.state).visible.clone();
        let state = State { visible: now.clone(), durable: now, ..State::default() };
        MemoryStore { state: Arc::new(Mutex::new(state)), sync_delay: self.sync_delay }
    }

    /// How many writes a crash may lose now.
    pub fn unsynced(&self) -> usize {
        lock(&self.state).unsynced.len()
    }

    /// Syncs everything written so far, without waiting for the delay.
    pub fn sync_now(&self) {
        let everything = self.unsynced();
        self.sync(everything);
    }

    fn submit(&self, done: Durable, make: impl FnOnce(&Image) -> io::Result<Write>) {
        let mut done = Some(done);
        if let Err(e) = self.write(&mut done, make)
            && let Some(done) = done
        {
            done(Err(e));
        }
    }

    fn submit_unsynced(&self, make: impl FnOnce(&Image) -> io::Result<Write>) -> io::Result<()> {
        self.write(&mut None, make)
    }

    /// Makes one write visible, takes its callback, and sees to its sync.
    fn write(
        &self,
        done: &mut Option<Durable>,
        make: impl FnOnce(&Image) -> io::Result<Write>,
    ) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.admit()?;
        let write = make(&state.visible)?;
        let kind = WriteKind::of(&write);
        if let Some(trap) = state.caught(kind, Moment::Before) {
            drop(state);
            return Err(trap.spring());
        }
        state.visible.apply(write.clone());
        state.unsynced.push_back((write, done.take()));
        if let Some(trap) = state.caught(kind, Moment::Made) {
            drop(state);
            return Err(trap.spring());
        }
        let start = state.must_sync() && !std::mem::replace(&mut state.syncing, true);
        drop(state);
        if start {
            self.start_sync();
        }
        Ok(())
    }

    fn start_sync(&self) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !self.sync_delay.is_zero() => drop(runtime.spawn(self.clone().sync_later())),
            _ => {
                while self.sync_goes_on() {
                    self.sync_now();
                }
            }
        }
    }

    async fn sync_later(self) {
        while self.sync_goes_on() {
            let begun_with = self.unsynced();
            tokio::time::sleep(self.sync_delay).await;
            while self.is_stalled() {
                tokio::time::sleep(self.sync_delay).await;
            }
            self.sync(begun_with);
        }
    }

    /// Whether there is more to sync. If not, the next write starts anew.
    fn sync_goes_on(&self) -> bool {
        let mut state = lock(&self.state);
        state.syncing = state.must_sync();
        state.syncing
    }

    /// Makes the first `count` unsynced writes durable and calls their callbacks in order.
    fn sync(&self, count: usize) {
        let mut state = lock(&self.state);
        if std::mem::take(&mut state.fail_next_sync) {
            state.failure.get_or_insert(Failure::new(&io::Error::other("the disk failed to sync")));
        }
        let failure = state.failure.clone();
        // Nothing that was written later is there without what failed to be.
        let count = if failure.is_some() { state.unsynced.len() } else { count };
        let (mut answers, mut sprung) = (Vec::new(), None);
        for _ in 0..count {
            let Some((write, done)) = state.unsynced.pop_front() else { break };
            let kind = WriteKind::of(&write);
            if failure.is_none() {
                state.durable.apply(write);
            }
            sprung = state.caught(kind, Moment::Durable);
            if sprung.is_none() {
                answers.extend(done);
                sprung = state.caught(kind, Moment::Told);
            }
            if sprung.is_some() {
                break;
            }
        }
        drop(state);
        for done in answers {
            done(failure.as_ref().map_or(Ok(()), |failure| Err(failure.error())));
        }
        if let Some(trap) = sprung {
            trap.spring();
        }
    }
}

impl State {
    /// Whether anybody waits for a sync, or too much does. What nobody waits for is otherwise lost in a crash as long
    /// as may be.
    fn must_sync(&self) -> bool {
        self.unsynced.len() >= MAX_UNSYNCED_WRITES / 2 || self.unsynced.iter().any(|(_, done)| done.is_some())
    }

    fn admit(&mut self) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.error());
        }
        if self.full {
            let first = io::Error::new(io::ErrorKind::StorageFull, "no space left on the memory disk");
            self.failure = Some(Failure::new(&first));
            return Err(first);
        }
        if self.unsynced.len() >= MAX_UNSYNCED_WRITES { Err(backlog_full()) } else { Ok(()) }
    }
}

impl Store for MemoryStore {
    fn get(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        let state = lock(&self.state);
        state.visible.readable(Part::Slot(slot))?;
        Ok(state.visible.slots.get(&slot).map(|value| value.to_vec()))
    }

    fn put(&self, slot: Slot, value: Vec<u8>, done: Durable) {
        self.submit(done, |_| Ok(Write::Slot(slot, value.into())));
    }

    fn put_unsynced(&self, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        self.submit_unsynced(|_| Ok(Write::Slot(slot, value.into())))
    }

    fn log_bounds(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(lock(&self.state).visible.bounds.first_and_last())
    }

    fn log_read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let state = lock(&self.state);
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for index in state.visible.bounds.clamp(&range) {
            state.visible.readable(Part::Entry(index))?;
            let missing = || corrupt(format!("log entry {index} is missing"));
            let value = state.visible.log.get(&index).ok_or_else(missing)?;
            bytes = bytes.saturating_add(value.len());
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push((index, value.to_vec()));
        }
        Ok(entries)
    }

    fn log_append(&self, entries: Vec<(u64, Vec<u8>)>, done: Durable) {
        self.submit(done, |visible| {
            let bounds = visible.bounds.after_append(&entries)?;
            Ok(Write::Append(bounds, shared(entries)))
        });
    }

    fn log_truncate(&self, first: u64) -> io::Result<()> {
        self.submit_unsynced(|_| Ok(Write::Truncate(first)))
    }

    fn log_purge(&self, last: u64, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        self.submit_unsynced(|_| Ok(Write::Purge(last, slot, value.into())))
    }

    fn reset_raft(&self, identity: Vec<u8>, done: Durable) {
        self.submit(done, |_| Ok(Write::Reset(identity.into())));
    }

    fn snapshot(&self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let state = lock(&self.state);
        state.visible.readable(Part::Snapshot)?;
        Ok(state.visible.snapshot.as_ref().map(|(meta, bytes)| (meta.to_vec(), bytes.to_vec())))
    }

    fn put_snapshot(&self, meta: Vec<u8>, bytes: Vec<u8>, done: Durable) {
        self.submit(done, |_| Ok(Write::Snapshot(meta.into(), bytes.into())));
    }

    fn copies_put(&self, copies: Vec<(CopyKey, Bytes)>, done: Durable) {
        self.submit(done, |_| Ok(Write::Copies(shared(copies))));
    }

    fn copy_get(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.state).visible.copies.get(key).map(|bytes| bytes.to_vec()))
    }

    fn copies_of(&self, actors: Option<&[&ActorId]>) -> io::Result<Vec<CopyKey>> {
        let state = lock(&self.state);
        let wanted = |key: &&CopyKey| actors.is_none_or(|actors| actors.contains(&&key.actor));
        Ok(state.visible.copies.keys().filter(wanted).cloned().collect())
    }

    fn copies_delete(&self, keys: &[CopyKey]) -> io::Result<()> {
        self.submit_unsynced(|_| Ok(Write::DeleteCopies(keys.to_vec())))
    }

    fn chunks_put(&self, actor: &ActorId, chunks: Vec<(ChunkDigest, Bytes)>, done: Durable) {
        self.submit(done, |_| Ok(Write::Chunks(actor.clone(), chunks)));
    }

    fn chunk_get(&self, actor: &ActorId, chunk: &ChunkDigest) -> io::Result<Option<Vec<u8>>> {
        let state = lock(&self.state);
        Ok(state.visible.chunks.get(actor).and_then(|held| held.get(chunk)).map(|bytes| bytes.to_vec()))
    }

    fn chunks_of(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>> {
        let state = lock(&self.state);
        Ok(state.visible.chunks.get(actor).into_iter().flat_map(|held| held.keys().copied()).collect())
    }

    fn chunked_actors(&self) -> io::Result<Vec<ActorId>> {
        Ok(lock(&self.state).visible.chunks.keys().cloned().collect())
    }

    fn chunks_delete(&self, actor: &ActorId, chunks: &[ChunkDigest]) -> io::Result<()> {
        self.submit_unsynced(|_| Ok(Write::DeleteChunks(actor.clone(), chunks.to_vec())))
    }
}
