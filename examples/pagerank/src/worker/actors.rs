//! The actors: three plain structs, and one handler for each message. There is nothing here about machines that die
//! ([`segments`](super::segments) are the other way to do it).

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use standin::CallError;
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, KindOf, Message, Outbox, Policy, When};

use crate::job::{Coordinator, Give, Links, Partition, Plan, Reached, generate};
use crate::wire::RANKS_PER_LINE;

/// A flag of this process decides how often its actors write checkpoints.
static CHECKPOINT_EVERY: AtomicU64 = AtomicU64::new(1);

/// Sets the messages from one checkpoint of a partition to the next, at most, for kinds that are registered from now
/// on; 0: none, for a job that has no partitions.
pub fn checkpoint_every(messages: u64) {
    CHECKPOINT_EVERY.store(messages, Ordering::Relaxed);
}

/// What these handlers send follows from what they get, in whatever order it comes.
fn policy() -> Policy {
    let checkpoint = match CHECKPOINT_EVERY.load(Ordering::Relaxed) {
        0 => When::Never,
        messages => When::EveryMessages(messages),
    };
    Policy { checkpoint, outbox: Outbox::Eager, ..Policy::default() }
}

/// Sends messages to actors.
///
/// # Panics
/// Where that cannot be done: the message that is being handled is handled again, a little later.
fn post<A: Actor, B: Handler<M>, M: Message>(
    ctx: &mut Context<A>,
    messages: impl IntoIterator<Item = (ActorRef<B>, M)>,
) {
    let mut messages = messages.into_iter();
    let sent = messages.try_for_each(|(to, message)| ctx.send(&to, message));
    sent.expect("a superstep's messages are few");
}

impl Actor for Partition {
    const KIND: &'static str = "partition";
    fn policy() -> Policy {
        policy()
    }
}

/// Gives to everybody what this partition's nodes give where it is, and says where that is.
async fn give(partition: &mut Partition, ctx: &mut Context<Partition>) {
    let links = links_of(partition.links.take(), &partition.plan, partition.number, ctx).await;
    let gifts = if partition.is_done() { Vec::new() } else { partition.gifts(&links) };
    partition.links = Some(links);
    post(ctx, partitions().zip(gifts));
    let reached = Reached { partition: partition.number, iteration: partition.now().0 };
    post(ctx, coordinator_ref().map(|coordinator| (coordinator, reached)));
}

/// The links of a partition or segment: those at hand, or those it can make, or those of the actor that has its name.
///
/// # Panics
/// If they are not to be had now: the message that is being handled is handled again, a little later.
pub(super) async fn links_of<A: Actor>(
    at_hand: Option<Links>,
    plan: &Plan,
    number: usize,
    ctx: &Context<A>,
) -> Links {
    let (rmat, count) = (plan.rmat, plan.partitions);
    let links = match (at_hand, rmat) {
        (Some(links), _) => Ok(links),
        (None, Some(rmat)) => {
            let made = tokio::task::spawn_blocking(move || generate(rmat, number, count)).await;
            made.map_err(|error| error.to_string())
        }
        (None, None) => fetch(ctx).await.map_err(|error| error.to_string()),
    };
    links.expect("links and partition live on one peer")
}

async fn fetch<A: Actor>(ctx: &Context<A>) -> Result<Links, CallError> {
    let links = ActorRef::<Links>::new(ctx.me().key()).map_err(invalid)?;
    ctx.peer().ask(&links, Fetch).await
}

/// Have your links at hand: the job is about to begin.
#[derive(Serialize, Deserialize)]
pub struct Prepare;

impl Message for Prepare {
    const NAME: &'static str = "prepare";
    type Reply = ();
}

impl Handler<Prepare> for Partition {
    async fn handle(&mut self, _: Prepare, ctx: &mut Context<Self>) {
        self.links = Some(links_of(self.links.take(), &self.plan, self.number, ctx).await);
    }
}

/// The next superstep begins: gives to all partitions.
#[derive(Serialize, Deserialize)]
pub struct Begin;

impl Message for Begin {
    const NAME: &'static str = "begin";
    type Reply = ();
}

impl Handler<Begin> for Partition {
    async fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) {
        give(self, ctx).await;
    }
}

impl Message for Give {
    const NAME: &'static str = "give";
    type Reply = ();
}

impl Handler<Give> for Partition {
    async fn handle(&mut self, given: Give, ctx: &mut Context<Self>) {
        if !self.take(given) {
            return;
        }
        let pace = self.plan.pace;
        if pace.is_zero() {
            return give(self, ctx).await;
        }
        ctx.schedule_durable(pace, Begin).expect("a partition sets one timer at a time");
    }
}

/// Never changes: the checkpoint of its creation is all it needs.
impl Actor for Links {
    const KIND: &'static str = "links";
    fn policy() -> Policy {
        Policy { checkpoint: When::Never, ..Policy::default() }
    }
}

/// All of it, for the partition of the same name.
#[derive(Serialize, Deserialize)]
pub struct Fetch;

impl Message for Fetch {
    const NAME: &'static str = "fetch";
    type Reply = Links;
}

impl Handler<Fetch> for Links {
    async fn handle(&mut self, _: Fetch, _: &mut Context<Self>) -> Links {
        self.clone()
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
        let (iteration, ranks) = self.now();
        (iteration, ranks.iter().fold(0, |sum, rank| sum.saturating_add(*rank)))
    }
}

/// Some of the ranks of the last iteration, if it is there: a line's worth from the place `first` on.
#[derive(Serialize, Deserialize)]
pub struct Read {
    pub first: usize,
}

impl Message for Read {
    const NAME: &'static str = "read";
    type Reply = Option<Vec<u64>>;
}

impl Handler<Read> for Partition {
    async fn handle(&mut self, Read { first }: Read, _: &mut Context<Self>) -> Option<Vec<u64>> {
        let (_, ranks) = self.now();
        self.is_done().then(|| ranks.iter().skip(first).take(RANKS_PER_LINE).copied().collect())
    }
}

impl Actor for Coordinator {
    const KIND: &'static str = "coordinator";
    fn policy() -> Policy {
        policy()
    }
}

/// Begin the job, if that was not done yet. The reply is the iteration that all partitions have reached.
#[derive(Serialize, Deserialize)]
pub struct Advance;

impl Message for Advance {
    const NAME: &'static str = "advance";
    type Reply = u64;
}

impl Handler<Advance> for Coordinator {
    async fn handle(&mut self, _: Advance, ctx: &mut Context<Self>) -> u64 {
        let everybody = self.begin();
        post(ctx, partitions().take(everybody.len()).map(|partition| (partition, Begin)));
        self.iteration()
    }
}

impl Message for Reached {
    const NAME: &'static str = "reached";
    type Reply = ();
}

impl Handler<Reached> for Coordinator {
    async fn handle(&mut self, reached: Reached, _: &mut Context<Self>) {
        self.note(&reached);
    }
}

/// All that a peer of this job can host, but segments.
pub fn kinds() -> (KindOf<Partition>, KindOf<Links>, KindOf<Coordinator>) {
    let partition = Kind::of().handles::<Prepare>().handles::<Begin>().handles::<Give>();
    let partition = partition.handles::<Inspect>().handles::<Read>();
    let coordinator = Kind::of().handles::<Advance>().handles::<Reached>();
    (partition, Kind::of().handles::<Fetch>(), coordinator)
}

/// The name of a partition.
pub fn partition_ref(partition: usize) -> Result<ActorRef<Partition>, CallError> {
    ActorRef::new(partition.to_string()).map_err(invalid)
}

/// The names of all partitions, without end.
fn partitions() -> impl Iterator<Item = ActorRef<Partition>> {
    (0..).map_while(|partition| partition_ref(partition).ok())
}

/// The name of the coordinator.
pub fn coordinator_ref() -> Result<ActorRef<Coordinator>, CallError> {
    ActorRef::new("the").map_err(invalid)
}

pub(super) fn invalid(error: standin::id::InvalidName) -> CallError {
    CallError::not_executed(standin::Reason::InvalidName(error.to_string()))
}
