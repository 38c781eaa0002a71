//! The way back of one lane: replies gather here from whichever threads they come, and one writer sends them off.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quinn::SendStream;
use tokio::sync::{Notify, Semaphore};

use super::counters::{Counters, bump};
use super::frame::Batch;
use super::lane::{ID_BYTES, MAX_BODY_BYTES, STATUS_DROPPED, STATUS_OK, STATUS_REFUSED, STATUS_REPLY_LOST};
use super::lock;
use super::request::Quota;
use super::serve::Lanes;
use super::wire::{Lane, Refusal, encode_refusal};
use crate::limits::MAX_REQUESTS_IN_FLIGHT;

/// Short replies are copied into one buffer at once, so that a handler's thread frees what it took. There is always
/// room: a request keeps its slot until its reply is written.
pub(super) struct Outlet {
    waiting: Mutex<Waiting>,
    news: Notify,
    slots: Semaphore,
    /// In replies that wait.
    bytes: Quota,
    /// Those of a lane whose long replies take another one.
    lanes: Option<Arc<Lanes>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Waiting {
    full: VecDeque<(Vec<Bytes>, Owed)>,
    batch: Batch,
    owed: Owed,
    is_closed: bool,
}

/// What is given back when replies are written.
#[derive(Default)]
struct Owed {
    slots: usize,
    bytes: usize,
    /// To another lane, whose replies were long.
    loans: Vec<Loan>,
}

/// One reply's slot and bytes, given back when dropped.
struct Loan {
    of: Arc<Outlet>,
    bytes: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.of.give_back(1, self.bytes);
    }
}

impl Outlet {
    pub(super) fn new(lanes: Option<Arc<Lanes>>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            news: Notify::new(),
            slots: Semaphore::new(MAX_REQUESTS_IN_FLIGHT),
            bytes: Quota::default(),
            lanes,
            counters,
        })
    }

    /// The right to answer a request. A dialer has at most as many in flight as there are slots: one more waits here.
    pub(super) async fn admit(self: &Arc<Self>, id: u64) -> Option<Reply> {
        self.slots.acquire().await.ok()?.forget();
        Some(Reply { id, outlet: self.clone(), is_answered: false })
    }

    /// Writes what comes; returns why it cannot go on.
    pub(super) async fn write_to(&self, mut send: SendStream) -> quinn::WriteError {
        loop {
            let (mut chunks, owed) = self.next().await;
            if let Err(e) = send.write_all_chunks(&mut chunks).await {
                return e;
            }
            self.give_back(owed.slots, owed.bytes);
        }
    }

    /// Queues a reply. What it owes is given back when it is written, or will never be.
    fn push(&self, head: &[u8], body: Vec<u8>, owed: Owed) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            return drop(waiting);
        }
        let is_first = waiting.is_empty();
        waiting.make_room();
        waiting.owed.add(owed);
        let copied = waiting.batch.push_own(head, body);
        drop(waiting);
        if is_first {
            self.news.notify_one();
        }
        drop(copied);
    }

    async fn next(&self) -> (Vec<Bytes>, Owed) {
        loop {
            if let Some(next) = lock(&self.waiting).take() {
                return next;
            }
            self.news.notified().await;
        }
    }

    fn give_back(&self, slots: usize, bytes: usize) {
        self.bytes.give_back(bytes);
        self.slots.add_permits(slots);
    }

    /// Takes nothing more once what is returned is dropped: the stream has ended then, and its dialer closes the
    /// connection.
    pub(super) fn closing(self: &Arc<Self>) -> impl Drop + use<> {
        Closing(self.clone())
    }
}

struct Closing(Arc<Outlet>);

impl Drop for Closing {
    fn drop(&mut self) {
        let closed = Waiting { is_closed: true, ..Waiting::default() };
        let waiting = std::mem::replace(&mut *lock(&self.0.waiting), closed);
        drop(waiting);
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.batch.is_empty()
    }

    /// What is written next. Of more than one write takes it gives as much, so that what it owes is given back soon.
    fn take(&mut self) -> Option<(Vec<Bytes>, Owed)> {
        if let Some(full) = self.full.pop_front() {
            return Some(full);
        }
        (!self.batch.is_empty()).then(|| (self.batch.take(), std::mem::take(&mut self.owed)))
    }

    fn make_room(&mut self) {
        if self.batch.is_full() {
            let full = (self.batch.take(), std::mem::take(&mut self.owed));
            self.full.push_back(full);
        }
    }
}

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

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("slots", &self.slots.available_permits()).finish_non_exhaustive()
    }
}

impl Reply {
    /// Answers. Never waits; if the connection is gone nobody hears it. A body that is larger than a
    /// frame may be, or that finds too many bytes waiting, is replaced by an error that leaves the
    /// caller with an unknown outcome.
    pub fn send(mut self, body: Vec<u8>) {
        let bytes = body.len();
        if bytes > MAX_BODY_BYTES || !self.outlet.bytes.take(bytes) {
            bump(&self.outlet.counters.replies_lost);
            return self.put(STATUS_REPLY_LOST, vec![], 0);
        }
        self.put(STATUS_OK, body, bytes);
    }

    /// Says that the request was not handled, and why.
    pub fn refuse(mut self, refusal: &Refusal) {
        self.put(STATUS_REFUSED, encode_refusal(refusal), 0);
    }

    /// The way there is that of its length.
    fn put(&mut self, status: u8, body: Vec<u8>, bytes: usize) {
        self.is_answered = true;
        let is_heavy = Lane::of_message(body.len()) == Lane::Heavy;
        let lanes = self.outlet.lanes.as_ref().filter(|_| is_heavy);
        let head = self.head(status);
        match lanes.and_then(|lanes| lanes.heavy.get()) {
            Some(heavy) => heavy.push(
                &head,
                body,
                Owed { loans: vec![Loan { of: self.outlet.clone(), bytes }], ..Owed::default() },
            ),
            None => self.outlet.push(&head, body, Owed { slots: 1, bytes, loans: vec![] }),
        }
    }

    fn head(&self, status: u8) -> [u8; ID_BYTES + 1] {
        let mut head = [status; ID_BYTES + 1];
        if let Some(id) = head.first_chunk_mut::<ID_BYTES>() {
            *id = self.id.to_be_bytes();
        }
        head
    }
}

impl Owed {
    fn add(&mut self, other: Self) {
        self.slots += other.slots;
        self.bytes += other.bytes;
        self.loans.extend(other.loans);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_answered {
            self.put(STATUS_DROPPED, vec![], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HEAVY_MESSAGE_BYTES;

    fn free(outlet: &Outlet) -> (usize, bool) {
        let is_empty = outlet.bytes.take(crate::limits::MAX_QUEUED_BYTES);
        if is_empty {
            outlet.bytes.give_back(crate::limits::MAX_QUEUED_BYTES);
        }
        (MAX_REQUESTS_IN_FLIGHT - outlet.slots.available_permits(), is_empty)
    }

    #[tokio::test]
    async fn a_reply_keeps_its_slot_and_its_bytes_until_it_is_written_whichever_way_it_takes() {
        let lanes = Arc::new(Lanes::default());
        let heavy = Outlet::new(None, Arc::default());
        assert!(lanes.heavy.set(heavy.clone()).is_ok());
        let call = Outlet::new(Some(lanes), Arc::default());
        let closing = heavy.closing();
        for body in [vec![0; HEAVY_MESSAGE_BYTES], vec![0; HEAVY_MESSAGE_BYTES], vec![1]] {
            call.admit(7).await.unwrap().send(body);
        }
        assert_eq!(free(&call), (3, false));
        let (short, owed) = call.next().await;
        assert_eq!(short.concat(), [&[0, 0, 0, 10][..], &7_u64.to_be_bytes(), &[STATUS_OK, 1]].concat());
        call.give_back(owed.slots, owed.bytes);
        assert_eq!(free(&call), (2, false));
        // One write takes no more than the first long one.
        drop(heavy.next().await);
        assert_eq!(free(&call), (1, false));
        // The other is never written.
        drop(closing);
        assert_eq!(free(&call), (0, true));
        call.admit(8).await.unwrap().send(vec![0; HEAVY_MESSAGE_BYTES]);
        assert_eq!(free(&call), (0, true), "nobody writes there any more");
    }
}
