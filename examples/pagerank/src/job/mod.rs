//! The job: one superstep after another, each a round of one question to every partition.
//!
//! A [`Partition`] holds the ranks of some of the nodes, and [`Links`] where these point to. The
//! [`Coordinator`] asks all partitions `Contribute { iteration }`, adds up what they give to each
//! other, and puts the sums into the question of the next round. All are plain data; a failure can put
//! each back to an older checkpoint. Nothing here recovers from that: an answer says which iterations
//! its partition remembers, and the coordinator goes on from the newest that all of them do. The same
//! question twice has one effect.

mod coordinator;
mod links;
mod messages;
mod partition;

pub use coordinator::Coordinator;
pub use links::Links;
pub use messages::{Contribute, Given, Reply};
pub use partition::{Partition, split};

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
mod tests;
