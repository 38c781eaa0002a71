//! The time of a run, the same in all its processes; and a clock that runs fast or slow.

use rustix::time::{ClockId, clock_gettime};
use standin::clock::{BootClock, Clock, Mono};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// When the run began, on the machine's monotonic clock, which all processes share.
static BEGUN: OnceLock<u64> = OnceLock::new();

fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000
}

/// When the run began: now, if nothing was said before.
pub fn begun_us() -> u64 {
    *BEGUN.get_or_init(monotonic_us)
}

/// A process of a run is told when that began.
pub fn set_begun_us(at: u64) {
    BEGUN.get_or_init(|| at);
}

/// Microseconds since then.
pub fn moment_us() -> u64 {
    monotonic_us().saturating_sub(begun_us())
}

/// Time since then; none outside of a run.
pub fn elapsed() -> Duration {
    BEGUN.get().map(|_| Duration::from_micros(moment_us())).unwrap_or_default()
}

/// The machine's clock, but fast or slow.
#[derive(Default)]
pub struct DriftClock(Mutex<Drift>);

#[derive(Default, Clone, Copy)]
struct Drift {
    ppm: i64,
    /// Since when, on the machine's clock, and how far ahead this one was then.
    since: Mono,
    ahead_ns: i64,
}

impl Drift {
    fn ahead_at(&self, now: Mono) -> i64 {
        let passed = i64::try_from(now.since(self.since).as_nanos()).unwrap_or(i64::MAX);
        self.ahead_ns.saturating_add(passed / 1_000_000 * self.ppm)
    }
}

impl DriftClock {
    /// Runs fast or slow from now on, by so many parts per million.
    pub fn drift(&self, ppm: i64) {
        let mut drift = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = BootClock.now();
        *drift = Drift { ppm, since: now, ahead_ns: drift.ahead_at(now) };
    }
}

impl Clock for DriftClock {
    fn now(&self) -> Mono {
        let drift = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = BootClock.now();
        Mono(now.0.saturating_add_signed(drift.ahead_at(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_is_ahead_by_its_share_and_keeps_it() {
        let fast = Drift { ppm: 5000, since: Mono(0), ahead_ns: 0 };
        assert_eq!(fast.ahead_at(Mono(1_000_000_000)), 5_000_000);
        let right_again = Drift { ppm: 0, since: Mono(7), ahead_ns: -3 };
        assert_eq!(right_again.ahead_at(Mono(1_000_000_000)), -3);
    }
}
