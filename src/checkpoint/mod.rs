//! Checkpoints: saved, copied to other peers, committed, restored, repaired, collected.
//!
//! The bytes never enter the Raft log. One checkpoint's way: an actor's loop hands over its state
//! (`save`), it is sealed and stored on this disk and streamed to others (`replicate`), and one
//! committed entry per flush makes the batch count. Back: `fetch` takes the nearest valid copy.
//! `repair` makes lost copies again, `collect` removes those that nothing can name any more.

mod collect;
mod envelope;
mod fetch;
mod repair;
mod replicate;
mod save;

pub(crate) use envelope::Envelope;
pub(crate) use fetch::FetchError;
pub(crate) use save::{SaveOrder, Saves};
