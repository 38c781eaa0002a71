//! Some of the nodes: their edges and their ranks.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::messages::{Contribute, Given, Inputs, Reply};
use crate::graph::Graph;
use crate::rank::{self, ONE};

/// The nodes whose number leaves the same remainder when divided by the count of partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partition {
    outdegrees: Vec<u32>,
    /// For each partition, the edges that lead into it.
    edges: Vec<Edges>,
    /// The iteration that `ranks` ends with.
    iteration: u64,
    /// The ranks of the newest iterations, newest last: others may have to redo some.
    ranks: VecDeque<Vec<u64>>,
    /// How many of them to remember.
    remember: usize,
}

/// Edges as two columns of places, sorted by target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Edges {
    into: Vec<u32>,
    from: Vec<u32>,
}

/// Deals the nodes of a graph out to `count` partitions, which remember `remember` iterations.
pub fn split(graph: &Graph, count: usize, remember: usize) -> Vec<Partition> {
    let outdegrees = graph.outdegrees();
    let mut all: Vec<Partition> = (0..count)
        .map(|p| {
            let outdegrees: Vec<u32> = outdegrees.iter().copied().skip(p).step_by(count).collect();
            let ranks = VecDeque::from([vec![ONE; outdegrees.len()]]);
            let edges = vec![Edges::default(); count];
            Partition { outdegrees, edges, iteration: 0, ranks, remember: remember.max(1) }
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

impl Partition {
    /// Answers the coordinator.
    pub fn contribute(&mut self, question: Contribute) -> Reply {
        let Contribute { iteration, inputs } = question;
        if iteration == 0 && self.at(0).is_none() {
            self.start_over();
        }
        if let Some(inputs) = inputs
            && iteration == self.iteration + 1
            && inputs.received.len() == self.outdegrees.len()
        {
            self.step(&inputs);
        }
        if iteration > self.iteration {
            return Reply::Behind { at: self.iteration };
        }
        self.at(iteration).map_or(Reply::Forgotten, |ranks| Reply::Given(self.given(ranks)))
    }

    /// The newest iteration, and the ranks there.
    pub fn newest(&self) -> (u64, &[u64]) {
        (self.iteration, self.at(self.iteration).unwrap_or_default())
    }

    /// The ranks at an iteration that it remembers.
    pub fn at(&self, iteration: u64) -> Option<&[u64]> {
        let back = usize::try_from(self.iteration.checked_sub(iteration)?).ok()?;
        let index = self.ranks.len().checked_sub(back + 1)?;
        self.ranks.get(index).map(Vec::as_slice)
    }

    fn step(&mut self, inputs: &Inputs) {
        let next = inputs.received.iter().map(|sum| rank::next(*sum, inputs.share)).collect();
        self.ranks.push_back(next);
        self.iteration += 1;
        if self.ranks.len() > self.remember {
            self.ranks.pop_front();
        }
    }

    /// Iteration 0 needs no memory: every rank is `ONE`.
    fn start_over(&mut self) {
        self.iteration = 0;
        self.ranks = VecDeque::from([vec![ONE; self.outdegrees.len()]]);
    }

    fn given(&self, ranks: &[u64]) -> Given {
        let nodes = || ranks.iter().zip(&self.outdegrees);
        let each: Vec<u64> = nodes().map(|(rank, degree)| rank::contribution(*rank, *degree)).collect();
        let dangling = nodes().filter(|(_, degree)| **degree == 0).map(|(rank, _)| *rank);
        Given {
            to: self.edges.iter().map(|edges| edges.sums(&each)).collect(),
            dangling: dangling.fold(0, u64::saturating_add),
        }
    }
}

impl Edges {
    /// One sum for each node that is pointed at.
    fn sums(&self, each: &[u64]) -> (Vec<u32>, Vec<u64>) {
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
        (into, sums)
    }
}
