//! The way back of one lane: replies gather here from whichever threads they come, and one writer sends them off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quinn::SendStream;
use tokio::sync::{Notify, Semaphore};

use super::counters::{Counters, bump};
use super::frame::Batch;
use super::lane::MAX_BODY_BYTES;
use super::lock;
use super::reply::Reply;
use super::request::Quota;
use super::serve::Lanes;
use super::wire::Lane;
use crate::limits::MAX_REQUESTS_IN_FLIGHT;

/// Short replies are copied into one buffer at once, so that a handler's thread frees what it took. There is always
/// room: a request keeps its slot until its reply is written.
pub(super) struct Outlet {
    gathered: Mutex<Gathered>,
    news: Notify,
    slots: Semaphore,
    /// In replies that wait.
    bytes: Quota,
    /// Those of a lane whose long replies take another one.
    lanes: Option<Arc<Lanes>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Gathered {
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

impl Owed {
    fn add(&mut self, other: Self) {
        self.slots += other.slots;
        self.bytes += other.bytes;
        self.loans.extend(other.loans);
    }
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
            gathered: Mutex::default(),
            news: Notify::new(),
            slots: Semaphore::new(MAX_REQUESTS_IN_FLIGHT),
            bytes: Quota::default(),
            lanes,
            counters,
        })
    }

    /// The right to answer a request. A dialer has at most as many in flight as there are slots: one more waits here.
    pub(super) async fn admit(self: &Arc<Self>, id: u64) -> Option<Reply> {
        match self.slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(_) => self.slots.acquire().await.ok()?.forget(),
        }
        Some(Reply::new(id, self.clone()))
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

    /// Reserves room for the bytes of a reply. False: they are too many, and its caller will not have it.
    pub(super) fn charge(&self, bytes: usize) -> bool {
        let has_room = bytes <= MAX_BODY_BYTES && self.bytes.take(bytes);
        if !has_room {
            bump(&self.counters.replies_lost);
        }
        has_room
    }

    /// Sends a reply off, long ones by the other lane. So many bytes were reserved for it.
    pub(super) fn send(self: &Arc<Self>, head: &[u8], body: Vec<u8>, bytes: usize) {
        let is_heavy = Lane::of_message(body.len()) == Lane::Heavy;
        let lanes = self.lanes.as_ref().filter(|_| is_heavy);
        match lanes.and_then(|lanes| lanes.heavy.get()) {
            Some(heavy) => {
                let loans = vec![Loan { of: self.clone(), bytes }];
                heavy.push(head, body, Owed { loans, ..Owed::default() });
            }
            None => self.push(head, body, Owed { slots: 1, bytes, loans: vec![] }),
        }
    }

    fn push(&self, head: &[u8], body: Vec<u8>, owed: Owed) {
        let mut gathered = lock(&self.gathered);
        if gathered.is_closed {
            return;
        }
        let is_first = gathered.is_empty();
        gathered.make_room();
        gathered.owed.add(owed);
        let copied = gathered.batch.push_own(head, body);
        drop(gathered);
        if is_first {
            self.news.notify_one();
        }
        drop(copied);
    }

    async fn next(&self) -> (Vec<Bytes>, Owed) {
        loop {
            if let Some(next) = lock(&self.gathered).take() {
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
    pub(super) fn closing(self: &Arc<Self>) -> Closing {
        Closing(self.clone())
    }
}

/// See [`Outlet::closing`].
#[must_use]
pub(super) struct Closing(Arc<Outlet>);

impl Drop for Closing {
    fn drop(&mut self) {
        let closed = Gathered { is_closed: true, ..Gathered::default() };
        let never_written = std::mem::replace(&mut *lock(&self.0.gathered), closed);
        // Not under the lock.
        drop(never_written);
    }
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.batch.is_empty()
    }

    /// What is written next: no more than one write takes, so that what that owes is given back before the rest goes.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{HEAVY_MESSAGE_BYTES, MAX_QUEUED_BYTES};
    use crate::transport::lane::STATUS_OK;

    /// Slots that are taken, and whether no bytes are.
    fn in_use(outlet: &Outlet) -> (usize, bool) {
        let is_empty = outlet.bytes.take(MAX_QUEUED_BYTES);
        if is_empty {
            outlet.bytes.give_back(MAX_QUEUED_BYTES);
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
        assert_eq!(in_use(&call), (3, false));
        let (short, owed) = call.next().await;
        assert_eq!(short.concat(), [&[0, 0, 0, 10][..], &7_u64.to_be_bytes(), &[STATUS_OK, 1]].concat());
        call.give_back(owed.slots, owed.bytes);
        assert_eq!(in_use(&call), (2, false));
        // One write takes no more than the first long one.
        drop(heavy.next().await);
        assert_eq!(in_use(&call), (1, false));
        // The other is never written.
        drop(closing);
        assert_eq!(in_use(&call), (0, true));
        call.admit(8).await.unwrap().send(vec![0; HEAVY_MESSAGE_BYTES]);
        assert_eq!(in_use(&call), (0, true), "nobody writes there any more");
    }
}
