//! Who knows how far everybody is.

use serde::{Deserialize, Serialize};

use super::messages::Reached;

/// Begins the job, and counts. Partitions do not wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinator {
    /// The iteration of each partition.
    reached: Vec<u64>,
    has_begun: bool,
}

impl Coordinator {
    /// Of so many partitions.
    pub fn new(partitions: usize) -> Self {
        Self { reached: vec![0; partitions], has_begun: false }
    }

    /// The iteration that every partition has reached.
    pub fn iteration(&self) -> u64 {
        self.reached.iter().min().copied().unwrap_or(0)
    }

    /// The partitions that are to be told to begin: all of them, once.
    pub fn begin(&mut self) -> std::ops::Range<usize> {
        let everybody = if self.has_begun { 0 } else { self.reached.len() };
        self.has_begun = true;
        0..everybody
    }

    /// A partition says where it is.
    pub fn note(&mut self, Reached { partition, iteration }: &Reached) {
        if let Some(known) = self.reached.get_mut(*partition) {
            *known = *iteration;
        }
    }
}
