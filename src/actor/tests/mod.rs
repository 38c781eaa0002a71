//! The runtime against a saver that plays the log, on a clock that the test turns.
//!
//! The tests run on one thread: what can happen without the test's doing has happened once every
//! other task had its turns ([`settle`]), so "nothing happens" needs no sleep.

mod calls;
mod cast;
mod checkpoints;
mod lease;
mod mail;
mod panics;
mod rig;
mod signals;
mod starts;
mod visits;
