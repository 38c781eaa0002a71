//! When all segments are to keep their ranks. Only the first of them decides.

use std::time::Duration;

use tokio::time::Instant;

/// One cut at a time: the next comes when everybody's part of the last is durable, and not too soon after it.
#[derive(Debug, Clone, Default)]
pub struct Cutter {
    /// None: never.
    every: Option<Duration>,
    /// When the last one began, or the attempt.
    last: Option<Instant>,
    /// Who has not said that its part of it is durable.
    missing: usize,
}

impl Cutter {
    /// For an attempt that begins now.
    pub fn new(every: Option<Duration>, now: Instant) -> Self {
        Self { every, last: Some(now), missing: 0 }
    }

    /// Whether to cut now; if so, it has begun, and `segments` have a part in it.
    pub fn is_time(&mut self, segments: usize, now: Instant) -> bool {
        let due = self.every.zip(self.last).is_some_and(|(every, last)| now >= last + every);
        let is_time = due && self.missing == 0;
        if is_time {
            (self.last, self.missing) = (Some(now), segments);
        }
        is_time
    }

    /// One more part is durable.
    pub fn settled(&mut self) {
        self.missing = self.missing.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_waits_for_its_time_and_for_the_last_one() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut cutter = Cutter::new(Some(second), start);
        assert!(!cutter.is_time(2, start + second / 2));
        assert!(cutter.is_time(2, start + second));
        cutter.settled();
        assert!(!cutter.is_time(2, start + 3 * second), "one part is not durable");
        cutter.settled();
        assert!(cutter.is_time(2, start + 3 * second));
        assert!(!Cutter::new(None, start).is_time(2, start + 3 * second), "there are to be none");
    }
}
