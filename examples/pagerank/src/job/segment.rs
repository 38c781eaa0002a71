//! Some of the nodes, in a job that sends plain messages: after a failure all go back to a superstep whose ranks
//! everybody kept (as in Pregel: Malewicz et al., SIGMOD 2010). What is checkpointed are those ranks, and no message.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::cutter::Cutter;
use super::links::Links;
use super::messages::{Attempt, Gift};
use super::partition::{Partition, Plan};
use crate::rank::ONE;
use crate::words;

/// Cuts that are kept: the newest that everybody has, and one that somebody may not have yet.
const CUTS: usize = 2;

/// A [`Partition`] that goes back when it is told to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Segment {
    pub number: usize,
    pub plan: Plan,
    /// The oldest first.
    cuts: VecDeque<Cut>,
    #[serde(skip)]
    attempt: Attempt,
    /// None until it is told where to begin: after a failure nobody else is where its newest cut is.
    #[serde(skip)]
    now: Option<Partition>,
    /// The iteration whose ranks are to be kept next.
    #[serde(skip)]
    cut_at: Option<u64>,
    #[serde(skip)]
    has_started: bool,
    /// Of the first segment: it decides for all.
    #[serde(skip)]
    pub cutter: Cutter,
    #[serde(skip)]
    pub links: Option<Links>,
}

/// The ranks of one iteration.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cut {
    iteration: u64,
    #[serde(with = "words")]
    ranks: Vec<u64>,
}

/// Where a segment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// That of its activation: rises whenever it begins anew.
    pub epoch: u64,
    /// The default if it was in none since then.
    pub attempt: Attempt,
    pub has_started: bool,
    pub iteration: u64,
    /// The iterations that it can go back to, besides 0.
    pub cuts: Vec<u64>,
}

/// What became of a gift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The superstep waits for others, or it was of another attempt.
    Waits,
    /// The superstep is done.
    Stepped,
    /// The superstep is done, and its ranks are to be made durable.
    Kept,
}

impl Segment {
    /// Where the job begins.
    pub fn new(number: usize, plan: &Plan) -> Self {
        Self {
            number,
            plan: plan.clone(),
            cuts: VecDeque::new(),
            attempt: Attempt::default(),
            now: None,
            cut_at: None,
            has_started: false,
            cutter: Cutter::default(),
            links: None,
        }
    }

    pub fn standing(&self, epoch: u64) -> Standing {
        Standing {
            epoch,
            attempt: self.attempt,
            has_started: self.has_started,
            iteration: self.now().0,
            cuts: self.cuts.iter().map(|cut| cut.iteration).collect(),
        }
    }

    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The iteration, and the ranks there; none for those of iteration 0.
    pub fn now(&self) -> (u64, Option<&[u64]>) {
        let running = self.now.as_ref().map(Partition::now);
        let kept = || self.cuts.back().map(|cut| (cut.iteration, cut.ranks.as_slice()));
        running.or_else(kept).map_or((0, None), |(iteration, ranks)| (iteration, Some(ranks)))
    }

    /// The sum of its ranks.
    pub fn sum(&self) -> u64 {
        let first = || ONE.saturating_mul(self.plan.nodes_of(self.number) as u64);
        self.now().1.map_or_else(first, |ranks| ranks.iter().fold(0, |sum, rank| sum.saturating_add(*rank)))
    }

    pub fn is_done(&self) -> bool {
        self.now.as_ref().is_some_and(Partition::is_done)
    }

    /// Goes back to a cut, or to the beginning. False if that is none of its own, or the attempt no newer than its
    /// own: two that lead at once must not both believe that they were obeyed.
    pub fn go_back(&mut self, attempt: Attempt, to: u64) -> bool {
        if attempt <= self.attempt {
            return false;
        }
        let now = match self.cuts.iter().find(|cut| cut.iteration == to) {
            Some(cut) => Partition::at(self.number, &self.plan, to, cut.ranks.clone()),
            None if to == 0 => Partition::first(self.number, &self.plan),
            None => return false,
        };
        self.cuts.retain(|cut| cut.iteration <= to);
        (self.attempt, self.now, self.cut_at, self.has_started) = (attempt, Some(now), None, false);
        true
    }

    /// All have gone back. True the first time: its gifts are to be given.
    pub fn start(&mut self, attempt: Attempt) -> bool {
        let is_first = attempt == self.attempt && self.now.is_some() && !self.has_started;
        self.has_started |= is_first;
        is_first
    }

    /// One for each segment, this one among them: what its nodes give where it is.
    pub fn gifts(&self, links: &Links, is_cut: bool) -> Vec<Gift> {
        let gives = self.now.iter().filter(|now| !now.is_done()).flat_map(|now| now.gifts(links));
        gives.map(|give| Gift { attempt: self.attempt, is_cut, give }).collect()
    }

    /// Takes what a segment gives.
    pub fn take(&mut self, Gift { attempt, is_cut, give }: Gift) -> Taken {
        let Some(now) = self.now.as_mut().filter(|_| attempt == self.attempt) else { return Taken::Waits };
        if is_cut {
            self.cut_at = Some(give.iteration.saturating_add(1));
        }
        if !now.take(give) {
            return Taken::Waits;
        }
        let (iteration, ranks) = now.now();
        if self.cut_at != Some(iteration) {
            return Taken::Stepped;
        }
        self.cut_at = None;
        self.cuts.push_back(Cut { iteration, ranks: ranks.to_vec() });
        if self.cuts.len() > CUTS {
            self.cuts.pop_front();
        }
        Taken::Kept
    }
}

/// The newest iteration that all can go back to.
pub fn common_cut(all: &[Standing]) -> u64 {
    let has = |cut: &&u64| all.iter().all(|standing| standing.cuts.contains(cut));
    all.first().and_then(|first| first.cuts.iter().rev().find(has)).copied().unwrap_or(0)
}

/// An attempt that nobody was ever in: epochs are given out once, and rise.
pub fn next_attempt(all: &[Standing]) -> Attempt {
    let epoch = all.iter().map(|standing| standing.epoch).max().unwrap_or(0);
    let newest = all.iter().map(|standing| standing.attempt).max().unwrap_or_default();
    let first = Attempt { epoch, number: 1 };
    if first > newest { first } else { Attempt { number: newest.number.saturating_add(1), ..newest } }
}
