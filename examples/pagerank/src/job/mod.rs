//! The job: one superstep after another.
//!
//! A [`Partition`] holds the ranks of some of the nodes, and [`Links`] where these point to. In a superstep every
//! partition sends to every partition what its nodes give to the other's; who has heard from all goes on to the
//! next. The [`Coordinator`] tells them to begin and counts how far they are. All are plain data, and each message
//! is taken once and in order: nothing here deals with failures. A [`Segment`] is a partition of a job that sends plain
//! messages: that one does.

mod coordinator;
mod cutter;
mod links;
mod messages;
mod partition;
mod segment;

pub use coordinator::Coordinator;
pub use cutter::Cutter;
pub use links::{Links, generate, split};
pub use messages::{Attempt, Gift, Give, Reached};
pub use partition::{Partition, Plan};
pub use segment::{Segment, Standing, Taken, common_cut, next_attempt};

/// The place of the peer that a partition belongs to.
pub fn home_of(partition: usize, peers: usize) -> usize {
    partition % peers.max(1)
}

/// The partitions that belong to a peer.
pub fn homed_at(peer: usize, partitions: usize, peers: usize) -> Vec<usize> {
    (0..partitions).filter(|partition| home_of(*partition, peers) == peer).collect()
}

/// The place of the peer that the coordinator belongs to: the last, so that it is not the founder.
pub fn home_of_coordinator(peers: usize) -> usize {
    peers.saturating_sub(1)
}

#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod tests;
