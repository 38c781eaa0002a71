//! Requests that wait for the writer of one lane.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::frame::Batch;
use super::lock;
use super::request::{Answer, Item, RequestError, Ticket};
use crate::limits::{KEPT_QUEUE_PLACES, MAX_QUEUED_FRAMES, WRITE_COALESCE_BYTES, ZERO_COPY_BYTES};

/// Why a queue gave a request back.
pub(super) enum NoRoom {
    Closed(Item),
    Full(Item),
}

/// Filled by callers, emptied by one writer, which takes all that there is at once.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: Load,
    /// The writer has so many that have not left.
    in_hand: usize,
    is_closed: bool,
}

impl Queue {
    /// Queues a request, behind all that came before. Never waits.
    pub(super) fn push(&self, item: Item) -> Result<(), NoRoom> {
        let mut inner = lock(&self.inner);
        if inner.is_closed {
            return Err(NoRoom::Closed(item));
        }
        if inner.waiting.requests.len() + inner.in_hand >= MAX_QUEUED_FRAMES {
            return Err(NoRoom::Full(item));
        }
        let is_first = inner.waiting.requests.is_empty();
        let copied = inner.waiting.push(item);
        drop(inner);
        if is_first {
            self.news.notify_one();
        }
        drop(copied);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        let inner = lock(&self.inner);
        inner.waiting.requests.is_empty() && inner.in_hand == 0
    }

    /// All that waits, in exchange for a load that has been written.
    pub(super) async fn next(&self, load: &mut Load) {
        load.clear();
        while !self.swap(load) {
            self.news.notified().await;
        }
    }

    fn swap(&self, load: &mut Load) -> bool {
        let mut inner = lock(&self.inner);
        std::mem::swap(load, &mut inner.waiting);
        inner.in_hand = load.requests.len();
        inner.in_hand > 0
    }

    /// What has left of a load makes room. To be called once that is in flight.
    pub(super) fn still_has(&self, load: &Load) {
        lock(&self.inner).in_hand = load.requests.len();
    }

    /// Takes no more requests. Those that wait were not sent.
    pub(super) fn close(&self, why: &str) {
        let closed = Inner { is_closed: true, ..Inner::default() };
        let Inner { waiting, .. } = std::mem::replace(&mut *lock(&self.inner), closed);
        for (ticket, _) in waiting.requests {
            ticket.fail(RequestError::NotSent(why.into()));
        }
    }
}

/// Requests in their order. Short ones lie in one buffer: what a caller's thread took for them, it frees itself. Memory
/// that one thread takes and another frees makes the two wait for each other in most allocators.
#[derive(Default)]
pub(super) struct Load {
    requests: VecDeque<(Ticket, Body)>,
    short: Vec<u8>,
}

enum Body {
    Short(Range<usize>),
    Long(Bytes),
}

impl Load {
    /// Returns what was copied.
    fn push(&mut self, Item { ticket, body, .. }: Item) -> Option<Vec<u8>> {
        if body.len() >= ZERO_COPY_BYTES {
            self.requests.push_back((ticket, Body::Long(body.into())));
            return None;
        }
        let begin = self.short.len();
        self.short.extend_from_slice(&body);
        self.requests.push_back((ticket, Body::Short(begin..self.short.len())));
        Some(body)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Puts the first request into a batch, under a number. None if there is none, its caller has given up, or its
    /// deadline has passed.
    pub(super) fn launch_first(
        &mut self,
        now: Instant,
        number: impl FnOnce() -> u64,
        batch: &mut Batch,
    ) -> Option<(u64, oneshot::Sender<Answer>)> {
        let (ticket, body) = self.requests.pop_front()?;
        let answer = ticket.launch(now)?;
        let id = number();
        let head = id.to_be_bytes();
        match body {
            Body::Short(range) => batch.push(&head, &self.short[range]),
            Body::Long(body) => drop(batch.push_own(&head, body)),
        }
        Some((id, answer))
    }

    /// Large buffers are not kept for another burst.
    fn clear(&mut self) {
        self.requests.clear();
        self.requests.shrink_to(KEPT_QUEUE_PLACES);
        self.short.clear();
        self.short.shrink_to(WRITE_COALESCE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;
    use crate::transport::request::Waiting;
    use std::time::Duration;

    fn item(body: &[u8]) -> (Item, Waiting) {
        Item::new(body.to_vec(), None, moment(Duration::from_secs(5)))
    }

    /// Queues requests until there is no room; whose wait ends tells what became of them.
    fn fill(queue: &Queue) -> Vec<Waiting> {
        let mut all = Vec::new();
        loop {
            let (item, waiting) = item(b"x");
            match queue.push(item) {
                Ok(()) => all.push(waiting),
                Err(_) => return all,
            }
        }
    }

    #[tokio::test]
    async fn requests_leave_in_their_order_whatever_their_length() {
        let queue = Queue::default();
        let bodies: Vec<Vec<u8>> =
            [1, ZERO_COPY_BYTES, 0, ZERO_COPY_BYTES - 1, 2].map(|n| vec![n as u8; n]).into();
        let waiting: Vec<_> = bodies.iter().map(|body| item(body)).collect();
        let answers: Vec<_> =
            waiting.into_iter().map(|(item, wait)| (queue.push(item).is_ok(), wait)).collect();
        assert!(answers.iter().all(|(is_queued, _)| *is_queued) && !queue.is_empty());
        let (mut load, mut batch, mut next) = (Load::default(), Batch::default(), 7..);
        queue.next(&mut load).await;
        while !load.is_empty() {
            assert!(load.launch_first(Instant::now(), || next.next().unwrap_or(0), &mut batch).is_some());
        }
        let expected = bodies.iter().zip(7_u64..).flat_map(|(body, id)| {
            let length = (body.len() + 8) as u32;
            [&length.to_be_bytes(), &id.to_be_bytes()[..], body].concat()
        });
        assert_eq!(batch.take().concat(), expected.collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn what_has_left_makes_room_and_what_the_writer_still_has_does_not() {
        let queue = Queue::default();
        assert_eq!(fill(&queue).len(), MAX_QUEUED_FRAMES);
        let (mut load, mut batch) = (Load::default(), Batch::default());
        queue.next(&mut load).await;
        assert_eq!(fill(&queue).len(), 0, "the writer has them all");
        assert!(load.launch_first(Instant::now(), || 0, &mut batch).is_some());
        queue.still_has(&load);
        assert_eq!(fill(&queue).len(), 1);
        queue.next(&mut load).await;
        assert_eq!(fill(&queue).len(), MAX_QUEUED_FRAMES - 1);
    }

    #[tokio::test]
    async fn a_closed_queue_was_not_sent_and_takes_nothing() {
        let queue = Queue::default();
        let (first, waiting) = item(b"x");
        assert!(queue.push(first).is_ok());
        queue.close("gone");
        assert_eq!(waiting.in_time().await, Err(RequestError::NotSent("gone".into())));
        assert!(matches!(queue.push(item(b"y").0), Err(NoRoom::Closed(_))) && queue.is_empty());
    }
}
