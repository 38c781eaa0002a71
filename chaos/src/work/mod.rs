//! What the clients do all the while, and how it is judged at the end.

mod client;
mod judge;
mod kinds;
mod linear;

pub use client::{Clients, Desk, History};
pub use judge::judge;
pub use kinds::{Ledger, Register, entries, probe, register};
