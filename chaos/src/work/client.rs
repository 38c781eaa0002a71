//! Clients: each asks one thing at a time, through whichever peer it comes to.

use standin::Peer;
use standin::actor::ActorRef;
use standin::testing::{Prng, Process};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bank::Transfer;
use super::call::{Call, History, Order, end_of};
use super::desk::Desk;
use super::kinds::{Access, Enter, Ledger, Panic, Register};
use super::lock;
use crate::plan::Plan;

/// Clients at work.
pub struct Clients {
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What one of them has.
pub(super) struct Client {
    pub(super) id: u32,
    desk: Desk,
    pub(super) random: Prng,
    clock: Arc<AtomicU64>,
    numbers: Arc<AtomicU64>,
    pub(super) history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    plan: Plan,
}

/// Through whom a request goes, to which actor, and how long it may take. The client is a part of the
/// process that it asks: it freezes and dies with it.
pub(super) struct Way {
    pub(super) peer: Peer,
    pub(super) process: Process,
    pub(super) actor: u32,
    pub(super) deadline: Duration,
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
            plan: plan.clone(),
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
            self.pause().await;
            let Some(way) = self.way() else { continue };
            if self.random.chance(self.plan.panics) {
                self.panic(way).await;
                continue;
            }
            match self.random.below(100) {
                0..45 => self.access(way).await,
                45..70 => self.enter(way).await,
                70..85 => self.name(way).await,
                _ => {
                    // It goes through others too, and a dead process must be let go of.
                    let payer = way.actor;
                    drop(way);
                    self.transfer(payer).await;
                }
            }
        }
    }

    pub(super) async fn pause(&mut self) {
        let pause = self.random.below(self.plan.pause_ms) + 1;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    pub(super) fn way(&mut self) -> Option<Way> {
        let (peer, process) = self.desk.any(&mut self.random)?;
        let actor = self.random.below(u64::from(self.plan.actors)) as u32;
        let deadline = Duration::from_millis(500 + self.random.below(6000));
        Some(Way { peer, process, actor, deadline })
    }

    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    async fn panic(&self, Way { peer, process, actor, deadline }: Way) {
        let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { return };
        drop(process.spawn(async move { peer.ask_within(&to, Panic, deadline).await }).await);
    }

    async fn access(&mut self, Way { peer, process, actor, deadline }: Way) {
        let fresh = self.number();
        let what = match self.random.below(4) {
            0 => Access::Write(fresh),
            1 => Access::CompareAndSet(self.random.below(fresh), fresh),
            _ => Access::Read,
        };
        let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { return };
        let called = self.tick();
        let asked = process.spawn(async move { peer.ask_durable(&to, what, deadline).await });
        let end = end_of(asked.await, |before| before);
        let call = Call { client: self.id, actor, what, called, ended: self.tick(), end };
        lock(&self.history).accesses.push(call);
    }

    async fn enter(&mut self, Way { peer, process, actor, deadline }: Way) {
        let what = Order { number: self.number(), durable: self.random.chance(50) };
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

    async fn transfer(&mut self, payer: u32) {
        let payee =
            (payer + 1 + self.random.below(u64::from(self.plan.actors)) as u32) % (self.plan.actors + 1);
        let amount = 1 + self.random.below(1000) as i64;
        let mut transfer = Transfer { number: self.number(), payer, payee, amount, done: [false; 2] };
        for leg in 0..transfer.done.len() {
            transfer.done[leg] = self.try_leg(&transfer, leg).await;
        }
        lock(&self.history).transfers.push(transfer);
    }

    /// Some attempts at one half of a transfer, each through another peer. What is left is done at the end.
    async fn try_leg(&mut self, transfer: &Transfer, leg: usize) -> bool {
        const ATTEMPTS: u32 = 3;
        for _ in 0..ATTEMPTS {
            let Some(Way { peer, process, deadline, .. }) = self.way() else { return false };
            let order = transfer.clone();
            let asked = process.spawn(async move { order.book(&peer, leg, deadline).await });
            if matches!(asked.await, Ok(Ok(()))) {
                return true;
            }
            self.pause().await;
        }
        false
    }
}
