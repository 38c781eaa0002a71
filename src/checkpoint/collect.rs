//! Removes copies that nothing can name any more, and chunks that no copy names.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::manifest::Manifest;
use super::shelf::InUse;
use crate::core::state::Actor;
use crate::id::ActorId;
use crate::limits::{COLLECT_INTERVAL, MAX_BATCH_ITEMS};
use crate::peer::{Shared, lock};
use crate::store::{ChunkDigest, CopyKey};

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

impl Shared {
    /// Collects at a steady pace, for as long as the peer runs.
    pub(crate) async fn collect_copies(self: Arc<Self>) {
        let actors = self.store.chunked_actors().unwrap_or_default();
        self.shelves.found(actors.iter().cloned());
        self.collect_dead(None);
        self.sweep(actors).await;
        while self.pause(COLLECT_INTERVAL).await && !self.phase.borrow().is_over() {
            let touched = std::mem::take(&mut *lock(&self.collectable));
            self.collect_dead(Some(&touched));
            self.sweep(touched).await;
        }
    }

    fn collect_dead(&self, actors: Option<&BTreeSet<ActorId>>) {
        let keys = match actors {
            None => self.store.copies_of(None).unwrap_or_default(),
            Some(some) => {
                some.iter().flat_map(|a| self.store.copies_of(Some(a)).unwrap_or_default()).collect()
            }
        };
        let Some(consensus) = self.consensus() else { return };
        let dead: Vec<CopyKey> = consensus.applied().read_at(|s, applied, _| {
            keys.into_iter().filter(|key| !is_live(key, s.actors.get(&key.actor).as_ref(), applied)).collect()
        });
        if let Err(e) = self.store.copies_delete(&dead) {
            tracing::warn!(%e, "could not remove old copies");
        }
    }

    /// Keeps an actor's chunks on this disk for as long as what it returns is held.
    pub(super) async fn hold_chunks(&self, actor: &ActorId) -> InUse {
        let in_use = self.shelves.hold(actor).await;
        lock(&self.collectable).insert(actor.clone());
        in_use
    }

    /// Removes chunks that no copy names.
    async fn sweep(&self, actors: impl IntoIterator<Item = ActorId>) {
        for actor in actors.into_iter().filter(|actor| self.shelves.has(actor)) {
            let Some(alone) = self.shelves.clear(&actor) else {
                lock(&self.collectable).insert(actor);
                continue;
            };
            match self.sweep_one(&actor).await {
                Ok(true) => self.shelves.forget(&actor),
                Ok(false) => {}
                Err(e) => tracing::warn!(%e, "could not remove old copies"),
            }
            drop(alone);
        }
    }

    /// Whether none is left.
    async fn sweep_one(&self, actor: &ActorId) -> io::Result<bool> {
        let mut named = BTreeSet::new();
        for key in self.store.copies_of(Some(actor))? {
            // What is no manifest names nothing that could be of use.
            let Some(manifest) = self.own_copy(&key)? else { continue };
            let Ok(manifest) = Manifest::read(&manifest) else { continue };
            named.extend(manifest.chunks().map(|chunk| chunk.digest));
        }
        let here = self.store.chunks_of(actor)?;
        let dead: Vec<ChunkDigest> = here.difference(&named).copied().collect();
        for some in dead.chunks(MAX_BATCH_ITEMS) {
            self.store.chunks_delete(actor, some)?;
            tokio::task::yield_now().await;
        }
        Ok(dead.len() == here.len())
    }
}
