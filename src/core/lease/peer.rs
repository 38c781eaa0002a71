//! A peer's own view of its lease.

use std::collections::VecDeque;

use super::{Grant, holder_share};
use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::limits::{MAX_GRANTS_PENDING, MAX_HEARTBEATS_OUTSTANDING, MAX_LEASE};

/// What a peer tells its [`PeerLease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerInput {
    /// A heartbeat is about to be sent. `now` must be read before the first byte leaves.
    Sent {
        /// Its number, higher than all before it in this process.
        seq: u64,
        /// The peer's clock.
        now: Mono,
    },
    /// The heartbeat `seq` was answered with a grant.
    Granted {
        /// The heartbeat that it answers.
        seq: u64,
        /// What the leader granted.
        grant: Grant,
    },
    /// This peer's own state machine has applied the log up to `index`.
    Applied {
        /// A log index.
        index: u64,
    },
    /// A newer incarnation took over, or this peer is leaving: never again.
    Retired,
}

/// The lease of one process of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PeerLease {
    sent: VecDeque<(u64, Mono)>,
    highest_sent: Option<u64>,
    /// Grants that need a higher applied index: (index, end).
    pending: VecDeque<(u64, Mono)>,
    applied: u64,
    until: Option<Mono>,
    retired: bool,
}

impl PeerLease {
    /// No lease yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lease is held at every moment before this one. It may lie in the past. `None`: there was
    /// none yet, or this process is retired.
    #[cfg(test)]
    pub fn valid_until(&self) -> Option<Mono> {
        self.until
    }

    /// Takes one input, and returns the new end of the lease if it moved (forward, always).
    pub fn step(&mut self, input: PeerInput) -> Option<Mono> {
        if self.retired {
            return None;
        }
        match input {
            PeerInput::Sent { seq, now } => self.sent(seq, now),
            PeerInput::Granted { seq, grant } => self.granted(seq, grant),
            PeerInput::Applied { index } => self.applied = self.applied.max(index),
            PeerInput::Retired => *self = Self { retired: true, ..Self::default() },
        }
        self.take_pending()
    }

    fn sent(&mut self, seq: u64, now: Mono) {
        // A heartbeat sent again, through a relay say, counts from its first sending.
        if self.highest_sent.is_some_and(|highest| seq <= highest) {
            return;
        }
        self.highest_sent = Some(seq);
        self.sent.push_back((seq, now));
        if self.sent.len() > MAX_HEARTBEATS_OUTSTANDING {
            self.sent.pop_front();
        }
    }

    fn granted(&mut self, seq: u64, grant: Grant) {
        let Some(place) = self.sent.iter().position(|(sent, _)| *sent == seq) else { return };
        let Some((_, sent)) = self.sent.remove(place) else { return };
        if grant.lease > MAX_LEASE {
            return;
        }
        let Some(left) = holder_share(grant.lease).checked_sub(grant.quorum_age) else { return };
        self.pending.push_back((grant.applied, sent + left));
        if self.pending.len() > MAX_GRANTS_PENDING {
            self.pending.pop_front();
        }
    }

    fn take_pending(&mut self) -> Option<Mono> {
        let at_once = made(Mistake::GrantBeforeItsIndexIsApplied);
        let ripe = self
            .pending
            .iter()
            .filter(|(index, _)| at_once || *index <= self.applied)
            .map(|(_, end)| *end)
            .max();
        self.pending.retain(|(index, _)| *index > self.applied);
        if ripe <= self.until {
            return None;
        }
        self.until = ripe;
        ripe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn sent(lease: &mut PeerLease, seq: u64, ms: u64) {
        assert_eq!(lease.step(PeerInput::Sent { seq, now: at(ms) }), None);
    }

    fn granted(lease: &mut PeerLease, seq: u64, age_ms: u64, applied: u64) -> Option<Mono> {
        let grant = Grant {
            term: 1,
            quorum_age: Duration::from_millis(age_ms),
            lease: Duration::from_secs(1),
            applied,
        };
        lease.step(PeerInput::Granted { seq, grant })
    }

    #[test]
    fn it_counts_from_the_sending_less_drift_and_quorum_age() {
        let mut lease = PeerLease::new();
        assert_eq!(lease.valid_until(), None);
        sent(&mut lease, 1, 5_000);
        assert_eq!(granted(&mut lease, 1, 40, 0), Some(at(5_950)));
        assert_eq!(lease.valid_until(), Some(at(5_950)));
    }

    #[test]
    fn it_never_moves_backward() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        sent(&mut lease, 2, 100);
        assert_eq!(granted(&mut lease, 2, 0, 0), Some(at(1_090)));
        assert_eq!(granted(&mut lease, 1, 0, 0), None);
        assert_eq!(lease.valid_until(), Some(at(1_090)));
    }

    #[test]
    fn duplicates_and_unknown_answers_are_ignored() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        assert_eq!(granted(&mut lease, 2, 0, 0), None, "never sent");
        assert_eq!(granted(&mut lease, 1, 500, 0), Some(at(490)));
        assert_eq!(granted(&mut lease, 1, 0, 0), None, "answered already");
        sent(&mut lease, 1, 700);
        assert_eq!(granted(&mut lease, 1, 0, 0), None, "a number is used once");
    }

    #[test]
    fn a_heartbeat_sent_again_counts_from_its_first_sending() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        sent(&mut lease, 1, 700);
        assert_eq!(granted(&mut lease, 1, 0, 0), Some(at(990)));
    }

    #[test]
    fn a_grant_waits_until_its_index_is_applied() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        sent(&mut lease, 2, 100);
        sent(&mut lease, 3, 200);
        assert_eq!(granted(&mut lease, 1, 0, 10), None);
        assert_eq!(granted(&mut lease, 2, 0, 11), None);
        assert_eq!(granted(&mut lease, 3, 0, 12), None);
        assert_eq!(lease.step(PeerInput::Applied { index: 9 }), None);
        assert_eq!(lease.step(PeerInput::Applied { index: 11 }), Some(at(1_090)));
        assert_eq!(lease.step(PeerInput::Applied { index: 3 }), None, "applied never goes back");
        assert_eq!(lease.step(PeerInput::Applied { index: 12 }), Some(at(1_190)));
    }

    #[test]
    fn a_grant_too_old_or_too_long_to_believe_is_none() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        assert_eq!(granted(&mut lease, 1, 991, 0), None);
        sent(&mut lease, 2, 0);
        let grant = Grant {
            term: 1,
            quorum_age: Duration::ZERO,
            lease: MAX_LEASE + Duration::from_nanos(1),
            applied: 0,
        };
        assert_eq!(lease.step(PeerInput::Granted { seq: 2, grant }), None);
        assert_eq!(lease.valid_until(), None);
    }

    #[test]
    fn a_retired_process_never_holds_a_lease_again() {
        let mut lease = PeerLease::new();
        sent(&mut lease, 1, 0);
        sent(&mut lease, 2, 100);
        assert!(granted(&mut lease, 1, 0, 0).is_some());
        lease.step(PeerInput::Retired);
        assert_eq!(lease.valid_until(), None);
        assert_eq!(granted(&mut lease, 2, 0, 0), None);
        sent(&mut lease, 3, 200);
        assert_eq!(granted(&mut lease, 3, 0, 0), None);
        assert_eq!(lease.valid_until(), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut lease = PeerLease::new();
        for seq in 1..=1_000 {
            sent(&mut lease, seq, seq);
        }
        assert_eq!(lease.sent.len(), MAX_HEARTBEATS_OUTSTANDING);
        assert_eq!(granted(&mut lease, 1, 0, 0), None, "forgotten");
        for seq in 1_001..=2_000 {
            sent(&mut lease, seq, seq);
            granted(&mut lease, seq, 0, seq);
        }
        assert_eq!(lease.pending.len(), MAX_GRANTS_PENDING);
        assert_eq!(lease.step(PeerInput::Applied { index: 2_000 }), Some(at(2_990)));
    }
}
