//! The job without any cluster: messages travel in any order but their senders', actors are put away and taken out
//! again at any moment, and the ranks come out to the last bit.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::*;
use crate::graph::{Graph, parse};
use crate::rank::{Jumps, Reference};

const JUMPS: Jumps = Jumps::Topics(5);

/// A few lines of xorshift: the same seed is the same run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

pub fn random_graph(dice: &mut Dice) -> Graph {
    let edge = |_| format!("n{}\tn{}\n", dice.roll(30), dice.roll(40));
    parse((0..120).map(edge).collect::<String>()).unwrap()
}

pub fn ranks_at(graph: &Graph, iteration: u64) -> Vec<u64> {
    let mut reference = Reference::new(graph, JUMPS);
    (0..iteration).for_each(|_| reference.step());
    reference.ranks().to_vec()
}

pub fn plan(graph: &Graph, partitions: usize, iterations: u64) -> Plan {
    let (nodes, pace) = (graph.len() as u64, Duration::ZERO);
    Plan { nodes, partitions, iterations, pace, rmat: None, jumps: JUMPS, cut_every: None }
}

fn parts(graph: &Graph, plan: &Plan) -> Vec<(Partition, Links)> {
    let links = split(graph, plan.partitions).into_iter().enumerate();
    links.map(|(number, links)| (Partition::first(number, plan), links)).collect()
}

/// What a checkpoint and a restore make of an actor.
pub fn copy<T: serde::Serialize + serde::de::DeserializeOwned>(of: &T) -> T {
    serde_json::from_str(&serde_json::to_string(of).unwrap()).unwrap()
}

/// All partitions with what is on its way between them.
struct Job {
    partitions: Vec<(Partition, Links)>,
    /// By sender and receiver.
    under_way: BTreeMap<(usize, usize), VecDeque<Give>>,
    coordinator: Coordinator,
}

impl Job {
    fn begun(graph: &Graph, count: usize, iterations: u64) -> Self {
        let partitions = parts(graph, &plan(graph, count, iterations));
        let coordinator = Coordinator::new(count);
        let mut job = Self { partitions, under_way: BTreeMap::new(), coordinator };
        job.coordinator.begin().for_each(|partition| job.spread(partition));
        job
    }

    fn spread(&mut self, from: usize) {
        let (partition, links) = &self.partitions[from];
        self.coordinator.note(&Reached { partition: from, iteration: partition.now().0 });
        if partition.is_done() {
            return;
        }
        for (to, give) in partition.gifts(links).into_iter().enumerate() {
            self.under_way.entry((from, to)).or_default().push_back(give);
        }
    }

    /// One message arrives. False if there is none.
    fn deliver(&mut self, dice: &mut Dice) -> bool {
        self.under_way.retain(|_, queue| !queue.is_empty());
        if self.under_way.is_empty() {
            return false;
        }
        let which = dice.roll(self.under_way.len() as u64) as usize;
        let (&(_, to), queue) = self.under_way.iter_mut().nth(which).unwrap();
        let give = queue.pop_front().unwrap();
        if self.partitions[to].0.take(give) {
            self.spread(to);
        }
        true
    }

    fn ranks(&self, nodes: usize) -> Vec<u64> {
        let count = self.partitions.len();
        (0..nodes).map(|node| self.partitions[node % count].0.now().1[node / count]).collect()
    }
}

fn run(seed: u64, count: usize) {
    let mut dice = Dice(seed);
    let graph = random_graph(&mut dice);
    let mut job = Job::begun(&graph, count, 12);
    while job.deliver(&mut dice) {
        let some = dice.roll(count as u64) as usize;
        job.partitions[some].0 = copy(&job.partitions[some].0);
        job.coordinator = copy(&job.coordinator);
    }
    assert_eq!(job.coordinator.iteration(), 12);
    assert_eq!(job.ranks(graph.len()), ranks_at(&graph, 12), "seed {seed}");
}

#[test]
fn the_order_of_messages_changes_no_bit_of_the_ranks() {
    for seed in 1..50 {
        run(seed, 4);
    }
}

#[test]
fn one_partition_and_more_than_there_are_nodes_are_no_trouble() {
    run(7, 1);
    run(7, 90);
}

#[test]
fn everybody_is_told_to_begin_once() {
    let mut coordinator = Coordinator::new(3);
    assert_eq!(coordinator.begin(), 0..3);
    assert_eq!(coordinator.begin(), 0..0);
    coordinator.note(&Reached { partition: 9, iteration: 1 });
    coordinator.note(&Reached { partition: 0, iteration: 1 });
    assert_eq!(coordinator.iteration(), 0, "the others have not moved");
}

#[test]
fn what_came_while_it_was_further_waits_until_it_is_there_again() {
    let graph = random_graph(&mut Dice(3));
    let mut parts = parts(&graph, &plan(&graph, 2, 9));
    let ((mut first, its_links), (mut second, links)) = (parts.remove(0), parts.remove(0));
    let checkpoint = copy(&first);
    let mut sent = Vec::new();
    for _ in 0..5 {
        let (own, theirs) = (first.gifts(&its_links), second.gifts(&links));
        sent.push((own[0].clone(), theirs[0].clone()));
        assert!(!first.take(own[0].clone()) && first.take(theirs[0].clone()));
        assert!(!second.take(own[1].clone()) && second.take(theirs[1].clone()));
    }
    let mut restored = checkpoint;
    assert!(sent.iter().all(|(_, theirs)| !restored.take(theirs.clone())));
    assert!(sent.iter().all(|(own, _)| restored.take(own.clone())));
    assert_eq!(restored.now(), first.now());
}

#[test]
fn what_is_too_late_or_beyond_the_end_or_for_another_graph_is_not_taken() {
    let graph = parse("a\tb\n").unwrap();
    let (mut partition, links) = parts(&graph, &plan(&graph, 1, 9)).remove(0);
    let give = partition.gifts(&links).remove(0);
    for iteration in [9, u64::MAX] {
        assert!(!partition.take(Give { iteration, ..give.clone() }));
    }
    let mut elsewhere = give.clone();
    elsewhere.shares.into = vec![u32::MAX];
    assert!(partition.take(elsewhere), "the place that it does not have is left out");
    assert!(!partition.take(give), "it is at iteration 1 now");
    assert_eq!(partition.now().0, 1);
}
