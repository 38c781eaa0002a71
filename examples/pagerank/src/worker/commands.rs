//! What the run can tell a peer to do.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::{join_all, try_join};
use standin::id::NodeId;
use standin::{CallError, Placement};

use super::Worker;
use super::actors::{Advance, Inspect, Read, coordinator_ref, partition_ref};
use crate::graph::Graph;
use crate::job::{self, Coordinator, Plan};
use crate::wire::{Command, Job, RANKS_PER_LINE, Report};

/// Actors that are created at once.
const CREATED_AT_ONCE: usize = 64;
/// How long the voters may take to be complete.
const VOTERS_DEADLINE: Duration = Duration::from_secs(60);
/// The library's default: with more peers, the rest do not vote.
const MAX_VOTERS: usize = 15;
/// Between two questions to an actor that did not answer.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// Between two questions to the coordinator how far the job is.
const PROGRESS_PAUSE: Duration = Duration::from_millis(10);

/// Does what it is told, and says what came of it.
pub async fn obey(worker: Worker, command: Command) {
    let done = match command {
        Command::Create { edges, nodes, job } => create(&worker, edges, &nodes, job).await,
        Command::Await { beyond } => advance(&worker, beyond).await.map_err(|error| error.to_string()),
        Command::Collect { partitions } => collect(&worker, partitions).await,
        Command::Probe { partition } => return probe(&worker, partition).await,
    };
    worker.say(done.unwrap_or_else(|error| Report::Failed { error })).await;
}

async fn create(worker: &Worker, edges: PathBuf, nodes: &[NodeId], job: Job) -> Result<Report, String> {
    // Before that, one death could leave no majority, and the run means to kill.
    let voters = nodes.len().min(MAX_VOTERS);
    let complete = |status: &standin::Status| status.members.values().filter(|m| m.votes).count() >= voters;
    worker.peer.wait_until(complete, VOTERS_DEADLINE).await.map_err(|error| error.to_string())?;
    let read = tokio::task::spawn_blocking(move || Graph::open(&edges)).await;
    let graph = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let Job { partitions, iterations, pace_ms } = job;
    let plan = Plan {
        nodes: graph.len() as u64,
        partitions,
        iterations,
        pace: Duration::from_millis(pace_ms),
        is_reliable: worker.is_reliable,
    };
    let mut parts = job::split(&graph, &plan).into_iter().enumerate();
    let on = |place: usize| {
        nodes.get(place).cloned().map(Placement::On).ok_or_else(|| "there are no peers".to_owned())
    };
    loop {
        let batch = parts.by_ref().take(CREATED_AT_ONCE).map(async |(number, (partition, links))| {
            let home = on(job::home_of(number, nodes.len()))?;
            let links = worker.peer.create_if_absent(number.to_string(), links, home.clone());
            let partition = worker.peer.create_if_absent(number.to_string(), partition, home);
            try_join(links, partition).await.map_err(|error| format!("partition {number}: {error}"))
        });
        let made = join_all(batch).await;
        if made.is_empty() {
            break;
        }
        made.into_iter().collect::<Result<Vec<_>, String>>()?;
    }
    let coordinator = Coordinator::new(partitions, worker.is_reliable);
    let home = on(job::home_of_coordinator(nodes.len()))?;
    let key = coordinator_ref().map_err(|error| error.to_string())?.key().to_owned();
    let made = worker.peer.create_if_absent(key, coordinator, home).await;
    made.map(|_| Report::Created).map_err(|error| format!("coordinator: {error}"))
}

/// Waits until all partitions are further than they were. The first time, this begins the job.
async fn advance(worker: &Worker, beyond: Option<u64>) -> Result<Report, CallError> {
    let coordinator = coordinator_ref()?;
    loop {
        let iteration = worker.peer.ask(&coordinator, Advance).await?;
        if beyond.is_none_or(|beyond| iteration > beyond) {
            return Ok(Report::Reached { iteration });
        }
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

async fn collect(worker: &Worker, partitions: usize) -> Result<Report, String> {
    for partition in 0..partitions {
        let fail = |what: &dyn std::fmt::Display| format!("partition {partition}: {what}");
        let actor = partition_ref(partition).map_err(|error| fail(&error))?;
        let mut first = 0;
        loop {
            let read = worker.peer.ask(&actor, Read { first }).await;
            let ranks = read.map_err(|error| fail(&error))?.ok_or_else(|| fail(&"it went back"))?;
            let (from, more) = (first, ranks.len() == RANKS_PER_LINE);
            first += ranks.len();
            worker.say(Report::Ranks { partition, first: from, ranks }).await;
            if !more {
                break;
            }
        }
    }
    Ok(Report::Collected)
}

/// Asks until there is an answer. The run ends this process if there never is.
async fn probe(worker: &Worker, partition: usize) {
    let Ok(actor) = partition_ref(partition) else { return };
    loop {
        if let Ok((iteration, sum)) = worker.peer.ask(&actor, Inspect).await {
            return worker.say(Report::Answer { partition, iteration, sum }).await;
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}
