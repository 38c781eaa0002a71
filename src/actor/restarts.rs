//! How long an actor that panicked waits before it is restored.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Mono;
use crate::core::session::Sender;
use crate::limits::{MAX_PANICS_PER_MESSAGE, MAX_SUSPECTS, RESTART_BACKOFF, RESTART_BACKOFF_RESET};

/// The panics of one actor in a row, across its activations on this peer.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    in_a_row: u32,
    last: Mono,
    /// Reliable messages that come again after a panic, and how often they led to one.
    suspects: VecDeque<(Sender, u64, u32)>,
}

impl Restarts {
    /// Whether a reliable message has led to so many panics that it is not to be handled again.
    pub(super) fn is_poison(&self, from: &Sender, seq: u64) -> bool {
        let suspect = self.suspects.iter().find(|(s, n, _)| s == from && *n == seq);
        suspect.is_some_and(|(_, _, panics)| *panics >= MAX_PANICS_PER_MESSAGE)
    }

    /// A reliable message led to a panic.
    pub(super) fn suspect(&mut self, from: &Sender, seq: u64) {
        if let Some((_, _, panics)) = self.suspects.iter_mut().find(|(s, n, _)| s == from && *n == seq) {
            *panics = panics.saturating_add(1);
            return;
        }
        if self.suspects.len() >= MAX_SUSPECTS {
            self.suspects.pop_front();
        }
        self.suspects.push_back((from.clone(), seq, 1));
    }

    /// Work was done, and is durable: what panics next is not a row any more.
    pub(super) fn progressed(&mut self) {
        self.in_a_row = 0;
    }

    /// Whether there were more panics in a row than that.
    pub(super) fn exceeds(&self, most: Option<u32>) -> bool {
        most.is_some_and(|most| self.in_a_row > most)
    }

    /// Notes a panic, and says how long to wait: doubling from 10 ms to 5 s, from the start again
    /// after a minute without one, or after durable work.
    pub(super) fn panicked(&mut self, now: Mono) -> Duration {
        if now.since(self.last) >= RESTART_BACKOFF_RESET {
            self.in_a_row = 0;
        }
        let wait = back_off(RESTART_BACKOFF, self.in_a_row);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = now;
        wait
    }
}

/// The shortest wait, doubled for each failure before, up to the longest.
pub(super) fn back_off((shortest, longest): (Duration, Duration), failures: u32) -> Duration {
    shortest.saturating_mul(2u32.saturating_pow(failures)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_start_over_after_a_quiet_minute() {
        let mut restarts = Restarts::default();
        let mut now = Mono(1 << 40);
        let waits: Vec<u128> = (0..12).map(|_| restarts.panicked(now).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 5000]);
        now = now + Duration::from_secs(59);
        assert_eq!(restarts.panicked(now).as_millis(), 5000);
        now = now + Duration::from_secs(60);
        assert_eq!(restarts.panicked(now).as_millis(), 10);
    }

    #[test]
    fn a_billion_failures_do_not_overflow() {
        assert_eq!(back_off(RESTART_BACKOFF, u32::MAX), RESTART_BACKOFF.1);
    }
}
