//! Clients: each asks one thing at a time, through whichever peer it comes to.

use standin::testing::Prng;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bank::Transfer;
use super::call::{Call, End, History};
use super::desk::{Desk, Ticks};
use super::kinds::Access;
use super::lock;
use super::names::{NameAct, NameCall};
use super::purse::Pay;
use super::request::{Order, Request, Site, What};
use crate::report::Answer;

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
    /// How many requests of a hundred let a handler panic.
    pub panics: u64,
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
            self.pause().await;
            let range = &self.work.actors;
            let actor = range.start + self.random.below(u64::from(range.end - range.start)) as u32;
            if self.random.chance(self.work.panics) {
                let whom = if self.random.chance(50) { What::Shake } else { What::Panic };
                self.ask(actor, whom).await;
                continue;
            }
            match self.random.below(100) {
                0..45 => self.access(actor).await,
                45..70 => self.enter(actor).await,
                70..85 => self.name(actor).await,
                85..92 => self.transfer(actor).await,
                _ => self.pay(actor).await,
            }
        }
    }

    async fn pause(&mut self) {
        let pause = self.random.below(self.work.pause_ms) + 1;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks through any peer that runs. None if none does.
    async fn ask(&mut self, actor: u32, what: What) -> Option<(u64, u64, End)> {
        let site = self.desk.any(&mut self.random)?;
        let deadline_ms = 500 + self.random.below(6000);
        let called = self.ticks.next();
        let end = site.ask(Request { actor, what, deadline_ms }).await;
        crate::trace::answered(match end {
            End::Done(_) => Answer::Ok,
            End::Unknown => Answer::Unknown,
            _ => Answer::Not,
        });
        Some((called, self.ticks.next(), end))
    }

    async fn access(&mut self, actor: u32) {
        let fresh = self.number();
        let what = match self.random.below(4) {
            0 => Access::Write(fresh),
            1 => Access::CompareAndSet(self.random.below(fresh), fresh),
            _ => Access::Read,
        };
        let Some((called, ended, end)) = self.ask(actor, What::Access(what)).await else { return };
        let call = Call { client: self.id, actor, what, called, ended, end };
        lock(&self.history).accesses.push(call);
    }

    async fn enter(&mut self, actor: u32) {
        let what = Order { number: self.number(), durable: self.random.chance(50) };
        let Some((called, ended, end)) = self.ask(actor, What::Enter(what)).await else { return };
        let call = Call { client: self.id, actor, what, called, ended, end };
        lock(&self.history).orders.push(call);
    }

    async fn name(&mut self, actor: u32) {
        let act = *self.random.pick(&[
            NameAct::Create,
            NameAct::Create,
            NameAct::Stop,
            NameAct::Find,
            NameAct::Find,
        ]);
        let generation = NameCall::generation(lock(&self.history).names.len());
        let what =
            NameCall { act, generation, number: self.number(), home: self.random.below(1000) as usize };
        let Some((called, ended, end)) = self.ask(actor, What::Name(what)).await else { return };
        let call = Call { client: self.id, actor, what, called, ended, end };
        lock(&self.history).names.push(call);
    }

    async fn pay(&mut self, actor: u32) {
        let among = (self.work.actors.start, self.work.actors.end);
        let to = among.0 + self.random.below(u64::from(among.1 - among.0)) as u32;
        let what = Pay { number: self.number(), to, among };
        let Some((called, ended, end)) = self.ask(actor, What::Pay(what)).await else { return };
        let call = Call { client: self.id, actor, what, called, ended, end };
        lock(&self.history).payments.push(call);
    }

    async fn transfer(&mut self, payer: u32) {
        let (first, accounts) = (self.work.actors.start, self.work.actors.len() as u32 + 1);
        let further = 1 + self.random.below(u64::from(accounts - 1)) as u32;
        let payee = first + (payer - first + further) % accounts;
        let amount = 1 + self.random.below(1000) as i64;
        let mut transfer = Transfer { number: self.number(), payer, payee, amount, done: [false; 2] };
        for leg in 0..transfer.done.len() {
            transfer.done[leg] = self.try_leg(transfer, leg).await;
        }
        lock(&self.history).transfers.push(transfer);
    }

    /// Some attempts at one half of a transfer, each through another peer. What is left is done at the end.
    async fn try_leg(&mut self, transfer: Transfer, leg: usize) -> bool {
        const ATTEMPTS: u32 = 3;
        for _ in 0..ATTEMPTS {
            let asked = self.ask(transfer.payer, What::Book(transfer, leg)).await;
            if asked.is_some_and(|(_, _, end)| matches!(end, End::Done(_))) {
                return true;
            }
            self.pause().await;
        }
        false
    }
}
