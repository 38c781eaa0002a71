//! Where the nodes of a partition point to. It never changes, so it is an actor of its own: what a superstep changes
//! is all that a superstep's checkpoint has to hold.

use serde::{Deserialize, Serialize};

use super::messages::Shares;
use crate::graph::Graph;
use crate::rank;

/// The edges that leave one partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Links {
    outdegrees: Vec<u32>,
    /// For each partition, the edges that lead into it.
    edges: Vec<Edges>,
}

/// Edges as two columns of places, sorted by target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Edges {
    into: Vec<u32>,
    from: Vec<u32>,
}

/// Deals the edges of a graph out to `count` partitions.
pub fn split(graph: &Graph, count: usize) -> Vec<Links> {
    let outdegrees = graph.outdegrees();
    let mut all: Vec<Links> = (0..count)
        .map(|p| Links {
            outdegrees: outdegrees.iter().copied().skip(p).step_by(count).collect(),
            edges: vec![Edges::default(); count],
        })
        .collect();
    let place = |node: u32| (node as usize % count, node / count as u32);
    let mut by_target = graph.edges().to_vec();
    by_target.sort_unstable_by_key(|&(from, to)| (to, from));
    for (from, to) in by_target {
        let ((source, from), (target, into)) = (place(from), place(to));
        let edges = &mut all[source].edges[target];
        edges.into.push(into);
        edges.from.push(from);
    }
    all
}

impl Links {
    /// How many nodes the partition has.
    pub fn nodes(&self) -> usize {
        self.outdegrees.len()
    }

    /// What nodes of these ranks give to each partition, and the sum of those that point nowhere.
    pub fn give(&self, ranks: &[u64]) -> (Vec<Shares>, u64) {
        let nodes = || ranks.iter().zip(&self.outdegrees);
        let each: Vec<u64> = nodes().map(|(rank, degree)| rank::contribution(*rank, *degree)).collect();
        let dangling = nodes().filter(|(_, degree)| **degree == 0).map(|(rank, _)| *rank);
        (self.edges.iter().map(|edges| edges.sums(&each)).collect(), dangling.fold(0, u64::saturating_add))
    }
}

impl Edges {
    /// One sum for each node that is pointed at.
    fn sums(&self, each: &[u64]) -> Shares {
        let (mut into, mut sums) = (Vec::new(), Vec::<u64>::new());
        for (target, source) in self.into.iter().zip(&self.from) {
            let given = each.get(*source as usize).copied().unwrap_or(0);
            match sums.last_mut() {
                Some(sum) if into.last() == Some(target) => *sum = sum.saturating_add(given),
                _ => {
                    into.push(*target);
                    sums.push(given);
                }
            }
        }
        Shares { into, sums }
    }
}
