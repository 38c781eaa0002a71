//! Some of the nodes: their ranks.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::links::Links;
use super::messages::{Give, Shares};
use crate::rank::{self, Jumps, ONE};
use crate::rmat::Rmat;
use crate::words;

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
    /// How the graph is generated, if it is: then each partition makes its own [`Links`].
    pub rmat: Option<Rmat>,
    pub jumps: Jumps,
    /// How often segments keep their ranks, if they do.
    pub cut_every: Option<Duration>,
}

/// The nodes whose number leaves the same remainder when divided by the count of partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partition {
    pub number: usize,
    pub plan: Plan,
    /// The iteration of `ranks`.
    iteration: u64,
    #[serde(with = "words")]
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
    #[serde(with = "words")]
    received: Vec<u64>,
    dangling: u64,
    givers: usize,
}

impl Round {
    fn of(nodes: usize) -> Self {
        Self { received: vec![0; nodes], dangling: 0, givers: 0 }
    }
}

impl Plan {
    /// How many nodes a partition has.
    pub fn nodes_of(&self, partition: usize) -> usize {
        let nodes = usize::try_from(self.nodes).unwrap_or(usize::MAX);
        nodes.saturating_sub(partition).div_ceil(self.partitions.max(1))
    }
}

impl Partition {
    /// Where the job begins.
    pub fn first(number: usize, plan: &Plan) -> Self {
        Self::at(number, plan, 0, vec![ONE; plan.nodes_of(number)])
    }

    /// Where the job was at an iteration.
    pub fn at(number: usize, plan: &Plan, iteration: u64, ranks: Vec<u64>) -> Self {
        Self { number, plan: plan.clone(), iteration, ranks, rounds: VecDeque::new(), links: None }
    }

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
        let nodes = (self.number as u64..).step_by(self.plan.partitions);
        let jump = |node| self.plan.jumps.to(node, self.iteration);
        let next = nodes.zip(received).map(|(node, sum)| rank::next(jump(node), sum, share));
        self.ranks = next.collect();
        self.iteration += 1;
    }
}
