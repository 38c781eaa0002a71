//! Checkpoints: saved, copied to other peers, committed, restored, repaired, collected.
//!
//! The bytes never enter the Raft log. One checkpoint's way: an actor's loop hands over its state
//! (`save`), it is sealed (`sealed`), stored on this disk and streamed to others (`replicate`), and one
//! committed entry per flush makes the batch count. Back: `fetch` takes the nearest valid copy.
//! `repair` makes lost copies again, `collect` removes those that nothing can name any more.
//!
//! A large state is cut into chunks where its content says, and each chunk is named by its digest: what did
//! not change since the last checkpoint is neither written nor sent again. The copy is then the list of their
//! names (`manifest`), which is what the log knows by its digest. The chunks of each actor are its own
//! (`shelf`): nothing is shared between actors.

mod chunk;
mod collect;
mod content;
mod fetch;
mod gathered;
mod manifest;
mod outdated;
mod own;
mod repair;
mod replicate;
mod save;
mod sealed;
mod shelf;
mod wanted;

use std::io;
use std::time::Duration;

pub(crate) use content::Content;
pub(crate) use fetch::FetchError;
pub(crate) use outdated::Outdated;
pub(crate) use repair::Search;
pub(crate) use save::{SaveOrder, Saves};
pub(crate) use sealed::Cutting;
#[cfg(feature = "testing")]
pub(crate) use sealed::Sealed;
pub(crate) use shelf::Shelves;

use crate::limits::{SAVE_DEADLINE, SLOWEST_COPY_BYTES_PER_SECOND};

fn other(e: impl std::fmt::Display) -> io::Error {
    io::Error::other(e.to_string())
}

fn invalid(e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}

/// What so many bytes may take on top of what little ones may.
fn transfer(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_COPY_BYTES_PER_SECOND)
}

fn save_deadline(bytes: u64) -> Duration {
    SAVE_DEADLINE.saturating_add(transfer(bytes))
}
