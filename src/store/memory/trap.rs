//! Moments around a write at which its process dies.

use std::io;

use super::State;
use super::image::Write;
use crate::store::Slot;
use crate::store::error::Failure;
use crate::variants::variants;

variants! {
    /// A kind of write.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub enum WriteKind {
        /// Entries of the Raft log.
        Append,
        /// A conflicting end of the Raft log is removed.
        Truncate,
        /// The old part of the Raft log is removed.
        Purge,
        /// The Raft vote.
        Vote,
        /// How far the log is committed.
        Committed,
        /// The switch to another snapshot.
        Snapshot,
        /// Copies of checkpoints.
        Copies,
        /// Old copies are removed.
        DeleteCopies,
        /// Chunks of checkpoints.
        Chunks,
        /// Chunks that no copy names any more are removed.
        DeleteChunks,
        /// Whose disk this is.
        Identity,
    }

    /// All of them.
    pub const ALL;
}

impl WriteKind {
    pub(super) fn of(write: &Write) -> Self {
        match write {
            Write::Slot(Slot::Vote, _) => Self::Vote,
            Write::Slot(Slot::Committed, _) => Self::Committed,
            Write::Slot(Slot::Identity, _) | Write::Reset(_) => Self::Identity,
            Write::Slot(Slot::Purged, _) | Write::Purge(..) => Self::Purge,
            Write::Append(..) => Self::Append,
            Write::Truncate(_) => Self::Truncate,
            Write::Snapshot(..) => Self::Snapshot,
            Write::Copies(_) => Self::Copies,
            Write::DeleteCopies(_) => Self::DeleteCopies,
            Write::Chunks(..) => Self::Chunks,
            Write::DeleteChunks(..) => Self::DeleteChunks,
        }
    }
}

variants! {
    /// How far a write has come.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub enum Moment {
        /// It is about to be made.
        Before,
        /// It is made, and not durable.
        Made,
        /// It is durable, and nobody was told.
        Durable,
        /// It is durable, and who asked for it was told this instant.
        Told,
    }

    /// All of them.
    pub const ALL;
}

/// What a dead process's writes end with.
pub(super) fn crashed() -> io::Error {
    io::Error::other("the process has crashed")
}

/// Ends a process at such a moment.
pub(super) struct Trap {
    pub(super) kind: WriteKind,
    pub(super) moment: Moment,
    pub(super) spring: Box<dyn FnOnce() + Send>,
}

impl Trap {
    /// Ends the process. Returns what its last write ends with.
    pub(super) fn spring(self) -> io::Error {
        (self.spring)();
        crashed()
    }
}

impl State {
    /// The trap, if it is set for this. Nothing is written afterwards.
    pub(super) fn caught(&mut self, kind: WriteKind, moment: Moment) -> Option<Trap> {
        let trap = self.trap.take_if(|trap| trap.kind == kind && trap.moment == moment)?;
        self.failure.get_or_insert(Failure::new(&crashed()));
        Some(trap)
    }
}
