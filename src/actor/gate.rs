//! The lease as the actors see it: a gate that is open until a moment on the local clock.

use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, watch};

use crate::canary::{Mistake, made};
use crate::clock::{Clock, Mono};

/// The gate is shut for ever: another process took over this peer's node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this peer was retired")]
pub struct Retired;

/// Whether actors may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// A lease is held.
    Open,
    /// None is held now.
    Shut,
    /// None will be held again.
    Retired,
}

/// `until` when shut for ever.
const RETIRED: u64 = 0;
/// `until` when shut for now.
const CLOSED: u64 = 1;

/// No moment is before either of the two above, the first of a simulated clock included.
fn is_before(now: Mono, until: u64) -> bool {
    now.0.max(CLOSED) < until
}

/// The wait for a lease.
pub(crate) type Opening<'a> = BoxFuture<'a, Result<(), Retired>>;

/// The lease cell: one atomic that every poll of a handler compares with the clock.
///
/// A lapse wakes nobody: whoever is polled next finds it. Opening wakes every waiter; there is at
/// most one for each actor, and those that [`Gate::wait_open`] directly.
pub struct Gate {
    clock: Arc<dyn Clock>,
    until: AtomicU64,
    changed: Notify,
    seen: watch::Sender<GateState>,
}

impl Gate {
    /// A gate that is shut until it is first extended.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let seen = watch::Sender::new(GateState::Shut);
        Self { clock, until: AtomicU64::new(CLOSED), changed: Notify::new(), seen }
    }

    /// The time on the clock that leases are measured with.
    #[inline]
    pub fn now(&self) -> Mono {
        self.clock.now()
    }

    /// Opens until `until`, or for longer if it was open for longer. Without effect once retired.
    pub fn extend(&self, until: Mono) {
        self.note();
        let forward = |old: u64| (old != RETIRED && until.0 > old).then_some(until.0);
        if self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, forward).is_ok() {
            self.changed.notify_waiters();
        }
        self.note();
    }

    /// Shuts now. A later [`Gate::extend`] opens again.
    pub fn close(&self) {
        let unless_retired = |old: u64| (old != RETIRED).then_some(CLOSED);
        let _ = self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, unless_retired);
        self.note();
    }

    /// Shuts for ever, and wakes whoever waits, to be told so.
    pub fn retire(&self) {
        self.until.store(RETIRED, Ordering::Release);
        self.changed.notify_waiters();
        self.note();
    }

    /// Whether a lease is held at this moment.
    pub fn is_open(&self) -> bool {
        self.is_open_at(self.clock.now())
    }

    /// Whether a lease is held at a moment that was read just now.
    #[inline]
    pub(super) fn is_open_at(&self, now: Mono) -> bool {
        is_before(now, self.until.load(Ordering::Acquire))
    }

    /// What holds at this moment.
    pub fn state(&self) -> GateState {
        match self.until.load(Ordering::Acquire) {
            RETIRED => GateState::Retired,
            until if is_before(self.clock.now(), until) => GateState::Open,
            _ => GateState::Shut,
        }
    }

    /// Every change that was noticed. A lapse is noticed when an actor runs into it and by
    /// [`Gate::note`], so call that now and then to see one on a peer that is idle.
    pub fn watch(&self) -> watch::Receiver<GateState> {
        self.seen.subscribe()
    }

    /// Tells the watchers what holds at this moment.
    pub fn note(&self) {
        self.seen.send_if_modified(|seen| {
            // Read under the watch's lock, so that two that note at once cannot swap their order.
            let now = self.state();
            std::mem::replace(seen, now) != now
        });
    }

    /// Whether whoever is polled at a moment that was read just now is to wait.
    #[inline]
    pub(crate) fn is_shut_at(&self, now: Mono) -> bool {
        !self.is_open_at(now) && !made(Mistake::GateIgnored)
    }

    /// [`Gate::wait_open`] for whoever was polled while it was shut: ready while a lease is held.
    pub(crate) fn poll_shut<'a>(
        &'a self,
        waiting: &mut Option<Opening<'a>>,
        task: &mut Context<'_>,
    ) -> Poll<Result<(), Retired>> {
        loop {
            let opening = waiting.get_or_insert_with(|| Box::pin(self.wait_open()));
            let opened = ready!(opening.as_mut().poll(task));
            *waiting = None;
            // It may have lapsed again meanwhile.
            if opened.is_err() || self.is_open() {
                return Poll::Ready(opened);
            }
        }
    }

    /// Waits until a lease is held. It may lapse again before the caller acts: check again there.
    ///
    /// # Errors
    /// [`Retired`] once none will be held again.
    pub async fn wait_open(&self) -> Result<(), Retired> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listen before looking, or an extension between the two goes unheard.
            changed.as_mut().enable();
            match self.state() {
                GateState::Open => return Ok(()),
                GateState::Retired => return Err(Retired),
                GateState::Shut => self.note(),
            }
            changed.await;
        }
    }
}
