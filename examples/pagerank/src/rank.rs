//! The arithmetic, fixed to the last bit, and the single-process answer to compare with.
//!
//! Everything is a whole number and every division rounds down, so the order of additions cannot
//! change a result.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::graph::Graph;
use crate::rmat::mix;

/// The rank that every node starts with.
pub const ONE: u64 = 1 << 32;

/// What a node gives to each of the nodes it points at. `outdegree` is not zero.
pub fn contribution(rank: u64, outdegree: u32) -> u64 {
    rank / u64::from(outdegree.max(1))
}

/// Every node's part of the ranks of the nodes that point nowhere.
pub fn share(dangling: u64, nodes: u64) -> u64 {
    dangling / nodes.max(1)
}

/// What a node gets whoever points at it: the walk jumps there.
const JUMP: u64 = ONE * 15 / 100;

/// Where the walk jumps to. `Anywhere` is PageRank; with topics it is topic-sensitive (Haveliwala, WWW 2002), one topic
/// after the other: each is a quarter of the nodes. Ranks of a graph whose parts are well connected stand still, to the
/// last bit, after some twenty iterations; these do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jumps {
    #[default]
    Anywhere,
    /// Another topic after so many iterations.
    Topics(u64),
}

impl Jumps {
    /// What a node gets in the step that follows an iteration.
    pub fn to(self, node: u64, iteration: u64) -> u64 {
        match self {
            Jumps::Anywhere => JUMP,
            Jumps::Topics(each) => {
                let topic = iteration / each.max(1);
                if mix(node ^ mix(topic)).is_multiple_of(4) { 4 * JUMP } else { 0 }
            }
        }
    }
}

/// A node's next rank.
///
/// With at most 2^24 nodes of one `ONE` each, `received + share` stays below 2^57. The operations
/// saturate, so that a peer's nonsense gives a wrong digest instead of a panic.
pub fn next(jump: u64, received: u64, share: u64) -> u64 {
    jump.saturating_add(received.saturating_add(share).saturating_mul(85) / 100)
}

/// The ranks of every iteration from 0 to `iterations`, computed in this process alone.
pub struct Reference<'a> {
    graph: &'a Graph,
    outdegrees: Vec<u32>,
    ranks: Vec<u64>,
    jumps: Jumps,
    iteration: u64,
}

impl<'a> Reference<'a> {
    /// Iteration 0.
    pub fn new(graph: &'a Graph, jumps: Jumps) -> Self {
        Self { graph, outdegrees: graph.outdegrees(), ranks: vec![ONE; graph.len()], jumps, iteration: 0 }
    }

    /// The ranks of the present iteration, in byte order of name.
    pub fn ranks(&self) -> &[u64] {
        &self.ranks
    }

    /// Goes on by one iteration.
    pub fn step(&mut self) {
        let mut received = vec![0; self.ranks.len()];
        for &(from, to) in self.graph.edges() {
            received[to as usize] += contribution(self.ranks[from as usize], self.outdegrees[from as usize]);
        }
        let dangling =
            self.ranks.iter().zip(&self.outdegrees).filter(|(_, d)| **d == 0).map(|(r, _)| r).sum();
        let share = share(dangling, self.ranks.len() as u64);
        let jump = |node| self.jumps.to(node, self.iteration);
        self.ranks = (0..).zip(received).map(|(node, sum)| next(jump(node), sum, share)).collect();
        self.iteration += 1;
    }
}

/// SHA-256 of the lines `name<TAB>rank\n`, in hexadecimal.
pub fn digest(names: &[String], ranks: &[u64]) -> String {
    let mut hash = Sha256::new();
    for (name, rank) in names.iter().zip(ranks) {
        hash.update(format!("{name}\t{rank}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The highest ranks with their names, highest first; equal ranks in order of name.
pub fn top<'a>(names: &'a [String], ranks: &[u64], count: usize) -> Vec<(&'a str, u64)> {
    let mut all: Vec<_> = names.iter().map(String::as_str).zip(ranks.iter().copied()).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse;
    use std::collections::{BTreeMap, BTreeSet};

    /// The definition in the README, word for word, on names and 128-bit numbers.
    fn naive(text: &str, iterations: usize) -> Vec<(String, u128)> {
        let tokens: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        let edges: BTreeSet<_> = tokens.iter().map(|t| (t[0], t[1])).filter(|(a, b)| a != b).collect();
        let nodes: BTreeSet<_> = tokens.iter().flatten().copied().collect();
        let degree = |u: &str| edges.iter().filter(|e| e.0 == u).count() as u128;
        let one = 4_294_967_296_u128;
        let mut rank: BTreeMap<_, _> = nodes.iter().map(|v| (*v, one)).collect();
        for _ in 0..iterations {
            let lost: u128 = nodes.iter().filter(|u| degree(u) == 0).map(|u| rank[u]).sum();
            let given =
                |v: &str| edges.iter().filter(|e| e.1 == v).map(|e| rank[e.0] / degree(e.0)).sum::<u128>();
            let share = lost / nodes.len() as u128;
            rank = nodes.iter().map(|v| (*v, one * 15 / 100 + 85 * (given(v) + share) / 100)).collect();
        }
        rank.into_iter().map(|(name, rank)| (name.to_owned(), rank)).collect()
    }

    fn ranked(text: &str, iterations: usize) -> Vec<(String, u128)> {
        let graph = parse(text).unwrap();
        let mut reference = Reference::new(&graph, Jumps::Anywhere);
        (0..iterations).for_each(|_| reference.step());
        graph.names().iter().cloned().zip(reference.ranks().iter().map(|r| u128::from(*r))).collect()
    }

    #[test]
    fn agrees_with_a_naive_implementation() {
        let graphs = [
            "a\tb\n",
            "a\tb\nb\ta\nc\ta\n",
            "a\ta\nb\tb\n",
            "hub\tx\nhub\ty\nhub\tz\nx\thub\ny\thub\nq\tz\nq\tz\nz\tz\n",
        ];
        for text in graphs {
            for iterations in [0, 1, 2, 17] {
                assert_eq!(ranked(text, iterations), naive(text, iterations), "{text:?}");
            }
        }
    }

    #[test]
    fn each_topic_is_about_a_quarter_and_another_one() {
        let jumps = Jumps::Topics(5);
        let of = |iteration| (0..4000).map(|node| jumps.to(node, iteration)).collect::<Vec<_>>();
        assert!(of(0) == of(4) && of(0) != of(5));
        let given = of(7).iter().sum::<u64>() / JUMP;
        assert!((3600..4400).contains(&given), "{given}");
    }

    #[test]
    fn nodes_that_point_nowhere_give_to_all() {
        let all = ranked("a\tb\n", 1);
        let share = ONE / 2;
        assert_eq!(all[0].1, u128::from(next(JUMP, 0, share)));
        assert_eq!(all[1].1, u128::from(next(JUMP, ONE, share)));
    }

    #[test]
    fn the_debian_graph_has_the_published_digest() {
        let graph = Graph::open(&crate::cli::default_edges()).unwrap();
        let mut reference = Reference::new(&graph, Jumps::Anywhere);
        (0..50).for_each(|_| reference.step());
        let digest = digest(graph.names(), reference.ranks());
        assert_eq!(digest, "d352c0102ad2d3d246b6bab81a245e8261a44b8b9c5efd237dba8a2e63625bdc");
        let top = top(graph.names(), reference.ranks(), 2);
        assert_eq!(top, [("libc6", 40_296_559_617_153), ("libgcc-s1", 36_608_315_221_933)]);
    }
}
