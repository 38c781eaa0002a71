//! One activation of an actor, as its loop and its host both see it.

use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::gate::{Gate, Opening, Retired};
use super::kind::Kind;
use super::policy::{Policy, When};
use super::restarts::Restarts;
use super::visit::Visits;
use crate::clock::Mono;
use crate::id::{ActorId, Epoch};

/// Sees every poll of a handler. For test harnesses that check who executes when (invariant 3).
pub trait Observer: Send + Sync + 'static {
    /// A handler is about to be polled.
    fn on_poll_begin(&self, actor: &ActorId, epoch: Epoch);
    /// The poll has returned.
    fn on_poll_end(&self, actor: &ActorId, epoch: Epoch);
}

pub(crate) struct Life {
    pub(super) id: ActorId,
    pub(super) epoch: Epoch,
    pub(super) kind: Kind,
    pub(super) policy: Policy,
    pub(super) gate: Arc<Gate>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) restarts: Arc<Mutex<Restarts>>,
    pub(super) visits: Visits,
    halted: AtomicBool,
    ending: AtomicBool,
    over: AtomicBool,
    parked: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Life {
    pub(super) fn new(
        (id, epoch, kind): (ActorId, Epoch, Kind),
        gate: Arc<Gate>,
        observer: Option<Arc<dyn Observer>>,
        restarts: Arc<Mutex<Restarts>>,
        visits: Visits,
    ) -> Self {
        let policy = kind.policy();
        let (halted, ending, over) = <(AtomicBool, AtomicBool, AtomicBool)>::default();
        let parked = Mutex::default();
        Self { id, epoch, kind, policy, gate, observer, restarts, visits, halted, ending, over, parked }
    }

    /// Invariant 3: from here on no poll of a handler begins, however many messages the loop's
    /// current poll could still take. The caller aborts the task as well.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
        drop(self.take_parked());
    }

    /// The loop is asked to end by itself: it looks for that before every message.
    pub(super) fn ask_to_end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_to_end(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The loop has ended by itself.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Leaves the mailbox for the activation that follows a panic.
    pub(super) fn park(&self, mailbox: Box<dyn Any + Send>) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(mailbox);
    }

    pub(super) fn take_parked(&self) -> Option<Box<dyn Any + Send>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How long the restart after this panic has to wait.
    pub(super) fn note_panic(&self) -> Duration {
        self.restarts().panicked(self.gate.now())
    }

    pub(super) fn restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keeps_checkpoints(&self) -> bool {
        self.policy.checkpoint != When::Never
    }

    /// [`Life::clear`] where nothing has to be waited for.
    #[inline]
    pub(super) fn is_clear(&self) -> Option<Mono> {
        let now = self.gate.now();
        (!self.halted.load(Ordering::Acquire) && self.gate.is_open_at(now)).then_some(now)
    }

    /// The outlet: what the actor did leaves only while it may still act. Waits for the lease if it
    /// lapsed; never returns once halted (the task is being aborted). The moment at which a lease was held.
    pub(super) async fn clear(&self) -> Result<Mono, Retired> {
        loop {
            if self.halted.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            if let Some(now) = self.is_clear() {
                return Ok(now);
            }
            self.gate.wait_open().await?;
        }
    }
}

/// One message's turn: polled only while a lease is held, under the observer's eyes, and not at all once halted.
///
/// Shut out, it keeps the future as it is and polls it again when the gate opens. Once the gate is retired it ends
/// with [`Retired`], noticed at its next poll; the future is dropped with it.
pub(super) struct Turn<'a, F> {
    life: &'a Life,
    /// A moment that was read just now. No poll of a handler came between.
    now: Option<Mono>,
    inner: F,
    waiting: Option<Opening<'a>>,
}

impl<'a, F: Future + Unpin> Turn<'a, F> {
    pub(super) fn new(life: &'a Life, now: Mono, inner: F) -> Self {
        Self { life, now: Some(now), inner, waiting: None }
    }
}

impl<F: Future + Unpin> Future for Turn<'_, F> {
    type Output = Result<F::Output, Retired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let life = this.life;
        if life.gate.is_shut_at(this.now.take().unwrap_or_else(|| life.gate.now())) {
            ready!(life.gate.poll_shut(&mut this.waiting, cx))?;
        }
        this.waiting = None;
        if life.halted.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let Some(observer) = &life.observer else { return Pin::new(&mut this.inner).poll(cx).map(Ok) };
        observer.on_poll_begin(&life.id, life.epoch);
        let poll = Pin::new(&mut this.inner).poll(cx);
        observer.on_poll_end(&life.id, life.epoch);
        poll.map(Ok)
    }
}
