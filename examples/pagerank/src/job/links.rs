//! Where the nodes of a partition point to. It never changes, so it is an actor of its own: what a superstep changes
//! is all that a superstep's checkpoint has to hold.

use serde::{Deserialize, Serialize};

use super::messages::Shares;
use crate::graph::Graph;
use crate::rank;
use crate::rmat::Rmat;
use crate::words;

/// The edges that leave one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    #[serde(with = "words")]
    outdegrees: Vec<u32>,
    /// For each partition, the edges that lead into it.
    edges: Vec<Edges>,
}

/// Edges as columns of places: each target once, in order, where the sources of each end, and those.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Edges {
    #[serde(with = "words")]
    into: Vec<u32>,
    #[serde(with = "words")]
    ends: Vec<u32>,
    #[serde(with = "words")]
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
        all[source].edges[target].push(into, from);
    }
    all
}

/// The part of one partition of `count`, of a graph that is generated.
pub fn generate(rmat: Rmat, number: usize, count: usize) -> Links {
    let own = |&(from, to): &(u32, u32)| from as usize % count == number && from != to;
    let mut by_target: Vec<_> = rmat.edges().filter(own).map(|(from, to)| (to, from)).collect();
    by_target.sort_unstable();
    by_target.dedup();
    let nodes = (number..rmat.nodes()).step_by(count).len();
    let mut links = Links { outdegrees: vec![0; nodes], edges: vec![Edges::default(); count] };
    for (to, from) in by_target {
        let from = from / count as u32;
        links.outdegrees[from as usize] += 1;
        links.edges[to as usize % count].push(to / count as u32, from);
    }
    links
}

impl Links {
    /// What nodes of these ranks give to each partition, and the sum of those that point nowhere.
    pub fn give(&self, ranks: &[u64]) -> (Vec<Shares>, u64) {
        let nodes = || ranks.iter().zip(&self.outdegrees);
        let each: Vec<u64> = nodes().map(|(rank, degree)| rank::contribution(*rank, *degree)).collect();
        let dangling = nodes().filter(|(_, degree)| **degree == 0).map(|(rank, _)| *rank);
        (self.edges.iter().map(|edges| edges.sums(&each)).collect(), dangling.fold(0, u64::saturating_add))
    }
}

impl Edges {
    /// One more edge; they come in order of their targets.
    fn push(&mut self, into: u32, from: u32) {
        self.from.push(from);
        let end = self.from.len() as u32;
        match self.ends.last_mut() {
            Some(last) if self.into.last() == Some(&into) => *last = end,
            _ => {
                self.into.push(into);
                self.ends.push(end);
            }
        }
    }

    /// One sum for each node that is pointed at.
    fn sums(&self, each: &[u64]) -> Shares {
        let mut begin = 0;
        let sums = self.ends.iter().map(|&end| {
            let sources = self.from.get(begin..end as usize).unwrap_or_default();
            begin = end as usize;
            let given = sources.iter().map(|source| each.get(*source as usize).copied().unwrap_or(0));
            given.fold(0, u64::saturating_add)
        });
        Shares { sums: sums.collect(), into: self.into.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_partition_generates_is_what_the_whole_graph_is_split_into() {
        let rmat = Rmat { scale: 8, seed: 3 };
        let graph = Graph::generate(rmat);
        for count in [1, 3, 5] {
            let generated: Vec<_> = (0..count).map(|number| generate(rmat, number, count)).collect();
            assert_eq!(generated, split(&graph, count));
        }
    }
}
