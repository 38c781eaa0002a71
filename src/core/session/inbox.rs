//! The receiver's half.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Parcel, Sender};
use crate::limits::{MAX_SESSIONS, SESSIONS_BEFORE_SWEEP};

/// Whether a message is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one.
    Next,
    /// Its effect is in the state already.
    Known,
    /// One before it is missing: it must not be taken yet.
    Early,
}

/// The newest message taken of each sender: the session table. It changes with the state that these messages
/// change, and is saved and restored with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    newest: BTreeMap<Sender, u64>,
}

impl Inbox {
    /// What to do with a message.
    pub fn judge(&self, from: &Sender, parcel: &Parcel) -> Verdict {
        let newest = self.newest.get(from).copied().unwrap_or(0);
        match parcel {
            p if p.seq <= newest => Verdict::Known,
            p if p.after <= newest => Verdict::Next,
            _ => Verdict::Early,
        }
    }

    /// Notes that a message was taken.
    pub fn take(&mut self, from: &Sender, seq: u64) {
        match self.newest.get_mut(from) {
            Some(newest) => *newest = seq.max(*newest),
            None => drop(self.newest.insert(from.clone(), seq)),
        }
    }

    /// Whether this sender was heard before. One that was not may be one that was forgotten: only the directory
    /// knows whether it still lives.
    pub fn knows(&self, from: &Sender) -> bool {
        self.newest.contains_key(from)
    }

    /// Whether no further sender has room.
    pub fn is_full(&self) -> bool {
        self.newest.len() >= MAX_SESSIONS
    }

    /// How many senders are remembered.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Forgets senders that have ended, and says at how many it should be asked again.
    ///
    /// An activation restored from what is saved next has applied their end too, so it asks the directory about
    /// what still comes of them, and takes none of it.
    pub fn sweep(&mut self, is_over: impl Fn(&Sender) -> bool) -> usize {
        self.newest.retain(|sender, _| !is_over(sender));
        self.newest.len().saturating_mul(2).max(SESSIONS_BEFORE_SWEEP)
    }
}
