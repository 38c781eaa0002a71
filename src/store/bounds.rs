//! Which indexes the log holds. The rules of both stores, without a disk.

use std::io;
use std::ops::Range;

use super::error::refused;

/// The log holds `start..end`, without holes. An empty one remembers where it was purged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LogBounds {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl LogBounds {
    pub(super) fn first_and_last(self) -> Option<(u64, u64)> {
        (self.start < self.end).then(|| (self.start, self.end.saturating_sub(1)))
    }

    /// The part of a range that the log holds.
    pub(super) fn clamp(self, range: &Range<u64>) -> Range<u64> {
        range.start.max(self.start)..range.end.min(self.end)
    }

    /// The bounds after an append. A gap or an overlap would make the log lie about an index, so
    /// both are refused; only an empty log may start anywhere (behind an installed snapshot).
    pub(super) fn after_append(self, entries: &[(u64, Vec<u8>)]) -> io::Result<Self> {
        let Some((first, _)) = entries.first() else { return Ok(self) };
        let empty = self.start >= self.end;
        if !empty && *first != self.end {
            return Err(refused(format!("log entry {first} does not follow entry {}", self.end - 1)));
        }
        let mut end = *first;
        for (index, _) in entries {
            if *index != end || end == u64::MAX {
                return Err(refused(format!("log entry {index} stands where {end} belongs")));
            }
            end += 1;
        }
        Ok(Self { start: if empty { *first } else { self.start }, end })
    }

    /// The bounds without the entries from `first` on.
    pub(super) fn after_truncate(self, first: u64) -> Self {
        Self { start: self.start, end: first.clamp(self.start, self.end) }
    }

    /// The bounds without the entries up to and including `last`.
    pub(super) fn after_purge(self, last: u64) -> Self {
        let start = self.start.max(last.saturating_add(1));
        Self { start, end: self.end.max(start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(indexes: &[u64]) -> Vec<(u64, Vec<u8>)> {
        indexes.iter().map(|i| (*i, vec![])).collect()
    }

    #[test]
    fn appends_must_be_consecutive_and_follow_the_last_entry() {
        let empty = LogBounds::default();
        assert_eq!(empty.after_append(&entries(&[5, 6])).unwrap(), LogBounds { start: 5, end: 7 });
        let five = LogBounds { start: 2, end: 5 };
        assert_eq!(five.after_append(&entries(&[5, 6])).unwrap(), LogBounds { start: 2, end: 7 });
        assert_eq!(five.after_append(&[]).unwrap(), five);
        for bad in [&[6][..], &[4], &[5, 7], &[5, 5], &[1]] {
            assert!(five.after_append(&entries(bad)).is_err(), "{bad:?}");
        }
        assert!(empty.after_append(&entries(&[u64::MAX])).is_err());
    }

    #[test]
    fn truncate_and_purge_stay_within_the_log() {
        let log = LogBounds { start: 3, end: 9 };
        assert_eq!(log.after_truncate(7), LogBounds { start: 3, end: 7 });
        assert_eq!(log.after_truncate(20), log);
        assert_eq!(log.after_truncate(0).first_and_last(), None);
        assert_eq!(log.after_purge(5), LogBounds { start: 6, end: 9 });
        assert_eq!(log.after_purge(1), log);
        assert_eq!(log.after_purge(30), LogBounds { start: 31, end: 31 });
        assert_eq!(log.first_and_last(), Some((3, 8)));
    }
}
