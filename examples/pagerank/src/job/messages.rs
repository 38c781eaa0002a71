//! What the coordinator asks, and what a partition answers.

use serde::{Deserialize, Serialize};

/// Bring yourself to `iteration`, then say what your nodes give to others there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contribute {
    pub iteration: u64,
    /// What leads from the iteration before to this one. Not needed by a partition that is there.
    pub inputs: Option<Inputs>,
}

/// All that a partition must know of the others to take one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The sum of what each of its nodes was given, in its own order of nodes.
    pub received: Vec<u64>,
    /// Every node's part of the ranks of nodes that point nowhere.
    pub share: u64,
}

/// A partition's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reply {
    /// The oldest iteration that it remembers.
    pub oldest: u64,
    /// The one that it has reached.
    pub newest: u64,
    /// What its nodes give at the iteration that was asked for, if it remembers that.
    pub given: Option<Given>,
}

/// What one partition's nodes give at one iteration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Given {
    /// One list of (place of the node within its partition, sum) for each partition, as two columns.
    pub to: Vec<(Vec<u32>, Vec<u64>)>,
    /// The sum of the ranks of its nodes that point nowhere.
    pub dangling: u64,
}
