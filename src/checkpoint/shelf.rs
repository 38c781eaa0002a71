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
use crate::task::apart;

/// The actors of which this disk may hold chunks. Whoever relies on some of them to be there, or adds some that no
/// copy names yet, holds the actor's lock for as long; who removes those that no copy names holds it alone.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<BTreeMap<ActorId, Arc<RwLock<()>>>>);

/// Nothing of an actor's chunks is removed while this is held.
pub(super) type InUse = Arc<OwnedRwLockReadGuard<()>>;

impl Shelves {
    /// Remembers that the disk holds chunks of an actor.
    pub(super) fn found(&self, actors: impl Iterator<Item = ActorId>) {
        lock(&self.0).extend(actors.map(|actor| (actor, Arc::default())));
    }

    pub(super) async fn hold(&self, actor: &ActorId) -> InUse {
        let shelf = lock(&self.0).entry(actor.clone()).or_default().clone();
        Arc::new(shelf.read_owned().await)
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

/// Writes chunks as they come, a few megabytes at a time, apart from the threads that answer heartbeats: a store that
/// has much to write makes whoever brings it more wait.
pub(super) struct Writer {
    store: Arc<dyn Store>,
    actor: ActorId,
    /// Also of those writes that go on when whoever began them has given up.
    in_use: InUse,
    gathered: Vec<(ChunkDigest, Bytes)>,
    bytes: usize,
    under_way: VecDeque<Written>,
}

impl Writer {
    pub(super) fn new(store: Arc<dyn Store>, actor: &ActorId, in_use: InUse) -> Self {
        let (gathered, under_way) = (vec![], VecDeque::new());
        Self { store, actor: actor.clone(), in_use, gathered, bytes: 0, under_way }
    }

    pub(super) async fn put(&mut self, chunk: ChunkDigest, stored: Bytes) -> io::Result<()> {
        self.bytes += stored.len();
        self.gathered.push((chunk, stored));
        if self.bytes < CHUNK_WRITE_BYTES {
            return Ok(());
        }
        self.write().await?;
        match self.under_way.len() > MAX_CHUNK_WRITES {
            true => self.first().await,
            false => Ok(()),
        }
    }

    /// Begins to write what is gathered.
    pub(super) async fn write(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let (store, actor, in_use) = (self.store.clone(), self.actor.clone(), self.in_use.clone());
        let chunks = std::mem::take(&mut self.gathered);
        let put = move || {
            let written = durably(|done| store.chunks_put(&actor, chunks, done));
            drop(in_use);
            written
        };
        self.under_way.push_back(apart(put).await?);
        Ok(())
    }

    async fn first(&mut self) -> io::Result<()> {
        match self.under_way.pop_front() {
            Some(write) => write.await,
            None => Ok(()),
        }
    }

    /// Waits until all of them are durable. They stay while what it returns is held, or a copy on the disk names them.
    pub(super) async fn finish(mut self) -> io::Result<InUse> {
        self.write().await?;
        while !self.under_way.is_empty() {
            self.first().await?;
        }
        Ok(self.in_use)
    }
}
