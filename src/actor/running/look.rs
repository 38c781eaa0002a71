//! What an actor's loop does next.

use std::pin::Pin;
use std::task::{Context as Task, Poll};
use tokio::sync::oneshot;

use super::saving::unanswered;
use super::{Finished, Running};
use crate::actor::api::Actor;
use crate::actor::aside::Aside;
use crate::actor::courier::Returned;
use crate::actor::mailbox::{Item, Mailbox};
use crate::actor::saver::SaveError;
use crate::clock::Mono;

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

/// `until` where no moment is known.
const NEVER: Mono = Mono(u64::MAX);

/// Until when there is nothing to look at but messages, unless something else [wakes](Aside) the loop. Whatever it does
/// that may matter ends this.
#[derive(Default)]
pub(super) struct Calm {
    until: Mono,
}

impl<A: Actor> Running<A> {
    /// Messages first: what else there is, is looked at only if it may be there.
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next<A>> {
        let is_own = self.aside.as_ref().is_some_and(|aside| aside.wakes(task.waker()));
        let next = if is_own && self.is_calm() {
            self.queue
                .poll_next(task, self.life.visits.number())
                .map(|item| item.map_or(Next::Gone, Next::Item))
        } else {
            let aside = Aside::of(self.aside.take(), task.waker());
            aside.clear();
            let next = self.look_around(&mut Task::from_waker(aside.waker()), task);
            self.aside = Some(aside);
            next
        };
        if next.is_pending() {
            self.now = None;
        }
        next
    }

    /// Whether there is nothing to look at but messages.
    pub(super) fn is_calm(&mut self) -> bool {
        // Before the time is read: mostly neither is asked for before a look around.
        self.calm.until > Mono(0)
            && self.now() < self.calm.until
            && !self.life.is_to_end()
            && self.aside.as_ref().is_some_and(|aside| !aside.has_come())
    }

    /// `aside` is whom all but the mailbox wakes.
    fn look_around(&mut self, aside: &mut Task<'_>, task: &mut Task<'_>) -> Poll<Next<A>> {
        self.calm = Calm::default();
        // An error means that the host let go of this activation, and that it is being aborted.
        if let Some(Ok(finished)) = poll_once(&mut self.finish, aside) {
            return Poll::Ready(Next::Finish(finished));
        }
        if let Some(result) = poll_once(&mut self.saving, aside) {
            return Poll::Ready(Next::Saved(result.unwrap_or_else(|_| Err(unanswered()))));
        }
        if let Poll::Ready(returned) = self.ctx.mail().poll_returned(aside) {
            return Poll::Ready(Next::Returned(returned));
        }
        let stalled = self.ctx.mail().stalls_until(|| self.life.gate.now());
        // Replies that wait are bounded like the mailbox: past that, messages wait there.
        let is_full = self.ledger.waiting() >= Mailbox::<A>::capacity();
        let is_closed = is_full || stalled.is_some() || self.draining.is_some();
        // One that is to end here finds its durable timers where it goes on.
        let rings_at = self.ctx.timers().fires_at().filter(|_| !is_closed && self.finishing.is_none());
        let alarm = self.alarm_at(stalled, rings_at);
        if let Some(at) = alarm {
            let now = self.now();
            if self.alarm.poll(at, now, aside).is_ready() {
                return Poll::Ready(Next::Tick);
            }
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
        if self.ctx.watches().poll_rings(aside).is_ready() {
            return Poll::Ready(Next::Rung);
        }
        if self.bundle.is_some() {
            return Poll::Ready(Next::Parcel);
        }
        let item = self.queue.poll_next(task, self.life.visits.number());
        if item.is_pending()
            && rings_last
            && let Some(timer) = self.ring_due(rings_at)
        {
            return Poll::Ready(timer);
        }
        self.calm = Calm { until: alarm.unwrap_or(NEVER) };
        item.map(|item| item.map_or(Next::Gone, Next::Item))
    }

    fn ring_due(&mut self, rings_at: Option<Mono>) -> Option<Next<A>> {
        let now = self.now();
        let (name, payload) = rings_at.filter(|at| *at <= now).and_then(|_| self.ctx.timers().fire(now))?;
        self.has_rung = true;
        Some(Next::Timer(name, payload))
    }

    /// When there is something to do that only the time brings.
    fn alarm_at(&mut self, stalled: Option<Mono>, rings_at: Option<Mono>) -> Option<Mono> {
        let finishing = self.finishing.as_ref().map(|(_, until)| *until);
        let alarms =
            [self.ledger.due_at(), self.ctx.mail().wakes_at(), stalled, self.draining, finishing, rings_at];
        alarms.into_iter().flatten().min()
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
