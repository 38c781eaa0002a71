//! Who drives the supersteps.

use serde::{Deserialize, Serialize};

use super::messages::{Contribute, Given, Inputs, Reply};
use crate::rank;

/// Knows how far everybody is, and what everybody gave there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Coordinator {
    nodes: u64,
    /// How many nodes each partition has.
    sizes: Vec<usize>,
    /// The iteration that every partition has reached.
    iteration: u64,
    /// The inputs of the next step, one for each partition; empty until everybody was asked. Can be
    /// asked again at any time, so it is in no checkpoint.
    #[serde(skip)]
    next: Vec<Inputs>,
}

impl Coordinator {
    /// For `nodes` nodes that were dealt out to `partitions` partitions.
    pub fn new(nodes: usize, partitions: usize) -> Self {
        let sizes = (0..partitions).map(|p| nodes.saturating_sub(p).div_ceil(partitions)).collect();
        Self { nodes: nodes as u64, sizes, iteration: 0, next: Vec::new() }
    }

    /// The iteration that every partition has reached.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// One question for each partition: to take the next step, unless that leads past `until`, or
    /// else only what they give where they are.
    pub fn questions(&mut self, until: u64) -> Vec<Contribute> {
        if self.next.is_empty() || self.iteration >= until {
            return vec![Contribute { iteration: self.iteration, inputs: None }; self.sizes.len()];
        }
        let iteration = self.iteration + 1;
        self.next.drain(..).map(|inputs| Contribute { iteration, inputs: Some(inputs) }).collect()
    }

    /// Takes all answers to the questions that named `iteration`. If somebody is not there, the job
    /// goes on from the newest iteration that everybody remembers.
    pub fn answers(&mut self, iteration: u64, replies: Vec<Reply>) {
        let newest = replies.iter().map(|reply| reply.newest).min().unwrap_or(iteration);
        let oldest = replies.iter().map(|reply| reply.oldest).max().unwrap_or(iteration);
        let given: Option<Vec<Given>> = replies.into_iter().map(|reply| reply.given).collect();
        (self.iteration, self.next) = match given {
            Some(everyone) => (iteration, self.sum_up(&everyone)),
            None if oldest <= newest => (newest, Vec::new()),
            None => (0, Vec::new()),
        };
    }

    fn sum_up(&self, everyone: &[Given]) -> Vec<Inputs> {
        let dangling = everyone.iter().fold(0, |sum: u64, given| sum.saturating_add(given.dangling));
        let share = rank::share(dangling, self.nodes);
        let inputs = |(partition, size): (usize, &usize)| {
            let mut received = vec![0_u64; *size];
            for (into, sums) in everyone.iter().filter_map(|given| given.to.get(partition)) {
                for (place, sum) in into.iter().zip(sums) {
                    if let Some(total) = received.get_mut(*place as usize) {
                        *total = total.saturating_add(*sum);
                    }
                }
            }
            Inputs { received, share }
        };
        self.sizes.iter().enumerate().map(inputs).collect()
    }
}
