//! What a checkpoint holds.

use bytes::Bytes;

/// A checkpoint's content, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) kind_version: u32,
    pub(crate) state: Bytes,
    /// Its reliable messages: those taken, and those not arrived yet.
    pub(crate) sessions: Bytes,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.state.len().saturating_add(self.sessions.len())
    }
}
