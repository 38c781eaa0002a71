//! standin keeps a long job on many machines alive when machines die.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod actor;
mod checkpoint;
pub mod clock;
pub(crate) mod core;
mod error;
mod gather;
pub mod id;
pub mod identity;
pub mod limits;
mod peer;
mod raft;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;
mod wire;

pub use core::event::Event;
pub use error::{CallError, Outcome, Reason};
pub use peer::{
    ActorStatus, Builder, MemberStatus, Peer, PhaseStatus, Placement, StartError, Status, Timing, WaitError,
};
