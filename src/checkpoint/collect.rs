//! Removes copies that nothing can name any more, and chunks that no copy names.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::manifest::Manifest;
use super::own::read_copy;
use super::shelf::{InUse, Writer};
use crate::core::command::Checkpoint;
use crate::core::state::Actor;
use crate::id::{ActorId, RaftId};
use crate::limits::{COLLECT_INTERVAL, MAX_BATCH_ITEMS, SAVES_PER_LOOK};
use crate::peer::{Shared, lock};
use crate::raft::Saves;
use crate::store::{ChunkDigest, CopyKey, Store, Written, durably};
use crate::task::apart;

/// Whether a copy can still become, or is, the one to restore from. One that was never committed may
/// be, for as long as its epoch is the actor's own.
fn is_live(key: &CopyKey, line: Option<&Actor>, applied: u64) -> bool {
    let Some(actor) = line else {
        // Its `Create` (whose index is the epoch) is not applied here yet, or the actor has ended.
        return key.epoch.0 > applied;
    };
    match &actor.checkpoint {
        Some((epoch, c)) if (*epoch, c.seq) == (key.epoch, key.seq) => c.digest == key.digest,
        Some((epoch, c)) => key.epoch >= actor.epoch && (key.epoch, key.seq) > (*epoch, c.seq),
        None => key.epoch >= actor.epoch,
    }
}

/// An actor's newest checkpoint, if this is a copy of it.
pub(super) fn newest<'a>(key: &CopyKey, line: &'a Actor) -> Option<&'a Checkpoint> {
    let (epoch, c) = line.checkpoint.as_ref()?;
    ((*epoch, c.seq, c.digest) == (key.epoch, key.seq, key.digest)).then_some(c)
}

/// Whether the log says that a disk holds this copy of the newest checkpoint.
fn is_confirmed(key: &CopyKey, line: Option<&Actor>, disk: Option<RaftId>) -> bool {
    let holders = line.and_then(|line| newest(key, line)).map(|c| &c.holders);
    holders.zip(disk).is_some_and(|(holders, disk)| holders.contains(disk))
}

fn tell(removed: io::Result<()>) {
    if let Err(e) = removed {
        tracing::warn!(%e, "could not remove old copies");
    }
}

impl Shared {
    /// Collects at a steady pace, for as long as the peer runs.
    pub(crate) async fn collect_copies(self: Arc<Self>) {
        let actors = self.store.chunked_actors().unwrap_or_default();
        self.shelves.found(actors.iter().cloned());
        tell(self.collect_dead(None));
        self.sweep(actors).await;
        while self.pause(COLLECT_INTERVAL).await && !self.phase.borrow().is_over() {
            let is_sure = self.collect_replaced().await;
            let mut touched = std::mem::take(&mut *lock(&self.collectable));
            touched.extend(lock(&self.outdated).take_crowded());
            if is_sure {
                self.collect_dead_of(&touched).await;
            } else {
                tell(self.collect_dead(None));
            }
            self.sweep(touched).await;
        }
    }

    /// Stores copies, and keeps track of them until the log does.
    pub(super) fn store_copies(&self, copies: Vec<(CopyKey, Bytes)>) -> Written {
        lock(&self.outdated).arrive(copies.iter().map(|(key, _)| key));
        durably(|done| self.store.copies_put(copies, done))
    }

    /// Removes copies that newer ones have replaced. Whether those are all.
    async fn collect_replaced(&self) -> bool {
        let (Some(consensus), Some(place)) = (self.consensus(), self.admission()) else { return true };
        let Saves { list, some_are_missing } = consensus.applied().take_saved();
        let mut saved = list.into_iter().peekable();
        while saved.peek().is_some() {
            for one in saved.by_ref().take(SAVES_PER_LOOK) {
                // Chunks that only the older one named are to go, too.
                if self.shelves.has(&one.actor) {
                    lock(&self.collectable).insert(one.actor.clone());
                }
                lock(&self.outdated).replaced(one, place.raft_id);
            }
            tokio::task::yield_now().await;
        }
        loop {
            let dead = lock(&self.outdated).take_dead(MAX_BATCH_ITEMS);
            if dead.is_empty() {
                break;
            }
            tell(self.store.copies_delete(&dead));
            tokio::task::yield_now().await;
        }
        !(lock(&self.outdated).take_unsure() || some_are_missing)
    }

    /// Looks at all copies of some actors, of a few of them at a time.
    async fn collect_dead_of(&self, actors: &BTreeSet<ActorId>) {
        let all: Vec<&ActorId> = actors.iter().collect();
        for some in all.chunks(SAVES_PER_LOOK) {
            if self.collect_dead(Some(some)).is_err() {
                // The names of one may be spoiled, those of others not.
                some.iter().for_each(|actor| tell(self.collect_dead(Some(&[*actor]))));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes copies of some actors, or of all, that are dead.
    fn collect_dead(&self, actors: Option<&[&ActorId]>) -> io::Result<()> {
        let keys = self.store.copies_of(actors)?;
        let Some(consensus) = self.consensus() else { return Ok(()) };
        let disk = self.admission().map(|place| place.raft_id);
        let mut dead = vec![];
        consensus.applied().read_at(|s, applied, _| {
            let mut outdated = lock(&self.outdated);
            for key in keys {
                let line = s.actors.get(&key.actor);
                if is_live(&key, line.as_ref(), applied) {
                    outdated.found(&key, is_confirmed(&key, line.as_ref(), disk));
                } else {
                    outdated.forget(&key);
                    dead.push(key);
                }
            }
        });
        if dead.is_empty() { Ok(()) } else { self.store.copies_delete(&dead) }
    }

    /// Keeps an actor's chunks on this disk for as long as what it returns is held.
    pub(super) async fn hold_chunks(&self, actor: &ActorId) -> InUse {
        let in_use = self.shelves.hold(actor).await;
        lock(&self.collectable).insert(actor.clone());
        in_use
    }

    /// Writes chunks of an actor's copies onto this disk.
    pub(super) async fn chunk_writer(&self, actor: &ActorId) -> Writer {
        Writer::new(self.store.clone(), actor, self.hold_chunks(actor).await)
    }

    /// Removes chunks that no copy names.
    async fn sweep(&self, actors: impl IntoIterator<Item = ActorId>) {
        for actor in actors.into_iter().filter(|actor| self.shelves.has(actor)) {
            let Some(alone) = self.shelves.clear(&actor) else {
                lock(&self.collectable).insert(actor);
                continue;
            };
            let store = self.store.clone();
            match apart(move || (sweep_one(&*store, &actor), actor, alone)).await {
                Ok((Ok(true), actor, _alone)) => self.shelves.forget(&actor),
                Ok((Ok(false), ..)) => {}
                Ok((Err(e), ..)) | Err(e) => tell(Err(e)),
            }
        }
    }
}

/// Removes those of one actor. Whether none is left.
fn sweep_one(store: &dyn Store, actor: &ActorId) -> io::Result<bool> {
    let mut named = BTreeSet::new();
    for key in store.copies_of(Some(&[actor]))? {
        // What is no manifest names nothing that could be of use.
        let Some(manifest) = read_copy(store, &key)? else { continue };
        let Ok(manifest) = Manifest::read(&manifest) else { continue };
        named.extend(manifest.chunks().map(|chunk| chunk.digest));
    }
    let here = store.chunks_of(actor)?;
    let dead: Vec<ChunkDigest> = here.difference(&named).copied().collect();
    dead.chunks(MAX_BATCH_ITEMS).try_for_each(|some| store.chunks_delete(actor, some))?;
    Ok(dead.len() == here.len())
}
