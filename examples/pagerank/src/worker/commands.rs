//! What the run can tell a peer to do.

use std::time::Duration;

use futures_util::future::join_all;
use standin::actor::{ActorRef, Handler};
use standin::id::NodeId;
use standin::{CallError, Placement};

use super::actors::{Advance, Inspect, Prepare, Read, coordinator_ref, partition_ref};
use super::segments::segment_ref;
use super::{Worker, attempts};
use crate::graph::Graph;
use crate::job::{self, Coordinator, Links, Partition, Plan, Segment};
use crate::wire::{Command, Job, RANKS_PER_LINE, Report, Source};

/// Actors that are created at once.
const CREATED_AT_ONCE: usize = 64;
/// How long the voters may take to be complete.
const VOTERS_DEADLINE: Duration = Duration::from_secs(60);
/// The library's default: with more peers, the rest do not vote.
const MAX_VOTERS: usize = 15;
/// How long a partition may take to have its links at hand.
const PREPARE_DEADLINE: Duration = Duration::from_secs(300);
/// Between two questions to an actor that did not answer.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// Between two questions to the coordinator how far the job is.
const PROGRESS_PAUSE: Duration = Duration::from_millis(10);

/// Does what it is told, and says what came of it.
pub async fn obey(worker: Worker, command: Command) {
    let done = match command {
        Command::Create { source, nodes, job } => create(&worker, source, &nodes, job).await,
        Command::Await { beyond, partitions } => {
            let reached = match worker.is_reliable {
                true => advance(&worker, beyond).await,
                false => attempts::advance(&worker, partitions, beyond).await,
            };
            reached.map_err(|error| error.to_string())
        }
        Command::Collect { partitions } => collect(&worker, partitions).await,
        Command::Probe { partition } if worker.is_reliable => {
            return probe(&worker, partition, partition_ref(partition)).await;
        }
        Command::Probe { partition } => return probe(&worker, partition, segment_ref(partition)).await,
    };
    worker.say(done.unwrap_or_else(|error| Report::Failed { error })).await;
}

async fn create(worker: &Worker, source: Source, nodes: &[NodeId], job: Job) -> Result<Report, String> {
    // Before that, one death could leave no majority, and the run means to kill.
    let voters = nodes.len().min(MAX_VOTERS);
    let complete = |status: &standin::Status| status.members.values().filter(|m| m.votes).count() >= voters;
    worker.peer.wait_until(complete, VOTERS_DEADLINE).await.map_err(|error| error.to_string())?;
    let Job { partitions, iterations, pace_ms, jumps, cut_every_ms } = job;
    let plan = |nodes: usize| Plan {
        nodes: nodes as u64,
        partitions,
        iterations,
        pace: Duration::from_millis(pace_ms),
        rmat: source.rmat(),
        jumps,
        cut_every: cut_every_ms.map(Duration::from_millis),
    };
    // What is generated each partition generates for itself.
    let (plan, links) = match &source {
        Source::Rmat(rmat) => (plan(rmat.nodes()), vec![None; partitions]),
        Source::Edges(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || Graph::open(&path)).await;
            let graph = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            (plan(graph.len()), job::split(&graph, partitions).into_iter().map(Some).collect())
        }
    };
    let mut parts = links.into_iter().enumerate();
    loop {
        let batch = parts.by_ref().take(CREATED_AT_ONCE).map(async |(number, links)| {
            let home = on(nodes, job::home_of(number, nodes.len()))?;
            create_part(worker, number, links, &plan, home)
                .await
                .map_err(|error| format!("partition {number}: {error}"))
        });
        let made = join_all(batch).await;
        if made.is_empty() {
            break;
        }
        made.into_iter().collect::<Result<Vec<_>, String>>()?;
    }
    if worker.is_reliable {
        let home = on(nodes, job::home_of_coordinator(nodes.len()))?;
        let key = coordinator_ref().map_err(|error| error.to_string())?.key().to_owned();
        let made = worker.peer.create_if_absent(key, Coordinator::new(partitions), home).await;
        made.map_err(|error| format!("coordinator: {error}"))?;
    }
    Ok(Report::Created)
}

fn on(nodes: &[NodeId], place: usize) -> Result<Placement, String> {
    nodes.get(place).cloned().map(Placement::On).ok_or_else(|| "there are no peers".to_owned())
}

/// One partition: its links, if it cannot make them, and it, which gets them to hand.
async fn create_part(
    worker: &Worker,
    number: usize,
    links: Option<Links>,
    plan: &Plan,
    home: Placement,
) -> Result<(), CallError> {
    let (peer, key) = (&worker.peer, number.to_string());
    if let Some(links) = links {
        peer.create_if_absent(key.clone(), links, home.clone()).await?;
    }
    if worker.is_reliable {
        let partition = peer.create_if_absent(key, Partition::first(number, plan), home).await?;
        peer.ask_within(&partition, Prepare, PREPARE_DEADLINE).await
    } else {
        let segment = peer.create_if_absent(key, Segment::new(number, plan), home).await?;
        peer.ask_within(&segment, Prepare, PREPARE_DEADLINE).await
    }
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
        let read = match worker.is_reliable {
            true => read_out(worker, partition, partition_ref(partition)).await,
            false => read_out(worker, partition, segment_ref(partition)).await,
        };
        read.map_err(|error| format!("partition {partition}: {error}"))?;
    }
    Ok(Report::Collected)
}

async fn read_out<A: Handler<Read>>(
    worker: &Worker,
    partition: usize,
    actor: Result<ActorRef<A>, CallError>,
) -> Result<(), String> {
    let actor = actor.map_err(|error| error.to_string())?;
    let mut first = 0;
    loop {
        let read = worker.peer.ask(&actor, Read { first }).await;
        let ranks = read.map_err(|error| error.to_string())?.ok_or_else(|| "it went back".to_owned())?;
        let (from, more) = (first, ranks.len() == RANKS_PER_LINE);
        first += ranks.len();
        worker.say(Report::Ranks { partition, first: from, ranks }).await;
        if !more {
            return Ok(());
        }
    }
}

/// Asks until there is an answer. The run ends this process if there never is.
async fn probe<A: Handler<Inspect>>(
    worker: &Worker,
    partition: usize,
    actor: Result<ActorRef<A>, CallError>,
) {
    let Ok(actor) = actor else { return };
    loop {
        if let Ok((iteration, sum)) = worker.peer.ask(&actor, Inspect).await {
            return worker.say(Report::Answer { partition, iteration, sum }).await;
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}
