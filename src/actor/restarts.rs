//! How long an actor that panicked waits before it is restored.

use std::time::Duration;

use crate::clock::Mono;
use crate::limits::{RESTART_BACKOFF, RESTART_BACKOFF_RESET};

/// The panics of one actor in a row, across its activations on this peer.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    in_a_row: u32,
    last: Mono,
}

impl Restarts {
    /// Notes a panic, and says how long to wait: doubling from 10 ms to 5 s, from the start again
    /// after a minute without one.
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
