//! Commands that are written together: a write costs every peer a sync and a few packets, whatever it
//! carries.

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::consensus::{ProposeError, refused};
use super::types::Raft;
use crate::core::command::{Command, Response};
use crate::core::proposal::Proposal;
use crate::gather::{CROWD, Gather, UnderWay};
use crate::limits::{GATHER_WRITES, MAX_BATCH_ITEMS, MAX_GATHERED_WRITES};

pub(super) type Written = Result<(u64, Response), ProposeError>;

/// A command, and who waits for its outcome.
type Waiting = (Proposal, oneshot::Sender<Written>);

/// Takes commands. The task behind it ends with the last clone.
#[derive(Clone)]
pub(super) struct Gatherer(mpsc::Sender<Waiting>);

impl Gatherer {
    pub(super) fn start(raft: Raft) -> Self {
        let (sender, queue) = mpsc::channel(MAX_GATHERED_WRITES);
        crate::task::spawn(run(raft, queue));
        Self(sender)
    }

    /// Writes a command soon, with others.
    pub(super) async fn write(&self, command: Proposal) -> Written {
        let (written, outcome) = oneshot::channel();
        let stopped = || ProposeError::Stopped("it was shut down".into());
        self.0.send((command, written)).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

async fn run(raft: Raft, mut queue: mpsc::Receiver<Waiting>) {
    let mut gather = Gather::new(GATHER_WRITES);
    let mut crowd = CROWD;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        let all_back = async {
            while batch.len() < crowd {
                let Some(next) = queue.recv().await else { return };
                batch.push(next);
            }
        };
        gather.company_or(all_back).await;
        while batch.len() < MAX_BATCH_ITEMS {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        // Few that carry much wait for others as long as they may: there is no telling how many there are.
        crowd = batch.len().max(CROWD);
        let under_way = gather.leave(batch.iter().map(|(command, _)| load(command)).sum());
        crate::task::spawn(write(raft.clone(), batch, under_way));
    }
}

/// How many creations and checkpoints a command carries.
fn load(command: &Command) -> usize {
    match command {
        Command::Create { items, .. } => items.len(),
        Command::Commit { items, .. } => items.len(),
        _ => 1,
    }
}

async fn write(raft: Raft, batch: Vec<Waiting>, _under_way: UnderWay) {
    let (commands, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let Ok(mut results) = raft.client_write_many(commands).await else { return };
    for waiting in waiting {
        // Dropped without an answer, it means the same.
        let Some(Ok(result)) = results.next().await else { return };
        let written = result.map(|written| (written.log_id.index, written.response));
        drop(waiting.send(written.map_err(|e| refused(&e))));
    }
}
