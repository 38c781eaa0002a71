//! Some of the nodes: their ranks.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::links::{self, Links};
use super::messages::{Contribute, Given, Inputs, Reply};
use crate::graph::Graph;
use crate::rank::{self, ONE};

/// The nodes whose number leaves the same remainder when divided by the count of partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partition {
    /// The iteration that `ranks` ends with.
    iteration: u64,
    /// The ranks of the newest iterations, newest last: actors that are restored together may differ
    /// by some.
    ranks: VecDeque<Vec<u64>>,
    /// How many of them to remember.
    remember: usize,
    /// As many that are older still, oldest first: others may have gone back. Only who did not go
    /// back itself can be asked for them, so they are in no checkpoint.
    #[serde(skip)]
    older: VecDeque<Vec<u64>>,
}

/// Deals the nodes of a graph out to `count` partitions, which remember `remember` iterations.
pub fn split(graph: &Graph, count: usize, remember: usize) -> Vec<(Partition, Links)> {
    let partition = |links: &Links| Partition {
        iteration: 0,
        ranks: VecDeque::from([vec![ONE; links.nodes()]]),
        remember: remember.max(1),
        older: VecDeque::new(),
    };
    links::split(graph, count).into_iter().map(|links| (partition(&links), links)).collect()
}

impl Partition {
    /// Takes the step that a question asks for, if it can. What it then has to give follows from the
    /// ranks that this returns; none if it is not there, or does not remember.
    pub fn take(&mut self, question: Contribute) -> Option<&[u64]> {
        let Contribute { iteration, inputs } = question;
        if iteration == 0 && self.at(0).is_none() {
            self.start_over();
        }
        if let Some(inputs) = inputs
            && iteration == self.iteration + 1
            && inputs.received.len() == self.newest().1.len()
        {
            self.step(&inputs);
        }
        self.at(iteration)
    }

    /// The answer to a question.
    pub fn answer(&self, given: Option<Given>) -> Reply {
        let remembered = self.ranks.len() + self.older.len();
        let oldest = (self.iteration + 1).saturating_sub(remembered as u64);
        Reply { oldest, newest: self.iteration, given }
    }

    /// The newest iteration, and the ranks there.
    pub fn newest(&self) -> (u64, &[u64]) {
        (self.iteration, self.at(self.iteration).unwrap_or_default())
    }

    /// The ranks at an iteration that it remembers.
    pub fn at(&self, iteration: u64) -> Option<&[u64]> {
        let back = usize::try_from(self.iteration.checked_sub(iteration)?).ok()?;
        self.ranks.iter().rev().chain(self.older.iter().rev()).nth(back).map(Vec::as_slice)
    }

    fn step(&mut self, inputs: &Inputs) {
        let next = inputs.received.iter().map(|sum| rank::next(*sum, inputs.share)).collect();
        self.ranks.push_back(next);
        self.iteration += 1;
        if self.ranks.len() > self.remember {
            self.older.extend(self.ranks.pop_front());
        }
        if self.older.len() > self.remember {
            self.older.pop_front();
        }
    }

    /// Iteration 0 needs no memory: every rank is `ONE`.
    fn start_over(&mut self) {
        self.iteration = 0;
        self.ranks = VecDeque::from([vec![ONE; self.newest().1.len()]]);
        self.older.clear();
    }
}
