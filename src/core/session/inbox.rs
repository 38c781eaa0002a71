//! The receiver's half.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Parcel, Replied, Sender};
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
    known: BTreeMap<Sender, Known>,
}

/// What is remembered of one sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    newest: u64,
    /// Replies that it may not have yet: if it asks again, it gets the same.
    replies: BTreeMap<u64, Replied>,
}

impl Inbox {
    /// What to do with a message.
    pub fn judge(&self, from: &Sender, parcel: &Parcel) -> Verdict {
        let newest = self.known.get(from).map_or(0, |known| known.newest);
        match parcel {
            p if p.seq <= newest => Verdict::Known,
            p if p.after <= newest => Verdict::Next,
            _ => Verdict::Early,
        }
    }

    /// Notes that a message was taken.
    pub fn take(&mut self, from: &Sender, seq: u64) {
        match self.known.get_mut(from) {
            Some(known) => known.newest = seq.max(known.newest),
            None => drop(self.known.insert(from.clone(), Known { newest: seq, ..Known::default() })),
        }
    }

    /// Remembers the reply to a message that was taken.
    pub fn remember(&mut self, from: &Sender, seq: u64, reply: Replied) {
        if let Some(known) = self.known.get_mut(from) {
            known.replies.insert(seq, reply);
        }
    }

    /// The replies to messages that were taken, from this number on.
    pub fn replies(&self, from: &Sender, since: u64) -> BTreeMap<u64, Replied> {
        let known = self.known.get(from);
        known.map(|k| k.replies.range(since..).map(|(n, r)| (*n, r.clone())).collect()).unwrap_or_default()
    }

    /// Forgets the replies that a sender has.
    pub fn answered(&mut self, from: &Sender, up_to: u64) {
        if let Some(known) = self.known.get_mut(from).filter(|known| !known.replies.is_empty()) {
            known.replies = known.replies.split_off(&up_to.saturating_add(1));
        }
    }

    /// Whether this sender was heard before. One that was not may be one that was forgotten: only the directory
    /// knows whether it still lives.
    pub fn knows(&self, from: &Sender) -> bool {
        self.known.contains_key(from)
    }

    /// Whether no further sender has room.
    pub fn is_full(&self) -> bool {
        self.known.len() >= MAX_SESSIONS
    }

    /// How many senders are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets senders that have ended, and says at how many it should be asked again.
    ///
    /// An activation restored from what is saved next has applied their end too, so it asks the directory about
    /// what still comes of them, and takes none of it.
    pub fn sweep(&mut self, is_over: impl Fn(&Sender) -> bool) -> usize {
        self.known.retain(|sender, _| !is_over(sender));
        self.known.len().saturating_mul(2).max(SESSIONS_BEFORE_SWEEP)
    }
}
