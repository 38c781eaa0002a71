//! The same job without this library: a task for each partition, in one process, and channels between them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::RunArgs;
use crate::graph::Graph;
use crate::job::{Give, Links, Partition, Plan, generate};
use crate::rank;
use crate::run::cost::cpu_s;
use crate::wire::Source;

/// Messages that wait for one task, as in a mailbox.
const WAITING: usize = 1024;

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Of all ranks: the one that a run on peers prints.
    pub digest: String,
    /// For the supersteps alone.
    pub took: Duration,
    /// This process's processor time meanwhile.
    pub cpu_s: f64,
}

/// Ranks a generated graph.
///
/// # Errors
/// It is none, or a task panicked.
pub async fn run(args: &RunArgs) -> Result<Outcome, String> {
    let Source::Rmat(rmat) = args.source() else { return Err("only --rmat is run like this".to_owned()) };
    let (partitions, iterations) = (args.partitions as usize, args.iterations);
    let nodes = rmat.nodes();
    let plan = Plan {
        nodes: nodes as u64,
        partitions,
        iterations,
        pace: Duration::ZERO,
        rmat: Some(rmat),
        jumps: args.jumps(),
        cut_every: None,
    };
    let parts: Vec<_> = (0..partitions)
        .map(|number| (Partition::first(number, &plan), generate(rmat, number, partitions)))
        .collect();
    let (senders, queues): (Vec<_>, Vec<_>) = (0..partitions).map(|_| mpsc::channel(WAITING)).unzip();
    let (begin, cpu) = (Instant::now(), cpu_s(std::process::id()));
    let mut tasks = JoinSet::new();
    for ((partition, links), queue) in parts.into_iter().zip(queues) {
        tasks.spawn(steps(partition, links, queue, senders.clone()));
    }
    drop(senders);
    let mut done = Vec::new();
    while let Some(partition) = tasks.join_next().await {
        done.push(partition.map_err(|error| error.to_string())?);
    }
    let (took, cpu_s) = (begin.elapsed(), cpu_s(std::process::id()) - cpu);
    let mut ranks = vec![0; nodes];
    for partition in done {
        let places = ranks.iter_mut().skip(partition.number).step_by(partitions);
        places.zip(partition.now().1).for_each(|(place, rank)| *place = *rank);
    }
    Ok(Outcome { digest: rank::digest(&Graph::names_of(rmat), &ranks), took, cpu_s })
}

async fn steps(
    mut partition: Partition,
    links: Links,
    mut queue: mpsc::Receiver<Give>,
    all: Vec<mpsc::Sender<Give>>,
) -> Partition {
    while !partition.is_done() {
        for (to, gift) in all.iter().zip(partition.gifts(&links)) {
            // Who has ended needs nothing more.
            let _ = to.send(gift).await;
        }
        while let Some(gift) = queue.recv().await {
            if partition.take(gift) {
                break;
            }
        }
    }
    partition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[tokio::test]
    async fn tasks_come_to_the_ranks_of_a_single_process() {
        let rmat = crate::rmat::Rmat { scale: 8, seed: 5 };
        let graph = Graph::generate(rmat);
        let mut reference = rank::Reference::new(&graph, rank::Jumps::Topics(2));
        (0..7).for_each(|_| reference.step());
        let line = "pagerank --rmat 8 --seed 5 --partitions 5 --iterations 7 --topic-every 2";
        let outcome = run(&Cli::try_parse_from(line.split(' ')).unwrap().run).await.unwrap();
        assert_eq!(outcome.digest, rank::digest(graph.names(), reference.ranks()));
    }
}
