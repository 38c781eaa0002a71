//! A line about strangers is worth reading once; a flood of them would be an attack on the log.

use std::sync::Mutex;

use tokio::time::Instant;

use super::lock;
use crate::limits::LOG_EVERY;

/// Lets one line through per [`LOG_EVERY`], and counts the others.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    state: Mutex<(Option<Instant>, u64)>,
}

impl LogLimit {
    /// The number of lines kept back since the last one, if it is time for the next.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let (last, kept_back) = &mut *lock(&self.state);
        if last.is_some_and(|last| now.duration_since(last) < LOG_EVERY) {
            *kept_back = kept_back.saturating_add(1);
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_and_the_next_says_how_many_were_kept_back() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.pass_at(start), Some(0));
        assert_eq!([1, 2, 3].map(|n| limit.pass_at(start + LOG_EVERY / 4 * n)), [None; 3]);
        assert_eq!(limit.pass_at(start + LOG_EVERY), Some(3));
        assert_eq!(limit.pass_at(start + LOG_EVERY * 2), Some(0));
    }
}
