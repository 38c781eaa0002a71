//! What the tests stand on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::cast::*;
use crate::actor::*;
use crate::clock::{Clock, Mono};
use crate::core::event::Event;
use crate::core::session::{Parcels, Receipt, Sender, Standing};
use crate::core::state::State;
use crate::core::watching::Seen;
use crate::error::CallError;
use crate::id::{ActorId, Epoch};

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Gives every other task its turns.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("within the test's patience")
}

#[derive(Default)]
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Mono {
        Mono(self.0.load(Ordering::SeqCst))
    }
}

type Answer = oneshot::Sender<Result<(), SaveError>>;

/// Plays the log: it knows the current epoch of each actor, and commits nothing of an older one.
#[derive(Default)]
pub struct FakeLog {
    pub by_hand: bool,
    inner: Mutex<LogInner>,
}

#[derive(Default)]
struct LogInner {
    epochs: BTreeMap<ActorId, Epoch>,
    committed: BTreeMap<ActorId, NewCheckpoint>,
    saves: VecDeque<(NewCheckpoint, Answer)>,
}

impl FakeLog {
    /// The next checkpoint that waits for the test's verdict.
    pub fn next(&self) -> Option<(NewCheckpoint, Answer)> {
        self.inner.lock().unwrap().saves.pop_front()
    }

    pub async fn await_next(&self) -> (NewCheckpoint, Answer) {
        soon(async {
            loop {
                match self.next() {
                    Some(next) => return next,
                    None => tokio::task::yield_now().await,
                }
            }
        })
        .await
    }

    /// What `apply` would do with it.
    pub fn commit(&self, checkpoint: NewCheckpoint) -> Result<(), SaveError> {
        let mut inner = self.inner.lock().unwrap();
        let newest = inner.committed.get(&checkpoint.actor).map(|c| (c.epoch, c.seq));
        if inner.epochs.get(&checkpoint.actor) != Some(&checkpoint.epoch) {
            return Err(SaveError::Fenced);
        }
        assert!(newest < Some((checkpoint.epoch, checkpoint.seq)), "invariant 5: seq only rises");
        inner.committed.insert(checkpoint.actor.clone(), checkpoint);
        Ok(())
    }

    pub fn committed(&self, id: &ActorId) -> Option<NewCheckpoint> {
        self.inner.lock().unwrap().committed.get(id).cloned()
    }

    /// A new activation: from here on nothing of an older epoch commits.
    pub fn activate(&self, id: &ActorId, epoch: Epoch) {
        let old = self.inner.lock().unwrap().epochs.insert(id.clone(), epoch);
        assert!(old < Some(epoch), "invariant 3: epochs only rise");
    }
}

/// Plays the other peers: reliable messages end here, and the test says what becomes of each batch.
#[derive(Default)]
pub struct FakePost {
    pub unknown: Mutex<BTreeSet<ActorId>>,
    pub over: Mutex<BTreeSet<Sender>>,
    pub events: Mutex<Vec<Event>>,
    pub directory: Mutex<State>,
    pub bells: Mutex<Vec<mpsc::Sender<()>>>,
    batches: Mutex<VecDeque<(Parcels, oneshot::Sender<Receipt>)>>,
    resolving: Mutex<VecDeque<oneshot::Sender<Resolved>>>,
}

/// The life of whatever exists.
pub const LIFE: u64 = 7;

impl FakePost {
    pub async fn await_batch(&self) -> (Parcels, oneshot::Sender<Receipt>) {
        soon(first(&self.batches)).await
    }

    pub async fn await_question(&self) -> oneshot::Sender<Resolved> {
        soon(first(&self.resolving)).await
    }

    pub fn is_idle(&self) -> bool {
        self.batches.lock().unwrap().is_empty()
    }
}

async fn first<T>(queue: &Mutex<VecDeque<T>>) -> T {
    loop {
        if let Some(first) = queue.lock().unwrap().pop_front() {
            return first;
        }
        tokio::task::yield_now().await;
    }
}

impl Post for FakePost {
    fn life_of(&self, actor: &ActorId) -> Option<u64> {
        (!self.unknown.lock().unwrap().contains(actor)).then_some(LIFE)
    }

    fn standing(&self, sender: &Sender) -> Standing {
        if self.over.lock().unwrap().contains(sender) { Standing::Over } else { Standing::Current }
    }

    fn resolve(&self, _: ActorId) -> BoxFuture<'static, Resolved> {
        let (answer, question) = oneshot::channel();
        self.resolving.lock().unwrap().push_back(answer);
        async { question.await.unwrap_or(Resolved::Later) }.boxed()
    }

    fn look(&self, actor: &ActorId) -> Option<Seen> {
        Seen::look(&self.directory.lock().unwrap(), actor)
    }

    fn watch(&self, _: &ActorId, bell: mpsc::Sender<()>) {
        self.bells.lock().unwrap().push(bell);
    }

    fn deliver(&self, parcels: Parcels) -> BoxFuture<'static, Receipt> {
        let (answer, receipt) = oneshot::channel();
        self.batches.lock().unwrap().push_back((parcels, answer));
        async { receipt.await.unwrap_or(Receipt::Later) }.boxed()
    }

    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

pub struct FakeSaver {
    log: Arc<FakeLog>,
    gate: Arc<Gate>,
    stage: Arc<Stage>,
    asked: mpsc::UnboundedSender<Asked>,
}

#[derive(Debug, PartialEq)]
pub enum Asked {
    Restart(ActorId, Epoch, String),
    Stop(ActorId, Epoch),
    Fail(ActorId, Epoch),
}

impl Saver for FakeSaver {
    fn save(&self, checkpoint: NewCheckpoint) -> oneshot::Receiver<Result<(), SaveError>> {
        if !self.gate.is_open() {
            self.stage.saved_while_shut.fetch_add(1, Ordering::SeqCst);
        }
        let (answer, result) = oneshot::channel();
        if self.log.by_hand {
            self.log.inner.lock().unwrap().saves.push_back((checkpoint, answer));
        } else {
            let _ = answer.send(self.log.commit(checkpoint));
        }
        result
    }

    fn restart(&self, actor: &ActorId, epoch: Epoch, panic: String) {
        self.asked.send(Asked::Restart(actor.clone(), epoch, panic)).unwrap();
    }

    fn fail(&self, actor: &ActorId, epoch: Epoch, _: String) {
        self.asked.send(Asked::Fail(actor.clone(), epoch)).unwrap();
    }

    fn stop(&self, actor: &ActorId, epoch: Epoch) {
        self.asked.send(Asked::Stop(actor.clone(), epoch)).unwrap();
    }
}

/// Sees how many polls of handlers of one actor run, per epoch.
#[derive(Default)]
pub struct Polls(pub Mutex<Vec<u64>>);

impl Observer for Polls {
    fn on_poll_begin(&self, _: &ActorId, epoch: Epoch) {
        self.0.lock().unwrap().push(epoch.0);
    }
    fn on_poll_end(&self, _: &ActorId, _: Epoch) {}
}

pub struct Rig {
    pub clock: Arc<HandClock>,
    pub gate: Arc<Gate>,
    pub log: Arc<FakeLog>,
    pub stage: Arc<Stage>,
    pub polls: Arc<Polls>,
    pub post: Arc<FakePost>,
    pub asked: mpsc::UnboundedReceiver<Asked>,
    pub host: Arc<Host>,
}

/// One actor that is awake under epoch 10, on a peer with a lease of an hour.
pub fn rig() -> Rig {
    build(false)
}

/// The same, where the test decides on each checkpoint.
pub fn rig_by_hand() -> Rig {
    build(true)
}

fn build(by_hand: bool) -> Rig {
    let clock = Arc::new(HandClock::default());
    clock.advance(Duration::from_secs(1000));
    let gate = Arc::new(Gate::new(clock.clone()));
    gate.extend(clock.now() + Duration::from_secs(3600));
    let (log, stage, polls) = (FakeLog { by_hand, ..FakeLog::default() }, Stage::default(), Polls::default());
    let (log, stage, polls) = (Arc::new(log), Arc::new(stage), Arc::new(polls));
    #[expect(clippy::disallowed_methods, reason = "a test saves a handful of checkpoints")]
    let (tx, asked) = mpsc::unbounded_channel();
    let saver = FakeSaver { log: log.clone(), gate: gate.clone(), stage: stage.clone(), asked: tx };
    let post = Arc::new(FakePost::default());
    let host = Arc::new(Host::new(World {
        kinds: Arc::new(kinds()),
        gate: gate.clone(),
        saver: Arc::new(saver),
        post: post.clone(),
        outside: {
            let stage = stage.clone();
            Box::new(move || stage.clone())
        },
        runtime: crate::task::Spawner::on(tokio::runtime::Handle::current()),
        observer: Some(polls.clone()),
    }));
    let rig = Rig { clock, gate, log, stage, polls, post, asked, host };
    rig.start(10, 0, &Tally::default()).unwrap();
    rig
}

fn kinds() -> Kinds {
    let mut kinds = Kinds::default();
    let tally = Kind::of::<Tally>().handles::<Push>().handles::<All>().handles::<Boom>();
    kinds
        .add(tally.handles::<Hold>().handles::<Save>().handles::<Quit>().handles::<super::visits::Who>())
        .unwrap();
    kinds.add(Kind::of::<EveryTwo>().handles::<Push>()).unwrap();
    kinds.add(Kind::of::<EveryTick>().handles::<Push>()).unwrap();
    kinds.add(Kind::of::<Forgetful>().handles::<Push>().handles::<Save>()).unwrap();
    kinds.add(Kind::of::<Slow>().handles::<Lapse>()).unwrap();
    super::mail::kinds().into_iter().for_each(|kind| kinds.add(kind).unwrap());
    kinds.add(super::signals::kind()).unwrap();
    kinds
}

pub fn id<A: Actor>() -> ActorId {
    ActorId::new(A::KIND, "it").unwrap()
}

/// A reference to it that remembers nothing yet.
pub fn at<A: Actor>() -> ActorRef<A> {
    ActorRef::named(id::<A>())
}

impl Rig {
    /// What the peer does once the log has decided: the epoch is current, the state is restored.
    pub fn start<A: Actor>(&self, epoch: u64, seq: u64, state: &A) -> Result<(), StartError> {
        let state = encode_state(state).unwrap();
        let start =
            Start { seq, kind_version: A::VERSION, state: &state, sessions: &[], life: LIFE, restored: None };
        self.host.start(id::<A>(), Epoch(epoch), start, || true)?;
        self.log.activate(&id::<A>(), Epoch(epoch));
        Ok(())
    }

    /// The log gives a panicked [`Tally`] a new epoch, and it is started from what is committed.
    pub fn restore(&self, epoch: u64) -> Tally {
        self.log.activate(&id::<Tally>(), Epoch(epoch));
        let found = self.log.committed(&id::<Tally>());
        let (seq, state, sessions) = match found {
            Some(c) => (c.seq, c.bytes, c.sessions),
            None => (0, encode_state(&Tally::default()).unwrap(), vec![]),
        };
        let start =
            Start { seq, kind_version: 1, state: &state, sessions: &sessions, life: LIFE, restored: None };
        self.host.start(id::<Tally>(), Epoch(epoch), start, || true).unwrap();
        Tally::decode(&state).unwrap()
    }

    pub fn ask<M: Message>(&self, message: M) -> Pending<M>
    where
        Tally: Handler<M>,
    {
        self.host.ask_local::<Tally, M>(&at::<Tally>(), message, false).map_err(|(_, r)| r).unwrap()
    }

    pub fn ask_durable<M: Message>(&self, message: M) -> Pending<M>
    where
        Tally: Handler<M>,
    {
        self.host.ask_local::<Tally, M>(&at::<Tally>(), message, true).map_err(|(_, r)| r).unwrap()
    }

    /// Also while it does not run: it waits in the mailbox.
    pub async fn ask_later<M: Message>(&self, message: M) -> Pending<M>
    where
        Tally: Handler<M>,
    {
        let asked = self.host.ask_local_waiting::<Tally, M>(&at::<Tally>(), message, false).await;
        asked.map_err(|(_, r)| r).unwrap()
    }

    pub async fn call<M: Message>(&self, message: M) -> Result<M::Reply, CallError>
    where
        Tally: Handler<M>,
    {
        reply(self.ask(message)).await
    }

    pub fn deliver(&self, name: &str, payload: &[u8], mode: Mode) -> Wire {
        let (tx, rx) = oneshot::channel();
        let reply = Box::new(move |result| drop(tx.send(result)));
        self.host.deliver(id::<Tally>().name(), name, payload, mode, reply).map_err(|(r, _)| r)?;
        Ok(rx)
    }

    /// Sends a [`Lapse`] from afar, and does `then` when its reply leaves: inside the loop's poll.
    pub fn deliver_lapse(&self, then: impl FnOnce() + Send + 'static) {
        let reply = Box::new(move |_: Result<Vec<u8>, CallError>| then());
        let payload = encode_message(&Lapse).unwrap();
        let delivered = self.host.deliver(id::<Slow>().name(), Lapse::NAME, &payload, Mode::Ask, reply);
        assert!(delivered.is_ok());
    }

    pub fn shut(&self) {
        self.clock.advance(Duration::from_secs(7200));
    }

    pub fn reopen(&self) {
        self.gate.extend(self.clock.now() + Duration::from_secs(3600));
    }
}

pub type Wire = Result<oneshot::Receiver<Result<Vec<u8>, CallError>>, Refused>;

/// What a caller waits for, here or at another peer.
pub trait Awaited<T> {
    async fn answer(self) -> Result<T, CallError>;
}

impl<T> Awaited<T> for oneshot::Receiver<Result<T, CallError>> {
    async fn answer(self) -> Result<T, CallError> {
        self.await.expect("every caller hears")
    }
}

impl<M: Message> Awaited<M::Reply> for Pending<M> {
    async fn answer(self) -> Result<M::Reply, CallError> {
        self.await.map_err(|no_reply| no_reply.0)
    }
}

pub async fn reply<T>(pending: impl Awaited<T>) -> Result<T, CallError> {
    soon(pending.answer()).await
}
