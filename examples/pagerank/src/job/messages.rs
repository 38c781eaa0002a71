//! What actors send each other.

use serde::{Deserialize, Serialize};

/// What one partition's nodes give to another's at one iteration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Give {
    pub iteration: u64,
    /// The sum of the giver's ranks that point nowhere: every node gets its part.
    pub dangling: u64,
    pub shares: Shares,
}

/// One sum for each node that is pointed at: its place within its partition, and what it gets, as two columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    pub into: Vec<u32>,
    pub sums: Vec<u64>,
}

/// A partition has reached an iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reached {
    pub partition: usize,
    pub iteration: u64,
}
