//! Some of the nodes: their ranks.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::links::{self, Links};
use super::messages::{Give, Shares};
use crate::graph::Graph;
use crate::rank::{self, ONE};

/// What is the same for all partitions of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Nodes of the whole graph.
    pub nodes: u64,
    pub partitions: usize,
    /// The iteration to end with.
    pub iterations: u64,
    /// A superstep does not begin sooner after the one before.
    pub pace: Duration,
    /// Whether what partitions send to each other survives failures.
    pub is_reliable: bool,
}

/// The nodes whose number leaves the same remainder when divided by the count of partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partition {
    pub number: usize,
    pub plan: Plan,
    /// The iteration of `ranks`.
    iteration: u64,
    ranks: Vec<u64>,
    /// What came for the next iteration, and for those after it. Others are ahead by one at most, but for a partition
    /// that begins anew from a checkpoint: it hears what they sent while it was further.
    rounds: VecDeque<Round>,
    /// Where its nodes point to never changes and is in no checkpoint of this: [`Links`] can be asked again.
    #[serde(skip)]
    pub links: Option<Links>,
}

/// What was given so far at one iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    received: Vec<u64>,
    dangling: u64,
    givers: usize,
}

impl Round {
    fn of(nodes: usize) -> Self {
        Self { received: vec![0; nodes], dangling: 0, givers: 0 }
    }
}

/// Deals the nodes of a graph out to partitions.
pub fn split(graph: &Graph, plan: &Plan) -> Vec<(Partition, Links)> {
    let partition = |(number, links): (usize, &Links)| Partition {
        number,
        plan: plan.clone(),
        iteration: 0,
        ranks: vec![ONE; links.nodes()],
        rounds: VecDeque::new(),
        links: None,
    };
    let all = links::split(graph, plan.partitions);
    let partitions: Vec<_> = all.iter().enumerate().map(partition).collect();
    partitions.into_iter().zip(all).collect()
}

impl Partition {
    /// The iteration, and the ranks there.
    pub fn now(&self) -> (u64, &[u64]) {
        (self.iteration, &self.ranks)
    }

    /// Whether there is no superstep left.
    pub fn is_done(&self) -> bool {
        self.iteration >= self.plan.iterations
    }

    /// One message for each partition, this one among them: what its nodes give where it is.
    pub fn gifts(&self, links: &Links) -> Vec<Give> {
        let (all, dangling) = links.give(&self.ranks);
        all.into_iter().map(|shares| Give { iteration: self.iteration, dangling, shares }).collect()
    }

    /// Takes what a partition gives, each partition's once. True if it was the last that the superstep waited for.
    ///
    /// The order in which partitions give changes no bit: additions commute.
    pub fn take(&mut self, Give { iteration, dangling, shares: Shares { into, sums } }: Give) -> bool {
        let ahead = iteration.checked_sub(self.iteration).filter(|_| iteration < self.plan.iterations);
        let Some(ahead) = ahead.and_then(|ahead| usize::try_from(ahead).ok()) else { return false };
        while self.rounds.len() <= ahead {
            self.rounds.push_back(Round::of(self.ranks.len()));
        }
        let Some(round) = self.rounds.get_mut(ahead) else { return false };
        for (place, sum) in into.into_iter().zip(sums) {
            if let Some(total) = round.received.get_mut(place as usize) {
                *total = total.saturating_add(sum);
            }
        }
        round.dangling = round.dangling.saturating_add(dangling);
        round.givers += 1;
        let complete = self.rounds.pop_front_if(|round| round.givers == self.plan.partitions);
        complete.map(|round| self.step(round)).is_some()
    }

    fn step(&mut self, Round { received, dangling, .. }: Round) {
        let share = rank::share(dangling, self.plan.nodes);
        self.ranks = received.into_iter().map(|sum| rank::next(sum, share)).collect();
        self.iteration += 1;
    }
}
