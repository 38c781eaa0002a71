//! How far the job is, told by what the speaking peer reports.

use crate::graph::Graph;
use crate::rank::{self, Jumps};
use crate::wire::Command;

/// What the job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Peers start and join.
    Starting,
    /// The actors are being created.
    Creating,
    /// Supersteps.
    Stepping,
    /// The ranks are being fetched.
    Collecting,
    /// The ranks are here.
    Done,
}

#[derive(Debug)]
pub struct Progress {
    pub phase: Phase,
    /// The iteration that all partitions have reached, as far as is known.
    pub iteration: u64,
    pub calls_failed: u64,
    /// Why the last command came to nothing, if it did.
    pub stuck: Option<String>,
    iterations: u64,
    has_begun: bool,
    /// The ranks of each partition, as far as they are here.
    ranks: Vec<Vec<u64>>,
    nodes: usize,
}

impl Progress {
    pub fn new(iterations: u64, partitions: usize, nodes: usize) -> Self {
        Self {
            phase: Phase::Starting,
            iteration: 0,
            calls_failed: 0,
            stuck: None,
            iterations,
            has_begun: false,
            ranks: vec![Vec::new(); partitions],
            nodes,
        }
    }

    /// All partitions have got somewhere. A failure may make them say less than before, for a moment: what they said
    /// before comes true again.
    pub fn reached(&mut self, iteration: u64) {
        self.has_begun = true;
        self.iteration = self.iteration.max(iteration);
        self.stuck = None;
        if self.iteration >= self.iterations {
            self.phase = Phase::Collecting;
        }
    }

    /// The command came to nothing, and is told again.
    pub fn failed(&mut self, error: String) {
        self.calls_failed += 1;
        self.stuck = Some(error);
    }

    /// The command that leads on from here.
    pub fn command(&self, create: impl FnOnce() -> Command) -> Option<Command> {
        match self.phase {
            Phase::Creating => Some(create()),
            Phase::Stepping => {
                let beyond = self.has_begun.then_some(self.iteration);
                Some(Command::Await { beyond, partitions: self.ranks.len() })
            }
            Phase::Collecting => Some(Command::Collect { partitions: self.ranks.len() }),
            Phase::Starting | Phase::Done => None,
        }
    }

    /// Some ranks of one partition. What is told again replaces what was told before.
    pub fn ranks(&mut self, partition: usize, first: usize, ranks: &[u64]) {
        if let Some(known) = self.ranks.get_mut(partition)
            && known.len() >= first
            && first + ranks.len() <= self.nodes
        {
            known.truncate(first);
            known.extend_from_slice(ranks);
        }
    }

    /// All ranks by number of node.
    ///
    /// # Errors
    /// Some are missing.
    pub fn all_ranks(&self) -> Result<Vec<u64>, String> {
        let count = self.ranks.len();
        let rank = |node: usize| self.ranks.get(node % count)?.get(node / count).copied();
        let all: Option<Vec<u64>> = (0..self.nodes).map(rank).collect();
        all.ok_or_else(|| "some ranks are missing".to_owned())
    }
}

/// For every iteration, the sum of the ranks of each partition.
pub struct Expected {
    sums: Vec<Vec<u64>>,
    pub digest: String,
}

impl Expected {
    /// Computes the whole job in this process alone.
    pub fn compute(graph: &Graph, jumps: Jumps, iterations: u64, partitions: usize) -> Self {
        let mut reference = rank::Reference::new(graph, jumps);
        let sums_of = |ranks: &[u64]| {
            let sum = |p| ranks.iter().skip(p).step_by(partitions).sum();
            (0..partitions).map(sum).collect::<Vec<u64>>()
        };
        let mut sums = vec![sums_of(reference.ranks())];
        for _ in 0..iterations {
            reference.step();
            sums.push(sums_of(reference.ranks()));
        }
        Self { sums, digest: rank::digest(graph.names(), reference.ranks()) }
    }

    /// Whether a partition says of itself what is true.
    pub fn agrees(&self, partition: usize, iteration: u64, sum: u64) -> bool {
        let sums = usize::try_from(iteration).ok().and_then(|i| self.sums.get(i));
        sums.and_then(|sums| sums.get(partition)) == Some(&sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parse;
    use crate::rank::ONE;

    #[test]
    fn what_was_reached_is_not_taken_back() {
        let mut progress = Progress::new(50, 1, 1);
        progress.phase = Phase::Stepping;
        let beyond = |progress: &Progress| match progress.command(|| unreachable!("created")) {
            Some(Command::Await { beyond, .. }) => beyond,
            other => panic!("{other:?}"),
        };
        assert_eq!(beyond(&progress), None, "nobody was told to begin");
        progress.reached(0);
        progress.reached(2);
        progress.failed("the coordinator is away".to_owned());
        progress.reached(1);
        assert_eq!((progress.iteration, beyond(&progress)), (2, Some(2)));
        assert_eq!((progress.calls_failed, &progress.stuck), (1, &None));
        progress.reached(50);
        assert_eq!(progress.phase, Phase::Collecting);
        progress.failed("partition 0 is away".to_owned());
        assert_eq!(progress.phase, Phase::Collecting);
    }

    #[test]
    fn ranks_come_together_from_all_partitions() {
        let mut progress = Progress::new(1, 2, 5);
        progress.ranks(0, 0, &[10, 12]);
        progress.ranks(0, 2, &[14]);
        assert!(progress.all_ranks().is_err());
        progress.ranks(1, 0, &[11, 99]);
        progress.ranks(1, 1, &[13]);
        progress.ranks(7, 0, &[1]);
        progress.ranks(1, 9, &[1]);
        assert_eq!(progress.all_ranks().unwrap(), [10, 11, 12, 13, 14]);
    }

    #[test]
    fn an_answer_is_right_only_for_its_partition_and_iteration() {
        let expected = Expected::compute(&parse("a\tb\nb\ta\nc\ta\n").unwrap(), Jumps::Anywhere, 3, 2);
        assert!(expected.agrees(0, 0, 2 * ONE) && expected.agrees(1, 0, ONE));
        assert!(!expected.agrees(1, 0, 2 * ONE) && !expected.agrees(0, 1, 2 * ONE));
        assert!(!expected.agrees(0, 4, 2 * ONE) && !expected.agrees(2, 0, 0));
    }
}
