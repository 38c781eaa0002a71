//! Clients: each asks one thing at a time, through whichever peer it comes to.

use serde::Serialize;
use standin::actor::ActorRef;
use standin::testing::{Prng, Process};
use standin::{CallError, Outcome, Peer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinError;

use super::kinds::{Access, Enter, Ledger, Panic, Register};
use crate::plan::Plan;
use crate::report::Answer;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum End {
    /// Answered: the value before, for an access.
    Done(u64),
    /// Not executed, it was said.
    Not,
    /// Nobody can say.
    Unknown,
}

/// A task that asked, and was killed with its process before it had an answer, cannot say.
fn end_of<T>(asked: Result<Result<T, CallError>, JoinError>, value: impl FnOnce(T) -> u64) -> End {
    let (end, answer) = match asked {
        Ok(Ok(reply)) => (End::Done(value(reply)), Answer::Ok),
        Ok(Err(e)) if e.outcome == Outcome::NotExecuted => (End::Not, Answer::Not),
        _ => (End::Unknown, Answer::Unknown),
    };
    crate::trace::answered(answer);
    end
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Call<T> {
    pub client: u32,
    pub actor: u32,
    pub what: T,
    /// Moments, as numbers that only rise; they order all calls and answers of a run.
    pub called: u64,
    pub ended: u64,
    pub end: End,
}

/// An order to a ledger: its number, and whether its answer was to wait for a checkpoint.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Order {
    pub number: u64,
    pub durable: bool,
}

/// All requests of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    pub accesses: Vec<Call<Access>>,
    pub orders: Vec<Call<Order>>,
}

/// A running peer, and the process that it is.
type Running = (Peer, Process);

/// Where the running peers are to be found.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<Vec<Option<Running>>>>);

impl Desk {
    /// Says who runs now.
    pub fn set(&self, at: usize, who: Option<Running>) {
        let mut desk = lock(&self.0);
        if desk.len() <= at {
            desk.resize_with(at + 1, || None);
        }
        desk[at] = who;
    }

    fn any(&self, random: &mut Prng) -> Option<Running> {
        let desk = lock(&self.0);
        let running: Vec<_> = desk.iter().flatten().collect();
        if running.is_empty() { None } else { Some((*random.pick(&running)).clone()) }
    }
}

/// Clients at work.
pub struct Clients {
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Client {
    id: u32,
    desk: Desk,
    random: Prng,
    clock: Arc<AtomicU64>,
    numbers: Arc<AtomicU64>,
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    actors: u32,
    pause_ms: u64,
}

impl Clients {
    /// Starts them.
    pub fn start(plan: &Plan, desk: &Desk) -> Self {
        let (history, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (clock, numbers) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(1)));
        let client = |id| Client {
            id,
            desk: desk.clone(),
            random: Prng::new(plan.seed ^ (u64::from(id) << 40)),
            clock: Arc::clone(&clock),
            numbers: Arc::clone(&numbers),
            history: Arc::clone(&history),
            stop: Arc::clone(&stop),
            actors: plan.actors,
            pause_ms: plan.pause_ms,
        };
        let tasks = (0..plan.clients).map(|id| tokio::spawn(client(id).run())).collect();
        Self { history, stop, tasks }
    }

    /// Lets each finish what it does, and returns all that they did.
    pub async fn finish(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            drop(task.await);
        }
        lock(&self.history).clone()
    }
}

impl Client {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let pause = self.random.below(self.pause_ms) + 1;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let Some((peer, process)) = self.desk.any(&mut self.random) else { continue };
            let actor = self.random.below(u64::from(self.actors)) as u32;
            let deadline = Duration::from_millis(500 + self.random.below(6000));
            if self.random.chance(1) {
                let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { continue };
                drop(process.spawn(async move { peer.ask_within(&to, Panic, deadline).await }).await);
            } else if self.random.chance(60) {
                self.access(peer, &process, actor, deadline).await;
            } else {
                self.enter(peer, &process, actor, deadline).await;
            }
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    async fn access(&mut self, peer: Peer, process: &Process, actor: u32, deadline: Duration) {
        let fresh = self.numbers.fetch_add(1, Ordering::Relaxed);
        let what = match self.random.below(4) {
            0 => Access::Write(fresh),
            1 => Access::CompareAndSet(self.random.below(fresh), fresh),
            _ => Access::Read,
        };
        let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { return };
        let called = self.tick();
        // The client is a part of the process that it asks: it freezes and dies with it.
        let asked = process.spawn(async move { peer.ask_durable(&to, what, deadline).await });
        let end = end_of(asked.await, |before| before);
        let call = Call { client: self.id, actor, what, called, ended: self.tick(), end };
        lock(&self.history).accesses.push(call);
    }

    async fn enter(&mut self, peer: Peer, process: &Process, actor: u32, deadline: Duration) {
        let what =
            Order { number: self.numbers.fetch_add(1, Ordering::Relaxed), durable: self.random.chance(50) };
        let Ok(to) = ActorRef::<Ledger>::new(format!("l{actor}")) else { return };
        let called = self.tick();
        let asked = process.spawn(async move {
            match what.durable {
                true => peer.ask_durable(&to, Enter(what.number), deadline).await,
                false => peer.ask_within(&to, Enter(what.number), deadline).await,
            }
        });
        let end = end_of(asked.await, |()| 0);
        let call = Call { client: self.id, actor, what, called, ended: self.tick(), end };
        lock(&self.history).orders.push(call);
    }
}
