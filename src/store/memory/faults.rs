//! What may be wrong with a disk.

use super::image::Part;
use super::trap::Trap;
use super::{MemoryStore, Moment, WriteKind};
use crate::store::{Slot, lock};

impl MemoryStore {
    /// Lets the next sync fail. The store is poisoned from then on.
    pub fn fail_next_sync(&self) {
        lock(&self.state).fail_next_sync = true;
    }

    /// Lets every write fail for want of space. The first one poisons the store.
    pub fn set_full(&self, full: bool) {
        lock(&self.state).full = full;
    }

    /// Lets no sync end, until told otherwise.
    pub fn set_stalled(&self, stalled: bool) {
        lock(&self.state).stalled = stalled;
    }

    /// Calls `spring`, which is to end the process, when the next write of a kind has come so far. Nothing is
    /// written or acknowledged from then on.
    pub fn crash_at(&self, kind: WriteKind, moment: Moment, spring: impl FnOnce() + Send + 'static) {
        lock(&self.state).trap = Some(Trap { kind, moment, spring: Box::new(spring) });
    }

    /// Ends what [`MemoryStore::set_stalled`] and [`MemoryStore::crash_at`] began.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        state.stalled = false;
        state.trap = None;
    }

    /// Flips bits of the vote, of the snapshot, or of a log entry (one of those that are there, by number):
    /// to read it is an error from now on, as its checksum is wrong. False if there is no such thing.
    pub fn flip_bits(&self, kind: WriteKind, number: u64) -> bool {
        let mut state = lock(&self.state);
        let log = state.visible.bounds.first_and_last();
        let part = match (kind, log) {
            (WriteKind::Append, Some((first, last))) => Part::Entry(first + number % (last - first + 1)),
            (WriteKind::Vote, _) if state.visible.slots.contains_key(&Slot::Vote) => Part::Slot(Slot::Vote),
            (WriteKind::Snapshot, _) if state.visible.snapshot.is_some() => Part::Snapshot,
            _ => return false,
        };
        state.durable.rotten.insert(part);
        state.visible.rotten.insert(part)
    }

    pub(super) fn is_stalled(&self) -> bool {
        let state = lock(&self.state);
        state.stalled && state.failure.is_none()
    }
}
