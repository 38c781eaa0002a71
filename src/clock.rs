//! The one clock: monotonic, counting suspended time. Wall clocks decide nothing here.

use std::ops::{Add, Sub};
use std::time::Duration;
use tokio::time::Instant;

use crate::limits::MAX_DEADLINE;

/// A moment on this machine's boot-time clock, in nanoseconds. Meaningless on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time since `earlier`, zero if it lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// So long from now, for one who waits; at most [`MAX_DEADLINE`], because some say "for ever".
pub(crate) fn moment(deadline: Duration) -> Instant {
    Instant::now() + deadline.min(MAX_DEADLINE)
}

/// All that fit.
fn nanos(d: Duration) -> u64 {
    d.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(d.subsec_nanos()))
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(nanos(d)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, d: Duration) -> Mono {
        Mono(self.0.saturating_sub(nanos(d)))
    }
}

/// Where the time comes from: the machine's boot-time clock, or a simulation's.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Mono;
}

/// `CLOCK_BOOTTIME`: unlike the plain monotonic clock it goes on while the machine sleeps, so a
/// lease cannot outlive a suspend.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Mono {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Mono((t.tv_sec.unsigned_abs()).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec.unsigned_abs()))
    }
}
