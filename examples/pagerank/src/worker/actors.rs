//! The actors: three plain structs, and one handler for each message. There is nothing here about
//! machines that die.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use standin::CallError;
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Policy, When};

use crate::job::{Contribute, Coordinator, Given, Links, Partition, Reply};
use crate::wire::RANKS_PER_LINE;

/// A flag of this process decides how often its actors write checkpoints.
static CHECKPOINT_EVERY: AtomicU64 = AtomicU64::new(1);

/// Sets the supersteps between two checkpoints, for kinds that are registered from now on; 0: none.
pub fn checkpoint_every(supersteps: u64) {
    CHECKPOINT_EVERY.store(supersteps, Ordering::Relaxed);
}

/// A superstep is one message to each actor.
fn policy() -> Policy {
    let checkpoint = match CHECKPOINT_EVERY.load(Ordering::Relaxed) {
        0 => When::Never,
        supersteps => When::EveryMessages(supersteps),
    };
    Policy { checkpoint, ..Policy::default() }
}

impl Actor for Partition {
    const KIND: &'static str = "partition";
    fn policy() -> Policy {
        policy()
    }
}

impl Message for Contribute {
    const NAME: &'static str = "contribute";
    type Reply = Reply;
}

impl Handler<Contribute> for Partition {
    async fn handle(&mut self, question: Contribute, ctx: &mut Context<Self>) -> Reply {
        let ranks = self.take(question).map(<[u64]>::to_vec);
        let given = match (ranks, ActorRef::new(ctx.me().key())) {
            (Some(ranks), Ok(links)) => ctx.peer().ask::<Links, _>(&links, Spread { ranks }).await.ok(),
            _ => None,
        };
        self.answer(given)
    }
}

/// Never changes: the checkpoint of its creation is all it needs.
impl Actor for Links {
    const KIND: &'static str = "links";
    fn policy() -> Policy {
        Policy { checkpoint: When::Never, ..Policy::default() }
    }
}

/// What do nodes of these ranks give? It comes from the partition of the same name.
#[derive(Serialize, Deserialize)]
pub struct Spread {
    pub ranks: Vec<u64>,
}

impl Message for Spread {
    const NAME: &'static str = "spread";
    type Reply = Given;
}

impl Handler<Spread> for Links {
    async fn handle(&mut self, Spread { ranks }: Spread, _: &mut Context<Self>) -> Given {
        self.give(&ranks)
    }
}

/// Where are you? The reply is the iteration, and the sum of the ranks there.
#[derive(Serialize, Deserialize)]
pub struct Inspect;

impl Message for Inspect {
    const NAME: &'static str = "inspect";
    type Reply = (u64, u64);
}

impl Handler<Inspect> for Partition {
    async fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> (u64, u64) {
        let (iteration, ranks) = self.newest();
        (iteration, ranks.iter().fold(0, |sum, rank| sum.saturating_add(*rank)))
    }
}

/// Some ranks of an iteration, if it remembers that: a line's worth from the place `first` on.
#[derive(Serialize, Deserialize)]
pub struct Read {
    pub iteration: u64,
    pub first: usize,
}

impl Message for Read {
    const NAME: &'static str = "read";
    type Reply = Option<Vec<u64>>;
}

impl Handler<Read> for Partition {
    async fn handle(&mut self, Read { iteration, first }: Read, _: &mut Context<Self>) -> Option<Vec<u64>> {
        let ranks = self.at(iteration)?;
        Some(ranks.iter().skip(first).take(RANKS_PER_LINE).copied().collect())
    }
}

impl Actor for Coordinator {
    const KIND: &'static str = "coordinator";
    fn policy() -> Policy {
        policy()
    }
}

/// One round: a question to every partition, and their answers.
#[derive(Serialize, Deserialize)]
pub struct Step {
    pub until: u64,
}

/// Where a round began and ended.
#[derive(Serialize, Deserialize)]
pub struct Stepped {
    pub from: u64,
    pub to: u64,
    pub calls_failed: u64,
    /// Why it ended where it began, if a call failed.
    pub stuck: Option<String>,
}

impl Message for Step {
    const NAME: &'static str = "step";
    type Reply = Stepped;
}

impl Handler<Step> for Coordinator {
    async fn handle(&mut self, Step { until }: Step, ctx: &mut Context<Self>) -> Stepped {
        let from = self.iteration();
        let questions = self.questions(until);
        let asked = questions.first().map_or(from, |question| question.iteration);
        let peer = ctx.peer();
        let calls = questions.into_iter().enumerate().map(async |(partition, question)| {
            let call = match partition_ref(partition) {
                Ok(actor) => peer.ask(&actor, question).await,
                Err(error) => Err(error),
            };
            call.map_err(|error| (partition, error))
        });
        let calls = join_all(calls).await;
        let failed: Vec<_> = calls.iter().filter_map(|call| call.as_ref().err()).collect();
        let calls_failed = failed.len() as u64;
        let stuck = failed.first().map(|(partition, error)| format!("partition {partition}: {error}"));
        if stuck.is_none() {
            self.answers(asked, calls.into_iter().flatten().collect());
        }
        Stepped { from, to: self.iteration(), calls_failed, stuck }
    }
}

/// The name of a partition.
pub fn partition_ref(partition: usize) -> Result<ActorRef<Partition>, CallError> {
    ActorRef::new(partition.to_string()).map_err(invalid)
}

/// The name of the coordinator.
pub fn coordinator_ref() -> Result<ActorRef<Coordinator>, CallError> {
    ActorRef::new("the").map_err(invalid)
}

fn invalid(error: standin::id::InvalidName) -> CallError {
    CallError::not_executed(standin::Reason::InvalidName(error.to_string()))
}
