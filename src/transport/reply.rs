//! The right to answer.

use std::fmt;
use std::sync::Arc;

use super::lane::{ID_BYTES, STATUS_DROPPED, STATUS_OK, STATUS_REFUSED, STATUS_REPLY_LOST};
use super::outlet::Outlet;
use super::wire::{Refusal, encode_refusal};

/// The right to answer one request, once. Dropped unused, it tells the caller that the outcome is unknown.
pub struct Reply {
    id: u64,
    outlet: Arc<Outlet>,
    is_answered: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Reply {
    pub(super) fn new(id: u64, outlet: Arc<Outlet>) -> Self {
        Self { id, outlet, is_answered: false }
    }

    /// Answers. Never waits; if the connection is gone nobody hears it. A body that is larger than a
    /// frame may be, or that finds too many bytes waiting, is replaced by an error that leaves the
    /// caller with an unknown outcome.
    pub fn send(mut self, body: Vec<u8>) {
        let bytes = body.len();
        if !self.outlet.charge(bytes) {
            return self.put(STATUS_REPLY_LOST, vec![], 0);
        }
        self.put(STATUS_OK, body, bytes);
    }

    /// Says that the request was not handled, and why.
    pub fn refuse(mut self, refusal: &Refusal) {
        self.put(STATUS_REFUSED, encode_refusal(refusal), 0);
    }

    fn put(&mut self, status: u8, body: Vec<u8>, bytes: usize) {
        self.is_answered = true;
        let mut head = [status; ID_BYTES + 1];
        if let Some(id) = head.first_chunk_mut::<ID_BYTES>() {
            *id = self.id.to_be_bytes();
        }
        self.outlet.send(&head, body, bytes);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_answered {
            self.put(STATUS_DROPPED, vec![], 0);
        }
    }
}
