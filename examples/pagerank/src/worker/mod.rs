//! One peer process: joins the cluster, hosts actors, does what it is told, and says what it sees.
//! It ends when its standard input does, so it never outlives the run.

mod actors;
mod attempts;
mod commands;
mod events;
mod segments;
mod stdio;

use std::time::Duration;

use standin::Peer;
use standin::identity::Identity;
use tokio::sync::mpsc;

use crate::cli::WorkerArgs;
use crate::wire::Report;

/// Reports that may wait for the run to read them.
const REPORTS_WAITING: usize = 1024;
/// How long a peer asks for admission before it gives up. The run's own deadline comes first.
const JOIN_DEADLINE: Duration = Duration::from_secs(600);
/// How long a peer may take to stop in good order.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// What all tasks of this process share.
#[derive(Clone)]
struct Worker {
    peer: Peer,
    reports: mpsc::Sender<Report>,
    /// Whether the job is one of partitions, which send reliably; or of segments.
    is_reliable: bool,
}

impl Worker {
    async fn say(&self, report: Report) {
        let _ = self.reports.send(report).await;
    }
}

/// Runs one peer until the end of its standard input.
///
/// # Errors
/// It could not start.
pub async fn run(args: WorkerArgs) -> Result<(), String> {
    let (reports, queue) = mpsc::channel(REPORTS_WAITING);
    let mut commands = stdio::open(queue)?;
    let is_reliable = args.checkpoint_every > 0;
    let peer = start(args).await?;
    let worker = Worker { peer, reports, is_reliable };
    tokio::spawn(events::pass_on(worker.clone()));
    let addr = worker.peer.status().addr.ok_or("it does not listen")?;
    worker.say(Report::Listening { addr }).await;
    tokio::spawn(join(worker.clone()));
    while let Some(command) = commands.recv().await {
        tokio::spawn(commands::obey(worker.clone(), command));
    }
    let _ = tokio::time::timeout(STOP_DEADLINE, worker.peer.shutdown()).await;
    Ok(())
}

async fn start(args: WorkerArgs) -> Result<Peer, String> {
    let identity = Identity::load(&args.identity).map_err(|error| error.to_string())?;
    actors::checkpoint_every(args.checkpoint_every);
    let (partition, links, coordinator) = actors::kinds();
    Peer::builder(args.node)
        .identity(identity)
        .listen(args.listen)
        .contacts(args.contacts)
        .data_dir(args.data_dir)
        .bootstrap(args.bootstrap)
        .kind(partition)
        .kind(links)
        .kind(coordinator)
        .kind(segments::kind())
        .start()
        .await
        .map_err(|error| error.to_string())
}

async fn join(worker: Worker) {
    let report = match worker.peer.joined(JOIN_DEADLINE).await {
        Ok(()) => Report::Joined,
        Err(error) => Report::Fatal { error: format!("not admitted: {error}") },
    };
    worker.say(report).await;
}
