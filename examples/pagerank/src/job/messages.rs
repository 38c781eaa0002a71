//! What actors send each other.

use serde::{Deserialize, Serialize};

use crate::words;

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
    #[serde(with = "words")]
    pub into: Vec<u32>,
    #[serde(with = "words")]
    pub sums: Vec<u64>,
}

/// A partition has reached an iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reached {
    pub partition: usize,
    pub iteration: u64,
}

/// From one going back of all segments to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The highest epoch among the segments when it began.
    pub epoch: u64,
    pub number: u64,
}

/// What a partition gives, in a job that goes back as a whole after a failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gift {
    /// What is of another attempt is not taken.
    pub attempt: Attempt,
    /// All are to keep the ranks that follow from this: a cut.
    pub is_cut: bool,
    pub give: Give,
}
