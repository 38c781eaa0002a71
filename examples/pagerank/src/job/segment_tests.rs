//! Segments without any cluster: checkpoints become durable when chance wants it, segments fail at any moment, and the
//! ranks come out to the last bit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::tests::{Dice, copy, plan, random_graph, ranks_at};
use super::*;
use crate::graph::Graph;

const COUNT: usize = 4;
const LAST: u64 = 24;

struct Job {
    segments: Vec<Segment>,
    links: Vec<Links>,
    /// What each would be restored with.
    durable: Vec<Segment>,
    /// Cuts whose checkpoint is on its way.
    saving: Vec<Option<Segment>>,
    under_way: BTreeMap<(usize, usize), VecDeque<Gift>>,
    now: Instant,
    epochs: Vec<u64>,
}

impl Job {
    fn new(graph: &Graph) -> Self {
        let plan = Plan { cut_every: Some(Duration::from_secs(1)), ..plan(graph, COUNT, LAST) };
        let segments: Vec<_> = (0..COUNT).map(|number| Segment::new(number, &plan)).collect();
        Self {
            durable: segments.clone(),
            segments,
            links: split(graph, COUNT),
            saving: vec![None; COUNT],
            under_way: BTreeMap::new(),
            now: Instant::now(),
            epochs: vec![1; COUNT],
        }
    }

    fn go_back(&mut self) {
        let standings =
            self.segments.iter().zip(&self.epochs).map(|(segment, epoch)| segment.standing(*epoch));
        let standings: Vec<_> = standings.collect();
        let (to, attempt) = (common_cut(&standings), next_attempt(&standings));
        for segment in &mut self.segments {
            assert!(segment.go_back(attempt, to) && !segment.go_back(attempt, to));
            segment.cutter = Cutter::new(segment.plan.cut_every, self.now);
        }
        for number in 0..COUNT {
            assert!(self.segments[number].start(attempt) && !self.segments[number].start(attempt));
            self.give(number);
        }
    }

    fn give(&mut self, from: usize) {
        let is_cut = from == 0 && self.segments[0].cutter.is_time(COUNT, self.now);
        for (to, gift) in self.segments[from].gifts(&self.links[from], is_cut).into_iter().enumerate() {
            self.under_way.entry((from, to)).or_default().push_back(gift);
        }
    }

    /// A message arrives, or a checkpoint becomes durable. False if there is neither.
    fn turn(&mut self, dice: &mut Dice) -> bool {
        self.now += Duration::from_millis(dice.roll(60));
        let some = dice.roll(COUNT as u64) as usize;
        if dice.roll(3) == 0
            && let Some(saved) = self.saving[some].take()
        {
            let is_current = saved.attempt() == self.segments[some].attempt();
            self.durable[some] = saved;
            if is_current {
                self.segments[0].cutter.settled();
            }
        }
        self.under_way.retain(|_, queue| !queue.is_empty());
        if self.under_way.is_empty() {
            return false;
        }
        let which = dice.roll(self.under_way.len() as u64) as usize;
        let (&(_, to), queue) = self.under_way.iter_mut().nth(which).unwrap();
        let taken = queue.pop_front().map(|gift| self.segments[to].take(gift)).unwrap();
        if taken == Taken::Kept {
            self.saving[to] = Some(self.segments[to].clone());
        }
        if taken != Taken::Waits {
            self.give(to);
        }
        true
    }

    fn fail(&mut self, number: usize) {
        self.saving[number] = None;
        self.segments[number] = copy(&self.durable[number]);
        self.epochs[number] = self.epochs.iter().max().unwrap() + 1;
    }
}

/// From which iterations they went on after failures.
fn run(seed: u64, failures: u64) -> Vec<u64> {
    let mut dice = Dice(seed);
    let graph = random_graph(&mut dice);
    let mut job = Job::new(&graph);
    let mut resumed = Vec::new();
    job.go_back();
    let mut left = failures;
    loop {
        let goes_on = job.turn(&mut dice);
        if left > 0 && (dice.roll(150) == 0 || !goes_on) {
            left -= 1;
            (0..=dice.roll(2)).for_each(|_| job.fail(dice.roll(COUNT as u64) as usize));
            // Messages of the attempt that ends are still under way, and come late.
            for _ in 0..dice.roll(20) {
                job.turn(&mut dice);
            }
            job.go_back();
            resumed.push(job.segments[0].now().0);
        } else if !goes_on {
            break;
        }
    }
    let ranks = |node: usize| job.segments[node % COUNT].now().1.unwrap()[node / COUNT];
    assert!(job.segments.iter().all(Segment::is_done), "seed {seed}");
    assert!((0..graph.len()).map(ranks).eq(ranks_at(&graph, LAST)), "seed {seed}");
    resumed
}

#[test]
fn without_failures_the_ranks_are_right() {
    run(1, 0);
}

#[test]
fn whatever_fails_whenever_the_ranks_are_right_and_not_all_is_done_again() {
    let resumed: Vec<u64> = (1..60).flat_map(|seed| run(seed, 3)).collect();
    assert!(resumed.iter().any(|iteration| *iteration > 5), "{resumed:?}");
}

#[test]
fn a_cut_that_somebody_lacks_is_not_gone_back_to() {
    let standing = |cuts: &[u64]| {
        let (attempt, cuts) = (Attempt::default(), cuts.to_vec());
        Standing { epoch: 1, attempt, has_started: true, iteration: 9, cuts }
    };
    assert_eq!(common_cut(&[standing(&[3, 6]), standing(&[3])]), 3);
    assert_eq!(common_cut(&[standing(&[3, 6]), standing(&[3, 6])]), 6);
    assert_eq!(common_cut(&[standing(&[3, 6]), standing(&[])]), 0);
}
