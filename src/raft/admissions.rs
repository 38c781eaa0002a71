//! Who was admitted on which disk, by the part of the log that is not applied yet.

use openraft::EntryPayload;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::types::Entry;
use crate::core::command::Command;
use crate::core::state::LastRun;
use crate::id::{Incarnation, RaftId};

/// The admissions on a disk that was there before, by log index. Clones share them.
///
/// Who asks for votes must know them before they are applied: after a power cut nothing is, until somebody leads.
#[derive(Clone, Default)]
pub(super) struct Admissions(Arc<Mutex<BTreeMap<u64, (RaftId, u128)>>>);

impl Admissions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (RaftId, u128)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log has this entry now.
    pub(super) fn note(&self, entry: &Entry) {
        if let EntryPayload::Normal(proposal) = &entry.payload
            && let Command::Admit(admit) = &**proposal
            && let Some(disk) = admit.raft_id
        {
            self.lock().insert(entry.log_id.index, (disk, admit.nonce));
        }
    }

    /// The log ends before this index now.
    pub(super) fn truncate(&self, from: u64) {
        drop(self.lock().split_off(&from));
    }

    /// The log begins after this index now.
    pub(super) fn purge(&self, to: u64) {
        let mut all = self.lock();
        *all = all.split_off(&to.saturating_add(1));
    }

    /// The newest one on a disk, after what was applied: that one may have been refused.
    pub(super) fn newest_on(&self, disk: RaftId, applied: u64) -> Option<LastRun> {
        let all = self.lock();
        let mut tail = all.range(applied.saturating_add(1)..).rev();
        let (index, (_, nonce)) = tail.find(|(_, (on, _))| *on == disk)?;
        Some(LastRun { incarnation: Incarnation(*index), nonce: *nonce })
    }
}
