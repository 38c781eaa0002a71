//! Removes copies that nothing can name any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::state::Actor;
use crate::id::ActorId;
use crate::limits::COLLECT_INTERVAL;
use crate::peer::Shared;
use crate::store::CopyKey;

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
        self.collect(None);
        while self.pause(COLLECT_INTERVAL).await && !self.phase.borrow().is_over() {
            let touched = std::mem::take(&mut *crate::peer::lock(&self.collectable));
            self.collect(Some(touched));
        }
    }

    fn collect(&self, actors: Option<BTreeSet<ActorId>>) {
        let keys = match &actors {
            None => self.store.copies_of(None).unwrap_or_default(),
            Some(some) => {
                some.iter().flat_map(|a| self.store.copies_of(Some(a)).unwrap_or_default()).collect()
            }
        };
        let Some(consensus) = self.consensus() else { return };
        let dead: Vec<CopyKey> = consensus.applied().read_at(|s, applied, _| {
            keys.into_iter().filter(|key| !is_live(key, s.actors.get(&key.actor), applied)).collect()
        });
        if let Err(e) = self.store.copies_delete(&dead) {
            tracing::warn!(%e, "could not remove old copies");
        }
    }
}
