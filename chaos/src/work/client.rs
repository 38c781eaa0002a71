//! Clients: each asks one thing at a time, through whichever peer it comes to.

use serde::{Deserialize, Serialize};
use standin::testing::Prng;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::kinds::Access;
use super::request::{Order, Request, Site};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Answered: the value before, for an access.
    Done(u64),
    /// Not executed, it was said.
    Not,
    /// Nobody can say.
    Unknown,
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

/// All requests of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    pub accesses: Vec<Call<Access>>,
    pub orders: Vec<Call<Order>>,
}

/// Where the running peers are to be found.
pub struct Desk<S>(Arc<Mutex<Vec<Option<S>>>>);

impl<S> Default for Desk<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Site> Desk<S> {
    /// Says who runs now.
    pub fn set(&self, at: usize, who: Option<S>) {
        let mut desk = lock(&self.0);
        if desk.len() <= at {
            desk.resize_with(at + 1, || None);
        }
        desk[at] = who;
    }

    fn any(&self, random: &mut Prng) -> Option<S> {
        let desk = lock(&self.0);
        let running: Vec<_> = desk.iter().flatten().collect();
        if running.is_empty() { None } else { Some((*random.pick(&running)).clone()) }
    }
}

/// Gives every call and every answer its moment: a number that only rises.
#[derive(Clone)]
pub struct Ticks {
    last: Arc<AtomicU64>,
    /// A clock that the moments keep up with; without one they are mere numbers.
    now: fn() -> u64,
}

impl Ticks {
    /// Ticks that follow a clock.
    pub fn follow(now: fn() -> u64) -> Self {
        Self { last: Arc::default(), now }
    }

    fn next(&self) -> u64 {
        let now = (self.now)();
        let later = |last: u64| now.max(last + 1);
        let before = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last)));
        before.map_or(now, later)
    }
}

impl Default for Ticks {
    fn default() -> Self {
        Self::follow(|| 0)
    }
}

/// What clients do.
#[derive(Debug, Clone)]
pub struct Work {
    pub seed: u64,
    /// How many clients.
    pub clients: u32,
    /// The longest pause of each, in milliseconds.
    pub pause_ms: u64,
    /// The numbers of the actors.
    pub actors: std::ops::Range<u32>,
}

/// Clients at work.
pub struct Clients {
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Client<S> {
    id: u32,
    desk: Desk<S>,
    random: Prng,
    ticks: Ticks,
    numbers: Arc<AtomicU64>,
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    work: Work,
}

impl Clients {
    /// Starts them.
    pub fn start<S: Site>(work: &Work, desk: &Desk<S>, ticks: &Ticks) -> Self {
        let (history, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let numbers = Arc::new(AtomicU64::new(1));
        let client = |id| Client {
            id,
            desk: desk.clone(),
            random: Prng::new(work.seed ^ (u64::from(id) << 40)),
            ticks: ticks.clone(),
            numbers: Arc::clone(&numbers),
            history: Arc::clone(&history),
            stop: Arc::clone(&stop),
            work: work.clone(),
        };
        let tasks = (0..work.clients).map(|id| tokio::spawn(client(id).run())).collect();
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

    /// All that has ended until now.
    pub fn so_far(&self) -> History {
        lock(&self.history).clone()
    }
}

impl<S: Site> Client<S> {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let pause = self.random.below(self.work.pause_ms) + 1;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let Some(site) = self.desk.any(&mut self.random) else { continue };
            let range = &self.work.actors;
            let actor = range.start + self.random.below(u64::from(range.end - range.start)) as u32;
            let deadline_ms = 500 + self.random.below(6000);
            if self.random.chance(1) {
                site.ask(Request::Panic { actor, deadline_ms }).await;
            } else if self.random.chance(60) {
                self.access(site, actor, deadline_ms).await;
            } else {
                self.enter(site, actor, deadline_ms).await;
            }
        }
    }

    async fn access(&mut self, site: S, actor: u32, deadline_ms: u64) {
        let fresh = self.numbers.fetch_add(1, Ordering::Relaxed);
        let what = match self.random.below(4) {
            0 => Access::Write(fresh),
            1 => Access::CompareAndSet(self.random.below(fresh), fresh),
            _ => Access::Read,
        };
        let called = self.ticks.next();
        let end = site.ask(Request::Access { actor, what, deadline_ms }).await;
        let call = Call { client: self.id, actor, what, called, ended: self.ticks.next(), end };
        lock(&self.history).accesses.push(call);
    }

    async fn enter(&mut self, site: S, actor: u32, deadline_ms: u64) {
        let what =
            Order { number: self.numbers.fetch_add(1, Ordering::Relaxed), durable: self.random.chance(50) };
        let called = self.ticks.next();
        let end = site.ask(Request::Enter { actor, what, deadline_ms }).await;
        let call = Call { client: self.id, actor, what, called, ended: self.ticks.next(), end };
        lock(&self.history).orders.push(call);
    }
}
