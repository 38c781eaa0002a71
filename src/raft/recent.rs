//! The newest entries of the log in memory: each is read back soon, to be applied here and, on the leader,
//! once for every follower.

use std::collections::VecDeque;
use std::ops::Range;

use super::types::Entry;
use crate::limits::{MAX_RECENT_BYTES, MAX_RECENT_ENTRIES};

/// An unbroken run of entries that ends where the log ends, or nothing.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Each with the length of its encoding.
    entries: VecDeque<(usize, Entry)>,
    bytes: usize,
}

impl Recent {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|(_, entry)| entry.log_id.index)
    }

    /// The log got another entry.
    pub(super) fn push(&mut self, length: usize, entry: Entry) {
        let next = self.entries.back().map(|(_, last)| last.log_id.index.saturating_add(1));
        if next.is_some_and(|next| next != entry.log_id.index) {
            *self = Self::default();
        }
        self.bytes += length;
        self.entries.push_back((length, entry));
        while self.entries.len() > MAX_RECENT_ENTRIES || self.bytes > MAX_RECENT_BYTES {
            let Some((length, _)) = self.entries.pop_front() else { return };
            self.bytes -= length;
        }
    }

    /// The log ends before this index now.
    pub(super) fn truncate(&mut self, from: u64) {
        while let Some((length, _)) = self.entries.pop_back_if(|(_, entry)| entry.log_id.index >= from) {
            self.bytes -= length;
        }
    }

    /// The log begins after this index now.
    pub(super) fn purge(&mut self, to: u64) {
        while let Some((length, _)) = self.entries.pop_front_if(|(_, entry)| entry.log_id.index <= to) {
            self.bytes -= length;
        }
    }

    /// The entries of a range, up to `max_bytes` but at least one; none if it begins before these.
    pub(super) fn read(&self, range: &Range<u64>, max_bytes: usize) -> Option<Vec<Entry>> {
        let skip = usize::try_from(range.start.checked_sub(self.first()?)?).ok()?;
        let mut bytes = 0_usize;
        let fits = |(length, _): &&(usize, Entry)| {
            let before = bytes;
            bytes = bytes.saturating_add(*length);
            before == 0 || bytes <= max_bytes
        };
        let within = self.entries.iter().skip(skip).take_while(|(_, entry)| entry.log_id.index < range.end);
        Some(within.take_while(fits).map(|(_, entry)| entry.clone()).collect())
    }
}
