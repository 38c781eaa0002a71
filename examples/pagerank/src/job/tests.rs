//! The job without any cluster: partitions and coordinator go back to older copies of themselves at
//! any moment, as after a failure, and the ranks still come out to the last bit.

use super::messages::Inputs;
use super::*;
use crate::graph::{Graph, parse};
use crate::rank::{ONE, Reference};

/// A few lines of xorshift: the same seed is the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn random_graph(dice: &mut Dice) -> Graph {
    let edge = |_| format!("n{}\tn{}\n", dice.roll(30), dice.roll(40));
    parse((0..120).map(edge).collect::<String>()).unwrap()
}

fn ranks_at(graph: &Graph, iteration: u64) -> Vec<u64> {
    let mut reference = Reference::new(graph);
    (0..iteration).for_each(|_| reference.step());
    reference.ranks().to_vec()
}

fn split(graph: &Graph, count: usize, remember: usize) -> (Vec<Partition>, Vec<Links>) {
    super::split(graph, count, remember).into_iter().unzip()
}

fn reply(partition: &mut Partition, links: &Links, question: Contribute) -> Reply {
    let given = partition.take(question).map(|ranks| links.give(ranks));
    partition.answer(given)
}

fn round(coordinator: &mut Coordinator, partitions: &mut [Partition], links: &[Links], until: u64) {
    let questions = coordinator.questions(until);
    let iteration = questions[0].iteration;
    let replies = partitions.iter_mut().zip(links).zip(questions);
    let replies = replies.map(|((partition, links), question)| reply(partition, links, question)).collect();
    coordinator.answers(iteration, replies);
}

fn gather(partitions: &[Partition], nodes: usize, iteration: u64) -> Vec<u64> {
    let count = partitions.len();
    (0..nodes).map(|node| partitions[node % count].at(iteration).unwrap()[node / count]).collect()
}

/// What a checkpoint and a restore make of an actor.
fn copy<T: serde::Serialize + serde::de::DeserializeOwned>(of: &T) -> T {
    serde_json::from_str(&serde_json::to_string(of).unwrap()).unwrap()
}

#[test]
fn supersteps_end_where_they_should() {
    let graph = random_graph(&mut Dice(7));
    let (mut partitions, links) = split(&graph, 4, 3);
    let mut coordinator = Coordinator::new(graph.len(), 4);
    (0..20).for_each(|_| round(&mut coordinator, &mut partitions, &links, 10));
    assert_eq!(coordinator.iteration(), 10);
    assert_eq!(gather(&partitions, graph.len(), 10), ranks_at(&graph, 10));
}

#[test]
fn more_partitions_than_nodes_is_no_trouble() {
    let graph = parse("a\tb\nb\tc\n").unwrap();
    let (mut partitions, links) = split(&graph, 8, 2);
    let mut coordinator = Coordinator::new(graph.len(), 8);
    (0..6).for_each(|_| round(&mut coordinator, &mut partitions, &links, 5));
    assert_eq!(gather(&partitions, 3, 5), ranks_at(&graph, 5));
}

/// `depth` says how many rounds old a restored copy may be. Past what partitions remember, the job
/// starts over; that too must end with the right ranks.
fn survives_rollbacks(seed: u64, depth: usize, remember: usize) {
    let mut dice = Dice(seed);
    let graph = random_graph(&mut dice);
    let (mut partitions, links) = split(&graph, 5, remember);
    let mut coordinator = Coordinator::new(graph.len(), 5);
    let mut older = vec![(coordinator.clone(), partitions.clone()); depth];
    let (mut rounds, mut failures) = (0, 0);
    loop {
        rounds += 1;
        assert!(rounds < 400, "seed {seed}: the job does not end");
        older.remove(0);
        older.push((coordinator.clone(), partitions.clone()));
        round(&mut coordinator, &mut partitions, &links, 12);
        if failures < 12 && dice.roll(3) == 0 {
            failures += 1;
            for (index, partition) in partitions.iter_mut().enumerate() {
                if dice.roll(2) == 0 {
                    *partition = copy(&older[dice.roll(depth as u64) as usize].1[index]);
                }
            }
            if dice.roll(2) == 0 {
                coordinator = copy(&older[dice.roll(depth as u64) as usize].0);
            }
        }
        let at = coordinator.iteration();
        if partitions.iter().all(|p| p.at(at).is_some()) {
            assert_eq!(gather(&partitions, graph.len(), at), ranks_at(&graph, at), "seed {seed}");
            if at >= 12 && failures == 12 {
                return;
            }
        }
    }
}

#[test]
fn restored_actors_change_no_bit_of_the_ranks() {
    for seed in 1..200 {
        survives_rollbacks(seed, 2, 4);
    }
}

#[test]
fn what_nobody_remembers_is_computed_again_from_the_start() {
    for seed in 1..200 {
        survives_rollbacks(seed, 5, 1);
    }
}

#[test]
fn the_same_question_twice_has_one_effect() {
    let graph = parse("a\tb\n").unwrap();
    let mut partition = split(&graph, 1, 2).0.remove(0);
    let question =
        Contribute { iteration: 1, inputs: Some(Inputs { received: vec![0, ONE], share: ONE / 2 }) };
    for _ in 0..3 {
        assert!(partition.take(question.clone()).is_some());
        assert_eq!(partition.newest(), (1, ranks_at(&graph, 1).as_slice()));
    }
}

#[test]
fn a_question_too_far_ahead_is_answered_with_where_it_is() {
    let graph = parse("a\tb\n").unwrap();
    let mut partition = split(&graph, 1, 2).0.remove(0);
    let inputs = Some(Inputs { received: vec![1, 2], share: 3 });
    assert!(partition.take(Contribute { iteration: 2, inputs }).is_none());
    let misfit = Some(Inputs { received: vec![1], share: 3 });
    let taken = partition.take(Contribute { iteration: 1, inputs: misfit });
    assert!(taken.is_none(), "inputs of another partition are not taken");
    let reply = partition.answer(None);
    assert_eq!((reply.oldest, reply.newest), (0, 0));
}

#[test]
fn a_checkpoint_holds_fewer_iterations_than_its_actor_remembers() {
    let graph = parse("a\tb\n").unwrap();
    let mut partition = split(&graph, 1, 2).0.remove(0);
    for iteration in 1..=9 {
        let inputs = Some(Inputs { received: vec![0, iteration], share: 0 });
        assert!(partition.take(Contribute { iteration, inputs }).is_some());
    }
    let window = |partition: &Partition| (partition.answer(None).oldest, partition.answer(None).newest);
    assert_eq!(window(&partition), (6, 9));
    assert_eq!(window(&copy(&partition)), (8, 9));
    assert_eq!(copy(&partition).at(8), partition.at(8));
}
