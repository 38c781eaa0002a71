//! What an actor's loop does next.

use std::pin::Pin;
use std::task::{Context as Task, Poll};
use tokio::sync::oneshot;

use super::saving::unanswered;
use super::{Finished, Running};
use crate::actor::api::Actor;
use crate::actor::courier::Returned;
use crate::actor::mailbox::{Item, Mailbox};
use crate::actor::saver::SaveError;
use crate::clock::Mono;
use crate::limits::{LOOK_AROUND, MESSAGES_TAKEN_AT_ONCE};

pub(super) enum Next<A: Actor> {
    Item(Item<A>),
    /// One more message of the bundle at hand.
    Parcel,
    /// The time of a message to itself has come.
    Timer(String, Vec<u8>),
    /// An actor that is watched may have changed.
    Rung,
    Returned(Returned),
    Saved(Result<(), SaveError>),
    Finish(Finished),
    Tick,
    Gone,
}

/// Until when, and for how many messages, an actor goes on without a look at what else there is. Whatever it does that
/// may matter ends this.
#[derive(Default)]
pub(super) struct Brisk {
    until: Mono,
    left: usize,
}

impl<A: Actor> Running<A> {
    /// Messages first: what else there is, is looked at when none waits, or when the last look is a while ago.
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next<A>> {
        let is_brisk =
            self.brisk.left > 0 && self.now() < self.brisk.until && !self.life.is_to_end() && !self.rings();
        if is_brisk && let Poll::Ready(item) = self.queue.poll_next(task) {
            self.brisk.left -= 1;
            return Poll::Ready(item.map_or(Next::Gone, Next::Item));
        }
        // A queue that was found empty wakes this task by itself.
        let next = self.look_around(task, is_brisk);
        if next.is_pending() {
            self.now = None;
        }
        next
    }

    /// Whether the time of a message to itself has come.
    fn rings(&mut self) -> bool {
        let at = self.ctx.timers().fires_at();
        at.is_some_and(|at| at <= self.now())
    }

    fn look_around(&mut self, task: &mut Task<'_>, is_empty: bool) -> Poll<Next<A>> {
        self.brisk = Brisk::default();
        // An error means that the host let go of this activation, and that it is being aborted.
        if let Some(Ok(finished)) = poll_once(&mut self.finish, task) {
            return Poll::Ready(Next::Finish(finished));
        }
        if let Some(result) = poll_once(&mut self.saving, task) {
            return Poll::Ready(Next::Saved(result.unwrap_or_else(|_| Err(unanswered()))));
        }
        if let Poll::Ready(returned) = self.ctx.mail().poll_returned(task) {
            return Poll::Ready(Next::Returned(returned));
        }
        let stalled = self.ctx.mail().stalls_until(|| self.life.gate.now());
        // Replies that wait are bounded like the mailbox: past that, messages wait there.
        let is_full = self.ledger.waiting() >= Mailbox::<A>::capacity();
        let is_closed = is_full || stalled.is_some() || self.draining.is_some();
        // One that is to end here finds its durable timers where it goes on.
        let rings_at = self.ctx.timers().fires_at().filter(|_| !is_closed && self.finishing.is_none());
        if self.poll_timer(task, stalled, rings_at).is_ready() {
            return Poll::Ready(Next::Tick);
        }
        if is_closed {
            return Poll::Pending;
        }
        // After one to itself it is the turn of others, if there are any: a timer that is set anew each time must not
        // keep them out.
        let rings_last = std::mem::take(&mut self.has_rung);
        if !rings_last && let Some(timer) = self.ring_due(rings_at) {
            return Poll::Ready(timer);
        }
        if self.ctx.watches().poll_rings(task).is_ready() {
            return Poll::Ready(Next::Rung);
        }
        if self.bundle.is_some() {
            return Poll::Ready(Next::Parcel);
        }
        self.brisk = Brisk { until: self.now() + LOOK_AROUND, left: MESSAGES_TAKEN_AT_ONCE };
        let item = if is_empty { Poll::Pending } else { self.queue.poll_next(task) };
        match item {
            Poll::Ready(item) => Poll::Ready(item.map_or(Next::Gone, Next::Item)),
            Poll::Pending => {
                self.ring_due(rings_at.filter(|_| rings_last)).map_or(Poll::Pending, Poll::Ready)
            }
        }
    }

    fn ring_due(&mut self, rings_at: Option<Mono>) -> Option<Next<A>> {
        let now = self.now();
        let (name, payload) = rings_at.filter(|at| *at <= now).and_then(|_| self.ctx.timers().fire(now))?;
        self.has_rung = true;
        Some(Next::Timer(name, payload))
    }

    fn poll_timer(&mut self, task: &mut Task<'_>, stalled: Option<Mono>, rings_at: Option<Mono>) -> Poll<()> {
        let finishing = self.finishing.as_ref().map(|(_, until)| *until);
        let alarms =
            [self.ledger.due_at(), self.ctx.mail().wakes_at(), stalled, self.draining, finishing, rings_at];
        let Some(at) = alarms.into_iter().flatten().min() else { return Poll::Pending };
        let now = self.now();
        self.alarm.poll(at, now, task)
    }
}

/// The answer, if it is there; the receiver is used up then.
fn poll_once<T>(
    receiver: &mut Option<oneshot::Receiver<T>>,
    task: &mut Task<'_>,
) -> Option<Result<T, oneshot::error::RecvError>> {
    let Poll::Ready(answer) = Pin::new(receiver.as_mut()?).poll(task) else { return None };
    *receiver = None;
    Some(answer)
}
