//! The chunks on this disk, and who is at them.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::id::ActorId;
use crate::limits::{CHUNK_WRITE_BYTES, MAX_CHUNK_WRITES};
use crate::peer::lock;
use crate::store::{ChunkDigest, Store, Written, durably};

/// The actors of which this disk may hold chunks. Whoever relies on some of them to be there, or adds some that no
/// copy names yet, holds the actor's lock for as long; who removes those that no copy names holds it alone.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<BTreeMap<ActorId, Arc<RwLock<()>>>>);

/// Nothing of an actor's chunks is removed while this is held.
pub(super) type InUse = OwnedRwLockReadGuard<()>;

impl Shelves {
    /// Remembers that the disk holds chunks of an actor.
    pub(super) fn found(&self, actors: impl Iterator<Item = ActorId>) {
        lock(&self.0).extend(actors.map(|actor| (actor, Arc::default())));
    }

    pub(super) async fn hold(&self, actor: &ActorId) -> InUse {
        let shelf = lock(&self.0).entry(actor.clone()).or_default().clone();
        shelf.read_owned().await
    }

    /// To remove what is not needed. None if there is nothing, or somebody is at it.
    pub(super) fn clear(&self, actor: &ActorId) -> Option<OwnedRwLockWriteGuard<()>> {
        lock(&self.0).get(actor)?.clone().try_write_owned().ok()
    }

    /// Whether the disk may hold chunks of an actor.
    pub(super) fn has(&self, actor: &ActorId) -> bool {
        lock(&self.0).contains_key(actor)
    }

    /// Nothing is left of it. The lock is held alone by the caller, and must not be waited for by others.
    pub(super) fn forget(&self, actor: &ActorId) {
        let mut shelves = lock(&self.0);
        // This map, and the guard.
        if shelves.get(actor).is_some_and(|shelf| Arc::strong_count(shelf) <= 2) {
            shelves.remove(actor);
        }
    }
}

/// Writes chunks as they come, a few megabytes at a time.
pub(super) struct Writer<'a> {
    store: &'a dyn Store,
    actor: ActorId,
    gathered: Vec<(ChunkDigest, Bytes)>,
    bytes: usize,
    under_way: VecDeque<Written>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(store: &'a dyn Store, actor: &ActorId) -> Self {
        Self { store, actor: actor.clone(), gathered: vec![], bytes: 0, under_way: VecDeque::new() }
    }

    pub(super) async fn put(&mut self, chunk: ChunkDigest, stored: Bytes) -> io::Result<()> {
        self.bytes += stored.len();
        self.gathered.push((chunk, stored));
        if self.bytes < CHUNK_WRITE_BYTES {
            return Ok(());
        }
        self.write();
        match self.under_way.len() > MAX_CHUNK_WRITES {
            true => self.first().await,
            false => Ok(()),
        }
    }

    /// Begins to write what is gathered.
    pub(super) fn write(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        self.bytes = 0;
        let chunks = std::mem::take(&mut self.gathered);
        self.under_way.push_back(durably(|done| self.store.chunks_put(&self.actor, chunks, done)));
    }

    async fn first(&mut self) -> io::Result<()> {
        match self.under_way.pop_front() {
            Some(write) => write.await,
            None => Ok(()),
        }
    }

    /// Waits until all of them are durable.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        self.write();
        while !self.under_way.is_empty() {
            self.first().await?;
        }
        Ok(())
    }
}
