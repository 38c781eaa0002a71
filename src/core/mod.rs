//! The pure core: every decision of the protocol as a value-in, value-out step.
//!
//! Nothing here does I/O, reads a clock, draws a random number or iterates a hash map, so that each
//! rule can be tested in virtual time and every peer that applies the same log reaches the same state.

pub mod apply;
pub mod command;
pub mod disks;
pub mod event;
pub mod history;
pub(crate) mod hosting;
pub mod lease;
mod line;
pub mod lines;
pub mod placement;
pub mod probe;
pub mod proposal;
pub mod restores;
pub mod session;
pub mod state;
pub mod voters;
pub mod watching;

#[cfg(test)]
mod apply_random;
#[cfg(test)]
mod scenarios;
