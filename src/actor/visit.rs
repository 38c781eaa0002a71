//! Who polls an activation's loop: its own task, or a caller on the way, who would do nothing but wait for it.
//!
//! Two switches of tasks, and often the wake of a thread, cost more than most handlers do. So a caller that finds an
//! actor idle, whose handlers have been quick so far, lends it its thread, as `dispatch_sync` of Apple's libdispatch
//! does. What takes longer, and whatever is no message, is for the actor's own task.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::runtime::{self, Handle};

use super::life::Life;
use crate::channel::NO_POLL;
use crate::limits::{QUICK_TURN, QUICK_TURNS, VISITS_WITHIN};

/// An activation's loop, and whom it wakes.
struct Loop {
    runs: Pin<Box<dyn Future<Output = ()> + Send>>,
    task: Waker,
}

impl Loop {
    fn poll(&mut self) -> Poll<()> {
        self.runs.as_mut().poll(&mut Context::from_waker(&self.task))
    }
}

#[derive(Default)]
enum State {
    /// Not begun, or over, or given up by its own task.
    #[default]
    Over,
    Free(Loop),
    /// Somebody polls it.
    Taken {
        /// Its own task has come meanwhile.
        is_wanted: bool,
    },
}

/// One loop, and whether callers may poll it.
pub(super) struct Visits {
    state: Mutex<State>,
    /// The runtime whose threads may; none if none may.
    home: Option<runtime::Id>,
    /// How many turns have been quick, up to as many as count.
    quick: AtomicU8,
    /// How many visits have begun and ended: odd within one. Only who polls the loop looks at it.
    changes: AtomicU64,
}

impl Visits {
    pub(super) fn new(home: Option<runtime::Id>) -> Self {
        Self { state: Mutex::default(), home, quick: AtomicU8::new(0), changes: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handler took so long, with all that it waited for.
    #[inline]
    pub(super) fn note(&self, took: Duration) {
        let quick = self.quick.load(Ordering::Relaxed);
        if took > QUICK_TURN {
            self.quick.store(0, Ordering::Relaxed);
        } else if quick < QUICK_TURNS {
            self.quick.store(quick + 1, Ordering::Relaxed);
        }
    }

    /// Whether the caller's thread is one that may poll the loop, and it is worth a try.
    #[inline]
    pub(super) fn are_open(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_TURNS
            && self.home.is_some()
            && Handle::try_current().ok().map(|here| here.id()) == self.home
    }

    /// Lets the loop handle what has just come to it. False if somebody else polls it, or if this is within too many
    /// visits already: its task is to be woken then.
    pub(super) fn visit(&self) -> bool {
        let Some(_within) = Within::one_more() else { return false };
        let Poll::Ready(Some(mut held)) = self.take(false) else { return false };
        let changes = self.changes.load(Ordering::Relaxed);
        self.changes.store(changes + 1, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| held.poll()));
        self.changes.store(changes + 2, Ordering::Relaxed);
        if let Some(task) = self.leave(held, matches!(polled, Ok(Poll::Pending))) {
            task.wake();
        }
        true
    }

    /// The loop, unless somebody polls it; none if it is over. Who polls it will wake its own task, if that has come.
    fn take(&self, is_own_task: bool) -> Poll<Option<Loop>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Taken { is_wanted: false }) {
            State::Free(held) => Poll::Ready(Some(held)),
            State::Taken { is_wanted } => {
                *state = State::Taken { is_wanted: is_wanted || is_own_task };
                Poll::Pending
            }
            State::Over => {
                *state = State::Over;
                Poll::Ready(None)
            }
        }
    }

    /// Puts the loop back, unless it has ended or its task has given it up. Its task, if that is to be woken.
    fn leave(&self, held: Loop, goes_on: bool) -> Option<Waker> {
        let mut state = self.lock();
        if goes_on && let State::Taken { is_wanted } = *state {
            let task = is_wanted.then(|| held.task.clone());
            *state = State::Free(held);
            return task;
        }
        *state = State::Over;
        drop(state);
        // The actor's own `Drop` may panic, which is no concern of a caller's.
        drop(catch_unwind(AssertUnwindSafe(|| drop(held.runs))));
        Some(held.task)
    }

    /// For the loop: the number of the visit at hand, if it is one.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        let changes = self.changes.load(Ordering::Relaxed);
        if changes % 2 == 1 { changes } else { NO_POLL }
    }

    /// For the loop: what comes next is for its own task.
    pub(super) async fn end(&self) {
        poll_fn(|task| match self.number() {
            NO_POLL => Poll::Ready(()),
            _ => {
                task.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
    }
}

thread_local! {
    static WITHIN: Cell<u8> = const { Cell::new(0) };
}

/// A visit of this thread's. One handler may call another actor within its own: each takes room on the stack.
struct Within;

impl Within {
    fn one_more() -> Option<Self> {
        let within = WITHIN.get();
        (within < VISITS_WITHIN).then(|| {
            WITHIN.set(within + 1);
            Self
        })
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.set(WITHIN.get() - 1);
    }
}

/// The task of one activation.
pub(super) struct OwnTask(Arc<Life>);

impl OwnTask {
    pub(super) fn new(life: Arc<Life>, runs: impl Future<Output = ()> + Send + 'static) -> Self {
        *life.visits.lock() = State::Free(Loop { runs: Box::pin(runs), task: Waker::noop().clone() });
        Self(life)
    }
}

impl Future for OwnTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let Some(mut held) = ready!(self.0.visits.take(true)) else { return Poll::Ready(()) };
        if !held.task.will_wake(task.waker()) {
            held.task = task.waker().clone();
        }
        let polled = held.poll();
        self.0.visits.leave(held, polled.is_pending());
        polled
    }
}

impl Drop for OwnTask {
    /// Aborted while a caller polls the loop, that drops it.
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.0.visits.lock());
        drop(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_on_few_visits_at_once() {
        let within: Vec<_> = std::iter::from_fn(Within::one_more).take(99).collect();
        assert_eq!(within.len(), usize::from(VISITS_WITHIN));
        drop(within);
        assert!(Within::one_more().is_some());
    }
}
