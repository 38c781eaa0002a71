//! A bounded channel into a mailbox. Its one receiver takes out all that waits at once, and what it has used up goes
//! back the same way, so that senders need no new memory for every item.
//!
//! There may be a million mailboxes, and most are empty: an empty one holds no room for items, where tokio's holds 32.
//! And where many pass, the receiver meets the senders once for a batch of them, not twice for each.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::task::coop::consume_budget;

use crate::limits::{IDLE_MAILBOX_KEEPS, PLACES_HELD_BACK, SPARE_LETTERS};

/// A channel for so many items that wait, with something that both ends can see.
///
/// Up to a thirty-second of the places may be in use for items that were received, but no more than
/// [`PLACES_HELD_BACK`] and never the last one: places are returned some at a time.
pub(crate) fn channel<T, B>(capacity: usize, beside: B) -> (Sender<T, B>, Receiver<T, B>) {
    let inner = Mutex::new(Inner {
        waiting: VecDeque::new(),
        spares: Vec::new(),
        receiver: None,
        is_closed: false,
        is_over: false,
    });
    let (places, senders) = (Semaphore::new(capacity), AtomicUsize::new(1));
    let shared = Arc::new(Shared { places, senders, inner, beside });
    let receiver = Receiver {
        shared: Arc::clone(&shared),
        taken: VecDeque::new(),
        spares: Vec::new(),
        owed: 0,
        returned_at_once: (capacity / 32).clamp(1, PLACES_HELD_BACK),
        capacity,
        awaited_in: NO_POLL,
    };
    (Sender { shared }, receiver)
}

struct Shared<T, B> {
    places: Semaphore,
    senders: AtomicUsize,
    inner: Mutex<Inner<T>>,
    beside: B,
}

struct Inner<T> {
    waiting: VecDeque<T>,
    /// Used up, for senders to fill again.
    spares: Vec<T>,
    /// Who waits for an item.
    receiver: Option<Waker>,
    /// Nobody gets a place any more. What has one may still come.
    is_closed: bool,
    /// The receiver was dropped.
    is_over: bool,
}

impl<T, B> Shared<T, B> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.places.close();
        let mut inner = self.lock();
        inner.is_closed = true;
        wake(inner);
    }
}

/// Wakes the receiver, unlocked.
#[inline]
fn wake<T>(mut inner: MutexGuard<'_, Inner<T>>) {
    let receiver = inner.receiver.take();
    drop(inner);
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// As many wait as may.
    Full,
    /// The receiver takes no more.
    Closed,
}

/// The entrance. The channel is closed when the last one is dropped.
pub(crate) struct Sender<T, B> {
    shared: Arc<Shared<T, B>>,
}

impl<T, B> Sender<T, B> {
    /// A place for one item, if there is one.
    #[inline]
    pub(crate) fn try_place(&self) -> Result<Place<'_, T, B>, NoPlace> {
        match self.shared.places.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(Place { shared: &self.shared, is_free: true })
            }
            Err(TryAcquireError::NoPermits) => Err(NoPlace::Full),
            Err(TryAcquireError::Closed) => Err(NoPlace::Closed),
        }
    }

    /// A place for one item, behind all who wait for one already. None if the channel is closed.
    pub(crate) async fn place(&self) -> Option<Place<'_, T, B>> {
        // Dropped after the wait, which may have to return a permit, and tells a receiver that waits for the last one.
        let mut place = Place { shared: &self.shared, is_free: false };
        self.shared.places.acquire().await.ok()?.forget();
        place.is_free = true;
        Some(place)
    }

    /// Wakes the receiver, if it waits.
    pub(crate) fn wake(&self) {
        wake(self.shared.lock());
    }

    /// For who must not keep the channel open.
    pub(crate) fn downgrade(&self) -> WeakSender<T, B> {
        WeakSender { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn beside(&self) -> &B {
        &self.shared.beside
    }

    /// How many places are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.shared.places.available_permits()
    }
}

impl<T, B> Clone for Sender<T, B> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T, B> Drop for Sender<T, B> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

/// What an entrance can be had from again, as long as there is another one.
pub(crate) struct WeakSender<T, B> {
    shared: Arc<Shared<T, B>>,
}

impl<T, B> WeakSender<T, B> {
    pub(crate) fn beside(&self) -> &B {
        &self.shared.beside
    }

    pub(crate) fn upgrade(&self) -> Option<Sender<T, B>> {
        let one_more = |senders: usize| (senders > 0).then_some(senders + 1);
        self.shared.senders.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Sender { shared: Arc::clone(&self.shared) })
    }
}

/// Room for one item: a receiver that has closed the channel waits for it. Dropped, it is free again.
pub(crate) struct Place<'a, T, B> {
    shared: &'a Shared<T, B>,
    is_free: bool,
}

impl<'a, T, B> Place<'a, T, B> {
    pub(crate) fn send(self, item: T) {
        self.send_with(|_| item);
    }

    /// Sends what is made, if possible of something that was used up. If the receiver was dropped meanwhile, it is made
    /// and dropped.
    #[inline]
    pub(crate) fn send_with(mut self, make: impl FnOnce(Option<T>) -> T) {
        if let Some(inner) = self.leave(make) {
            wake(inner);
        }
    }

    /// The same, but a receiver that waits is not woken. Whether there is one.
    #[inline]
    #[must_use]
    pub(crate) fn leave_with(mut self, make: impl FnOnce(Option<T>) -> T) -> bool {
        self.leave(make).is_some_and(|inner| inner.receiver.is_some())
    }

    /// Not by value: a place that is dropped may lock again.
    #[inline]
    fn leave(&mut self, make: impl FnOnce(Option<T>) -> T) -> Option<MutexGuard<'a, Inner<T>>> {
        self.is_free = false;
        let mut inner = self.shared.lock();
        if inner.is_over {
            drop(inner);
            drop(make(None));
            return None;
        }
        let item = make(inner.spares.pop());
        inner.waiting.push_back(item);
        Some(inner)
    }
}

impl<T, B> Drop for Place<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        if self.is_free {
            self.shared.places.add_permits(1);
        }
        if self.shared.places.is_closed() {
            wake(self.shared.lock());
        }
    }
}

/// A poll of a task that has no number.
pub(crate) const NO_POLL: u64 = 0;

/// The exit. When it is dropped, what waits is dropped, and no more is let in.
pub(crate) struct Receiver<T, B> {
    shared: Arc<Shared<T, B>>,
    taken: VecDeque<T>,
    spares: Vec<T>,
    /// Places of items that were received, and how many are returned together.
    owed: usize,
    returned_at_once: usize,
    capacity: usize,
    /// In which poll all that waited was taken out while the next item would still wake the task, as happens where it
    /// was [left](Place::leave_with).
    awaited_in: u64,
}

/// What an idle channel does not keep.
fn slimmed<T>(spares: &mut Vec<T>) -> Vec<T> {
    if spares.capacity() <= IDLE_MAILBOX_KEEPS {
        return Vec::new();
    }
    let much = spares.split_off(spares.len().min(IDLE_MAILBOX_KEEPS));
    spares.shrink_to(IDLE_MAILBOX_KEEPS);
    much
}

impl<T, B> Receiver<T, B> {
    pub(crate) fn beside(&self) -> &B {
        &self.shared.beside
    }

    /// The next item; none if the channel is closed and all that had a place has come. It costs a unit of the task's
    /// budget.
    ///
    /// The number of the poll of the task that this is a part of, or [`NO_POLL`], spares a second look.
    #[inline]
    pub(crate) fn poll_next(&mut self, task: &mut Context<'_>, poll: u64) -> Poll<Option<T>> {
        ready!(pin!(consume_budget()).poll(task));
        if self.taken.is_empty() {
            ready!(self.poll_take(task, poll));
        }
        let next = self.taken.pop_front();
        if next.is_some() {
            self.owed += 1;
            if self.owed >= self.returned_at_once {
                self.shared.places.add_permits(std::mem::take(&mut self.owed));
            }
        }
        Poll::Ready(next)
    }

    pub(crate) async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|task| self.poll_next(task, NO_POLL)).await
    }

    /// Takes all that waits; nothing if that was all.
    fn poll_take(&mut self, task: &mut Context<'_>, poll: u64) -> Poll<()> {
        // Whatever came since wakes this task after this poll, so there is no need to look.
        if poll != NO_POLL && poll == self.awaited_in {
            return Poll::Pending;
        }
        let mut inner = self.shared.lock();
        if inner.spares.len() < self.spares.len() {
            std::mem::swap(&mut inner.spares, &mut self.spares);
        }
        let is_awaited = inner.receiver.as_ref().is_some_and(|receiver| receiver.will_wake(task.waker()));
        if !inner.waiting.is_empty() {
            std::mem::swap(&mut inner.waiting, &mut self.taken);
            self.awaited_in = if is_awaited { poll } else { NO_POLL };
            return Poll::Ready(());
        }
        if inner.is_closed && self.shared.places.available_permits() + self.owed == self.capacity {
            return Poll::Ready(());
        }
        // Dropped below, unlocked.
        let mut before = None;
        if !is_awaited {
            before = inner.receiver.replace(task.waker().clone());
        }
        let much = (slimmed(&mut inner.spares), slimmed(&mut self.spares));
        inner.waiting.shrink_to(IDLE_MAILBOX_KEEPS);
        drop(inner);
        self.taken.shrink_to(IDLE_MAILBOX_KEEPS);
        drop((before, much));
        Poll::Pending
    }

    /// What an item is used up to, for a sender to fill again.
    #[inline]
    pub(crate) fn give_back(&mut self, spare: T) {
        if self.spares.len() < SPARE_LETTERS {
            self.spares.push(spare);
        }
    }

    /// Gives out no more places.
    pub(crate) fn close(&mut self) {
        self.shared.close();
    }

    /// Lets no more in, and takes out all that waits. What has a place and comes later is dropped.
    pub(crate) fn drain(mut self) -> impl Iterator<Item = T> + use<T, B> {
        self.close();
        let taken = std::mem::take(&mut self.taken);
        let waiting = std::mem::take(&mut self.shared.lock().waiting);
        taken.into_iter().chain(waiting)
    }
}

impl<T, B> Drop for Receiver<T, B> {
    fn drop(&mut self) {
        self.close();
        let mut inner = self.shared.lock();
        inner.is_over = true;
        // Senders that are left keep nothing but the empty channel.
        let left = (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.spares));
        drop(inner);
        drop(left);
    }
}

#[cfg(test)]
mod tests;
