//! The actors.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, Context, Handler, Kind, Message, Policy, When};
use standin::{Builder, Peer};
use std::time::Duration;

use super::bank::{Account, Book, Statement};
use super::names::{Name, WhoMadeYou};
use super::purse::{Count, Give, Pay, Purse};
use super::ranks::{Go, Hurry, Part, Share};

/// Holds one value.
#[derive(Serialize, Deserialize, Default)]
pub struct Register {
    value: u64,
}

impl Actor for Register {
    const KIND: &'static str = "register";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// What can be done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    Read,
    Write(u64),
    /// Writes the second if the first is there.
    CompareAndSet(u64, u64),
}

impl Message for Access {
    const NAME: &'static str = "access";
    /// The value before.
    type Reply = u64;
}

impl Access {
    /// The value after.
    pub fn apply(self, before: u64) -> u64 {
        match self {
            Access::Read => before,
            Access::Write(new) => new,
            Access::CompareAndSet(expected, new) => {
                if before == expected {
                    new
                } else {
                    before
                }
            }
        }
    }
}

impl Handler<Access> for Register {
    async fn handle(&mut self, access: Access, _: &mut Context<Self>) -> u64 {
        let before = self.value;
        self.value = access.apply(before);
        before
    }
}

/// Writes down every order that it executes.
#[derive(Serialize, Deserialize, Default)]
pub struct Ledger {
    entries: Vec<u64>,
}

impl Actor for Ledger {
    const KIND: &'static str = "ledger";
    fn policy() -> Policy {
        Policy { checkpoint: When::Every(Duration::from_millis(700)), copies: 2, ..Policy::default() }
    }
}

/// An order, each with a number of its own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Enter(pub u64);

impl Message for Enter {
    const NAME: &'static str = "enter";
    type Reply = ();
}

impl Handler<Enter> for Ledger {
    async fn handle(&mut self, Enter(number): Enter, _: &mut Context<Self>) {
        self.entries.push(number);
    }
}

/// All that was written down, in order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Entries;

impl Message for Entries {
    const NAME: &'static str = "entries";
    type Reply = Vec<u64>;
}

impl Handler<Entries> for Ledger {
    async fn handle(&mut self, Entries: Entries, _: &mut Context<Self>) -> Vec<u64> {
        self.entries.clone()
    }
}

/// Panics.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Panic;

impl Message for Panic {
    const NAME: &'static str = "panic";
    type Reply = ();
}

impl Handler<Panic> for Register {
    async fn handle(&mut self, Panic: Panic, _: &mut Context<Self>) {
        std::panic::resume_unwind(Box::new("as the plan wants it"));
    }
}

/// A peer that hosts all of these.
pub fn register(builder: Builder) -> Builder {
    builder
        .kind(Kind::of::<Register>().handles::<Access>().handles::<Panic>())
        .kind(Kind::of::<Ledger>().handles::<Enter>().handles::<Entries>())
        .kind(Kind::of::<Account>().handles::<Book>().handles::<Statement>())
        .kind(Kind::of::<Name>().handles::<WhoMadeYou>())
        .kind(Kind::of::<Purse>().handles::<Pay>().handles::<Give>().handles::<Count>().handles::<Panic>())
        .kind(Kind::of::<Part>().handles::<Go>().handles::<Share>().handles::<Hurry>().handles::<Panic>())
}

/// Asks a ledger, durably.
pub async fn entries(peer: &Peer, key: &str, deadline: Duration) -> Result<Vec<u64>, String> {
    let ledger = standin::actor::ActorRef::<Ledger>::new(key).map_err(|e| e.to_string())?;
    peer.ask_durable(&ledger, Entries, deadline).await.map_err(|e| e.to_string())
}

/// Whether an actor answers, and writes.
pub async fn probe(peer: &Peer, key: &str, deadline: Duration) -> Result<u64, String> {
    let register = standin::actor::ActorRef::<Register>::new(key).map_err(|e| e.to_string())?;
    peer.ask_durable(&register, Access::Read, deadline).await.map_err(|e| e.to_string())
}
