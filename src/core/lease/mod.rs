//! Leases: a node that is presumed dead cannot act.
//!
//! A peer runs actors only while it holds a lease. [`PeerLease`] is its own view of how long that
//! is; [`Granter`] is the leader's: whom it grants, and from when on a silent peer certainly holds
//! nothing. Why the two never disagree, all in real time, with both clocks within 1% of it:
//!
//! 1. A heartbeat is sent at `s`, and granted at `g >= s` by a leader whose newest probe round with a
//!    quorum was sent at `p`. The grant says `age = g - p`. The peer counts 99% of the lease, less
//!    `age`, from `s`: it ends by `s + lease - (g - p) <= p + lease`.
//! 2. The same leader counts 101% of the lease from `p`: it ends later than 1.
//! 3. A leader of a later term was elected after `p` (see [`probe`](super::probe)). It counts 101% of
//!    the lease from its election: later than 1, whatever any earlier leader granted.
//!
//! What follows from a lapse (`MarkDown`, and the `Admit` of a namesake) is decided only then, carries
//! its term, and stops grants to the node from the decision until its outcome is applied. A leader
//! grants only after it applied an entry of its own term, so it knows what earlier leaders decided.
//! A grant names the index that the leader had applied, and counts only once the peer has, too.

mod flight;
mod granter;
#[cfg(test)]
mod model;
mod peer;
mod words;

pub use flight::Flight;
pub use granter::Granter;
pub use peer::{PeerInput, PeerLease};
pub use words::{Admission, Effect, Input, MemberView, Refusal, Status};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A leader's answer to a heartbeat: the right to run actors for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The term of the leader that grants.
    pub term: u64,
    /// How old the leader's newest proof of its own leadership is. A codec may round it up only.
    pub quorum_age: Duration,
    /// The length of a lease, the same for all.
    pub lease: Duration,
    /// The grant counts once the peer has applied this log index.
    pub applied: u64,
}

/// What the holder counts of a lease: 99%, rounded down. Its clock may be slow by 1%.
fn holder_share(lease: Duration) -> Duration {
    lease.saturating_mul(99) / 100
}

/// What a leader waits for a lease to end: 101%, rounded up. Its clock may be fast by 1%.
fn granter_wait(lease: Duration) -> Duration {
    (lease.saturating_mul(101) / 100).saturating_add(Duration::from_nanos(1))
}
