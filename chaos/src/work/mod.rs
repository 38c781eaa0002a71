//! What the clients do all the while, and how it is judged at the end.

mod client;
mod judge;
mod kinds;
mod linear;
mod request;

pub use client::{Call, Clients, Desk, End, History, Ticks, Work};
pub use judge::judge;
pub use kinds::{Ledger, Register, entries, probe, register};
pub use request::{Request, Site, perform};
