//! What clients asked, and what they were told.

use serde::{Deserialize, Serialize};

use super::bank::Transfer;
use super::kinds::Access;
use super::names::NameCall;
use super::purse::Pay;
use super::request::Order;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum End {
    /// Answered: the value before, for an access; who made it, for a name that was found.
    Done(u64),
    /// Not executed: there is such an actor already.
    Exists,
    /// Not executed: there is no such actor.
    Absent,
    /// Not executed, it was said.
    Not,
    /// Nobody can say.
    Unknown,
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
    pub names: Vec<Call<NameCall>>,
    pub transfers: Vec<Transfer>,
    pub payments: Vec<Call<Pay>>,
}

impl History {
    /// How many requests it holds.
    pub fn len(&self) -> usize {
        self.accesses.len()
            + self.orders.len()
            + self.names.len()
            + self.transfers.len()
            + self.payments.len()
    }
}
