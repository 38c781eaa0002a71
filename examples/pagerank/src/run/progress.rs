//! How far the job is, told by what the speaking peer reports.

use crate::rank;
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
    /// The last iteration that was complete.
    pub iteration: u64,
    pub redone: u64,
    pub calls_failed: u64,
    /// Why the last command came to nothing, if it did.
    pub stuck: Option<String>,
    iterations: u64,
    /// The ranks of each partition, as far as they are here.
    ranks: Vec<Vec<u64>>,
    nodes: usize,
}

impl Progress {
    pub fn new(iterations: u64, partitions: usize, nodes: usize) -> Self {
        Self {
            phase: Phase::Starting,
            iteration: 0,
            redone: 0,
            calls_failed: 0,
            stuck: None,
            iterations,
            ranks: vec![Vec::new(); partitions],
            nodes,
        }
    }

    /// A round of the coordinator. What it went back by is to be done again: the coordinator itself
    /// when it starts from an older iteration, partitions when it ends there.
    pub fn stepped(&mut self, from: u64, to: u64, calls_failed: u64, stuck: Option<String>) {
        self.redone += self.iteration.saturating_sub(from) + from.saturating_sub(to);
        self.iteration = to;
        self.calls_failed = self.calls_failed.saturating_add(calls_failed);
        let complete = stuck.is_none();
        self.stuck = stuck;
        if complete && self.iteration >= self.iterations {
            self.phase = Phase::Collecting;
        }
    }

    /// The command came to nothing. Ranks may be missing because a partition went back after the last
    /// superstep; another round finds that out.
    pub fn failed(&mut self, error: String) {
        self.calls_failed += 1;
        self.stuck = Some(error);
        if self.phase == Phase::Collecting {
            self.phase = Phase::Stepping;
        }
    }

    /// The command that leads on from here.
    pub fn command(&self, create: impl FnOnce() -> Command) -> Option<Command> {
        match self.phase {
            Phase::Creating => Some(create()),
            Phase::Stepping => Some(Command::Step { until: self.iterations }),
            Phase::Collecting => {
                Some(Command::Collect { iteration: self.iterations, partitions: self.ranks.len() })
            }
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
    pub fn compute(graph: &crate::graph::Graph, iterations: u64, partitions: usize) -> Self {
        let mut reference = rank::Reference::new(graph);
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
    fn supersteps_are_redone_for_partitions_and_for_the_coordinator() {
        let mut progress = Progress::new(50, 1, 1);
        progress.phase = Phase::Stepping;
        progress.stepped(0, 1, 0, None);
        progress.stepped(1, 2, 0, None);
        assert_eq!((progress.iteration, progress.redone), (2, 0));
        progress.stepped(2, 1, 3, None);
        assert_eq!((progress.iteration, progress.redone), (1, 1), "a partition went back to 1");
        progress.stepped(1, 2, 0, None);
        progress.stepped(0, 1, 0, None);
        assert_eq!((progress.iteration, progress.redone), (1, 3), "the coordinator went back to 0");
        assert_eq!((progress.calls_failed, progress.phase), (3, Phase::Stepping));
        progress.stepped(1, 50, 0, None);
        assert_eq!(progress.phase, Phase::Collecting);
    }

    #[test]
    fn ranks_that_cannot_be_collected_are_computed_again() {
        let mut progress = Progress::new(2, 1, 1);
        progress.stepped(1, 2, 0, None);
        progress.failed("partition 0 went back".to_owned());
        assert_eq!(progress.phase, Phase::Stepping);
        progress.stepped(2, 1, 0, None);
        assert_eq!((progress.phase, progress.redone), (Phase::Stepping, 1));
        progress.stepped(1, 2, 0, Some("partition 0 is away".to_owned()));
        assert_eq!(progress.phase, Phase::Stepping);
        progress.stepped(2, 2, 0, None);
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
        let expected = Expected::compute(&parse("a\tb\nb\ta\nc\ta\n").unwrap(), 3, 2);
        assert!(expected.agrees(0, 0, 2 * ONE) && expected.agrees(1, 0, ONE));
        assert!(!expected.agrees(1, 0, 2 * ONE) && !expected.agrees(0, 1, 2 * ONE));
        assert!(!expected.agrees(0, 4, 2 * ONE) && !expected.agrees(2, 0, 0));
    }
}
