//! How patient the peers of a cluster are.

use std::time::Duration;

/// A timing preset. All peers of a cluster use the same one; the lease length is the founder's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats; the round trip between any two peers must be at most half of it.
    pub heartbeat: Duration,
    /// Shortest wait for a silent leader before an election.
    pub election_min: Duration,
    /// Longest such wait.
    pub election_max: Duration,
    /// How long a peer may run its actors after a heartbeat that was granted.
    pub lease: Duration,
    /// How long one attempt to connect may take.
    pub connect: Duration,
    /// How long another peer may take to store copies before one more is tried.
    pub store: Duration,
}

impl Timing {
    /// One data centre: round trips of up to 50 ms.
    pub fn lan() -> Self {
        let ms = Duration::from_millis;
        Self {
            heartbeat: ms(100),
            election_min: ms(300),
            election_max: ms(600),
            lease: ms(1000),
            connect: ms(600),
            store: ms(1500),
        }
    }

    /// Wide-area links: round trips of up to 250 ms; all of [`Timing::lan`] times five.
    pub fn wan() -> Self {
        let lan = Self::lan();
        Self {
            heartbeat: lan.heartbeat * 5,
            election_min: lan.election_min * 5,
            election_max: lan.election_max * 5,
            lease: lan.lease * 5,
            connect: lan.connect * 5,
            store: lan.store * 5,
        }
    }

    /// Why this timing cannot work, if it cannot.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.heartbeat.is_zero() || self.election_min < self.heartbeat * 2 {
            return Some("`election_min` must be at least twice `heartbeat`, which must not be zero");
        }
        if self.election_max <= self.election_min {
            return Some("`election_max` must be longer than `election_min`");
        }
        if self.lease < self.heartbeat * 4 {
            return Some("`lease` must be at least four times `heartbeat`");
        }
        if self.lease > crate::limits::MAX_LEASE {
            return Some("`lease` is longer than limits::MAX_LEASE");
        }
        None
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::lan()
    }
}
