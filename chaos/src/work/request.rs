//! What a client asks for, and how a peer carries it out: the same in a simulation and in a process.

use serde::{Deserialize, Serialize};
use standin::actor::ActorRef;
use standin::testing::Process;
use standin::{CallError, Outcome, Peer, Reason};
use std::future::Future;
use std::time::Duration;

use super::bank::Transfer;
use super::call::End;
use super::kinds::{Access, Enter, Ledger, Panic, Register};
use super::names::NameCall;
use super::purse::{Pay, purse};

/// An order to a ledger: its number, and whether its answer was to wait for a checkpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
    pub durable: bool,
}

/// One request of a client.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Request {
    pub actor: u32,
    pub what: What,
    pub deadline_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum What {
    Access(Access),
    Enter(Order),
    Panic,
    Name(NameCall),
    Pay(Pay),
    /// Lets a purse's handler panic.
    Shake,
    /// One half of a transfer.
    Book(Transfer, usize),
}

impl Request {
    /// How long the peer may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

/// A peer, as a client comes to it. The client is a part of the process that it asks: it freezes and dies with it,
/// and then nobody can say what became of its request.
pub trait Site: Clone + Send + Sync + 'static {
    /// Whether somebody is there to be asked.
    fn is_there(&self) -> bool {
        true
    }

    /// Asks.
    fn ask(&self, request: Request) -> impl Future<Output = End> + Send;
}

/// A simulated peer, and the process that it is.
impl Site for (Peer, Process) {
    fn is_there(&self) -> bool {
        !self.1.is_killed()
    }

    async fn ask(&self, request: Request) -> End {
        let (peer, process) = self.clone();
        let asked = process.spawn(async move { perform(&peer, request).await });
        asked.await.unwrap_or(End::Unknown)
    }
}

pub(super) fn end_of<T>(asked: Result<T, CallError>, value: impl FnOnce(T) -> u64) -> End {
    match asked {
        Ok(reply) => End::Done(value(reply)),
        Err(CallError { outcome: Outcome::NotExecuted, reason }) => match reason {
            Reason::AlreadyExists => End::Exists,
            Reason::NoSuchActor => End::Absent,
            _ => End::Not,
        },
        Err(_) => End::Unknown,
    }
}

/// Carries a request out.
pub async fn perform(peer: &Peer, request: Request) -> End {
    let (actor, deadline) = (request.actor, request.deadline());
    match request.what {
        What::Access(access) => {
            let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { return End::Not };
            end_of(peer.ask_durable(&to, access, deadline).await, |before| before)
        }
        What::Enter(Order { number, durable }) => {
            let Ok(to) = ActorRef::<Ledger>::new(format!("l{actor}")) else { return End::Not };
            let asked = match durable {
                true => peer.ask_durable(&to, Enter(number), deadline).await,
                false => peer.ask_within(&to, Enter(number), deadline).await,
            };
            end_of(asked, |()| 0)
        }
        What::Panic => {
            let Ok(to) = ActorRef::<Register>::new(format!("r{actor}")) else { return End::Not };
            end_of(peer.ask_within(&to, Panic, deadline).await, |()| 0)
        }
        What::Pay(pay) => {
            let Ok(to) = purse(actor) else { return End::Not };
            end_of(peer.ask_within(&to, pay, deadline).await, |()| 0)
        }
        What::Shake => {
            let Ok(to) = purse(actor) else { return End::Not };
            end_of(peer.ask_within(&to, Panic, deadline).await, |()| 0)
        }
        What::Name(call) => call.perform(peer, actor, deadline).await,
        What::Book(transfer, leg) => end_of(transfer.book(peer, leg, deadline).await, |()| 0),
    }
}
