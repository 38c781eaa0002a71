//! What the clients do all the while, and how it is judged at the end.

mod bank;
mod call;
mod cast;
mod client;
mod desk;
mod judge;
mod kinds;
mod linear;
pub mod names;
mod opinion;
mod purse;
pub mod ranks;
mod request;

pub use bank::Transfer;
pub use call::{Call, End, History};
pub use cast::{Cast, Member, move_to};
pub use client::{Clients, Work};
pub use desk::{Desk, Ticks};
pub use judge::{Found, judge};
pub use kinds::{Register, probe, register};
pub use names::NameCall;
pub use request::{Request, Site, perform};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
