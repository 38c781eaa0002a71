//! Why a store does not open, and the first failure that stops an open one.

use std::io;
use std::path::PathBuf;

/// Why a store did not open. The directory is as it was found; nothing was repaired or dropped.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another store, of this process or another, has the directory open. Stop that one first.
    #[error("{} is in use by another peer", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Something that was stored reads back differently. Give the peer an empty directory: the
    /// cluster admits it as a new disk.
    #[error("{} is damaged: {what}; keep it aside and start with an empty directory", dir.display())]
    Corrupt {
        /// The directory.
        dir: PathBuf,
        /// What does not read back.
        what: String,
    },
    /// Writes that were acknowledged as durable are missing. This disk must not vote again: give
    /// the peer an empty directory.
    #[error(
        "{} has lost acknowledged writes: write {acknowledged} was durable, only {found} is there; \
         keep it aside and start with an empty directory", dir.display()
    )]
    LostWrites {
        /// The directory.
        dir: PathBuf,
        /// Number of the last write that was acknowledged.
        acknowledged: u64,
        /// Number of the last write that is readable.
        found: u64,
    },
    /// The operating system refused: no such path, no permission, no space.
    #[error("{} cannot be opened: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The first failure of a store, kept so that every later write can be refused with it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Failure {
    pub(super) fn new(first: &io::Error) -> Self {
        Self { kind: first.kind(), text: first.to_string() }
    }

    pub(super) fn error(&self) -> io::Error {
        let text = format!("the store takes no writes since one failed: {}", self.text);
        io::Error::new(self.kind, text)
    }
}

/// Something that was read is not what was written.
pub(super) fn corrupt(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A write that no store can take, whatever its state. It changes nothing and stops nothing.
pub(super) fn refused(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.into())
}

/// Too many writes wait for the disk. The write was not made; the store goes on.
pub(super) fn backlog_full() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "too many writes wait for the disk: it hangs or is too slow")
}
