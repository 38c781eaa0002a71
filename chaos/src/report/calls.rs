//! Calls over time.

use super::happening::{Answer, Entry, Happening};
use super::timeline::Calls;

/// At most so many buckets.
const MOST_BUCKETS: u64 = 240;

/// Widths that read well on an axis.
const WIDTHS: [u64; 12] =
    [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 3_600_000];

/// How many calls ended how, in each bucket of time until the end.
pub fn count(entries: &[Entry], end_ms: u64) -> Calls {
    let fits = |width: &u64| end_ms / width < MOST_BUCKETS;
    let bucket_ms = WIDTHS.into_iter().find(fits).unwrap_or(end_ms / MOST_BUCKETS + 1);
    let buckets = (end_ms / bucket_ms + 1) as usize;
    let empty = || vec![0; buckets];
    let mut calls = Calls { bucket_ms, ok: empty(), not: empty(), unknown: empty() };
    for entry in entries.iter().filter(|entry| entry.at_ms <= end_ms) {
        if let Happening::Answered { answer } = entry.what {
            let row = match answer {
                Answer::Ok => &mut calls.ok,
                Answer::Not => &mut calls.not,
                Answer::Unknown => &mut calls.unknown,
            };
            row[(entry.at_ms / bucket_ms) as usize] += 1;
        }
    }
    calls
}
