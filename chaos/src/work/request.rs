//! What a client asks for, and how a peer carries it out: the same in a simulation and in a process.

use serde::{Deserialize, Serialize};
use standin::actor::ActorRef;
use standin::testing::Process;
use standin::{CallError, Outcome, Peer};
use std::future::Future;
use std::time::Duration;

use super::client::End;
use super::kinds::{Access, Enter, Ledger, Panic, Register};

/// An order to a ledger: its number, and whether its answer was to wait for a checkpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
    pub durable: bool,
}

/// One request of a client.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Request {
    Access { actor: u32, what: Access, deadline_ms: u64 },
    Enter { actor: u32, what: Order, deadline_ms: u64 },
    Panic { actor: u32, deadline_ms: u64 },
}

impl Request {
    /// How long the peer may take.
    pub fn deadline(&self) -> Duration {
        let (Self::Access { deadline_ms, .. }
        | Self::Enter { deadline_ms, .. }
        | Self::Panic { deadline_ms, .. }) = self;
        Duration::from_millis(*deadline_ms)
    }
}

/// A peer, as a client comes to it. The client is a part of the process that it asks: it freezes and dies with it,
/// and then nobody can say what became of its request.
pub trait Site: Clone + Send + Sync + 'static {
    /// Asks.
    fn ask(&self, request: Request) -> impl Future<Output = End> + Send;
}

/// A simulated peer, and the process that it is.
impl Site for (Peer, Process) {
    async fn ask(&self, request: Request) -> End {
        let (peer, process) = self.clone();
        let asked = process.spawn(async move { perform(&peer, request).await });
        asked.await.unwrap_or(End::Unknown)
    }
}

fn end_of<T>(asked: Result<T, CallError>, value: impl FnOnce(T) -> u64) -> End {
    match asked {
        Ok(reply) => End::Done(value(reply)),
        Err(e) if e.outcome == Outcome::NotExecuted => End::Not,
        Err(_) => End::Unknown,
    }
}

fn register(actor: u32) -> Option<ActorRef<Register>> {
    ActorRef::new(format!("r{actor}")).ok()
}

/// Carries a request out.
pub async fn perform(peer: &Peer, request: Request) -> End {
    let deadline = request.deadline();
    match request {
        Request::Access { actor, what, .. } => {
            let Some(to) = register(actor) else { return End::Not };
            end_of(peer.ask_durable(&to, what, deadline).await, |before| before)
        }
        Request::Enter { actor, what, .. } => {
            let Ok(to) = ActorRef::<Ledger>::new(format!("l{actor}")) else { return End::Not };
            let entry = Enter(what.number);
            let asked = match what.durable {
                true => peer.ask_durable(&to, entry, deadline).await,
                false => peer.ask_within(&to, entry, deadline).await,
            };
            end_of(asked, |()| 0)
        }
        Request::Panic { actor, .. } => {
            let Some(to) = register(actor) else { return End::Not };
            end_of(peer.ask_within(&to, Panic, deadline).await, |()| 0)
        }
    }
}
