//! standin keeps a long job on many machines alive when machines die.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod actor;
mod checkpoint;
pub mod clock;
pub mod core;
mod error;
pub mod id;
pub mod identity;
pub mod limits;
mod peer;
#[allow(dead_code)]
mod raft;
pub mod store;
pub mod transport;

pub use error::{CallError, Outcome, Reason};
