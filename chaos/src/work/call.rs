//! What clients asked, and what they were told.

use serde::Serialize;
use standin::{CallError, Outcome};
use tokio::task::JoinError;

use super::bank::Transfer;
use super::kinds::Access;
use super::names::{NameCall, NameEnd};
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

/// What a task came to that asked as a part of a process that may have been killed meanwhile.
pub type Asked<T> = Result<Result<T, CallError>, JoinError>;

/// A task that was killed with its process before it had an answer cannot say.
pub fn end_of<T>(asked: Asked<T>, value: impl FnOnce(T) -> u64) -> End {
    let (end, answer) = match asked {
        Ok(Ok(reply)) => (End::Done(value(reply)), Answer::Ok),
        Ok(Err(e)) if e.outcome == Outcome::NotExecuted => (End::Not, Answer::Not),
        _ => (End::Unknown, Answer::Unknown),
    };
    crate::trace::answered(answer);
    end
}

/// One request.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Call<T, E = End> {
    pub client: u32,
    pub actor: u32,
    pub what: T,
    /// Moments, as numbers that only rise; they order all calls and answers of a run.
    pub called: u64,
    pub ended: u64,
    pub end: E,
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
    pub names: Vec<Call<NameCall, NameEnd>>,
    pub transfers: Vec<Transfer>,
}

impl History {
    /// How many requests it holds.
    pub fn len(&self) -> usize {
        self.accesses.len() + self.orders.len() + self.names.len() + self.transfers.len()
    }
}
