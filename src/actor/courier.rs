//! An outbox at work: what is under way of it, and what comes back.

use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::post::{Post, Resolved};
use super::restarts::back_off;
use super::under_way::UnderWay;
use crate::clock::Mono;
use crate::core::session::{Batch, Job, Outbox, Parcels, Receipt, Replied, Sender};
use crate::id::ActorId;
use crate::limits::DELIVERY_RETRY;

/// How a job ended.
pub(crate) struct Returned {
    to: ActorId,
    lane: u64,
    end: Ended,
}

enum Ended {
    Delivered(u64, BTreeMap<u64, Replied>),
    Bound(u64),
    Later,
    Over,
    NoSuchActor,
}

/// What follows from a job's end.
pub(crate) enum Follow {
    /// Messages up to a number have arrived, and these are the replies.
    Arrived(ActorId, u64, BTreeMap<u64, Replied>),
    /// A target's life became known: a checkpoint should hold that soon, for messages wait for it.
    Bound,
    /// So many messages to an actor will never arrive; if it was not known, none of them ever did.
    Over {
        to: ActorId,
        messages: u64,
        was_known: bool,
    },
    Nothing,
}

/// Brings a sender's messages to their receivers.
pub(crate) struct Courier {
    pub(crate) me: Sender,
    pub(crate) post: Arc<dyn Post>,
    pub(crate) outbox: Outbox,
    under_way: UnderWay<Returned>,
    /// Whether there may be jobs to run.
    pub(crate) is_stirred: bool,
    /// The sender has all replies up to this number.
    pub(crate) answered: u64,
}

impl Courier {
    pub(crate) fn new(me: Sender, post: Arc<dyn Post>, outbox: Outbox) -> Self {
        let is_stirred = !outbox.is_empty();
        Self { me, post, outbox, under_way: UnderWay::default(), is_stirred, answered: 0 }
    }

    /// Sends off all that may leave, given how far the sender's checkpoints reach.
    pub(crate) fn run_jobs(&mut self, durable: u64) {
        self.is_stirred = false;
        while let Some(job) = self.outbox.next(durable) {
            let job = match job {
                Job::Resolve { to, lane } => self.resolve(to, lane),
                Job::Deliver(batch) => self.deliver(batch),
            };
            self.under_way.push(job);
        }
    }

    fn resolve(&self, to: ActorId, lane: u64) -> BoxFuture<'static, Returned> {
        let resolved = self.post.resolve(to.clone());
        Box::pin(async move {
            let end = match resolved.await {
                Resolved::Life(life) => Ended::Bound(life),
                Resolved::NoSuchActor => Ended::NoSuchActor,
                Resolved::Later => Ended::Later,
            };
            Returned { to, lane, end }
        })
    }

    fn deliver(&self, Batch { to, lane, life, items }: Batch) -> BoxFuture<'static, Returned> {
        let up_to = items.last().map_or(0, |parcel| parcel.seq);
        let (from, answered) = (self.me.clone(), self.answered);
        let delivered = self.post.deliver(Parcels { from, to: to.clone(), life, answered, items });
        Box::pin(async move {
            let end = match delivered.await {
                Receipt::Durable(replies) => Ended::Delivered(up_to, replies),
                Receipt::Later => Ended::Later,
                Receipt::Over => Ended::Over,
            };
            Returned { to, lane, end }
        })
    }

    pub(crate) fn poll_returned(&mut self, task: &mut Task<'_>) -> Poll<Returned> {
        self.under_way.poll(task)
    }

    /// `number` is that of the change which this may be.
    pub(crate) fn returned(
        &mut self,
        Returned { to, lane, end }: Returned,
        now: Mono,
        number: u64,
    ) -> Follow {
        self.is_stirred = true;
        match end {
            Ended::Delivered(up_to, replies) => {
                self.outbox.delivered(&to, lane, up_to, now);
                Follow::Arrived(to, up_to, replies)
            }
            Ended::Bound(life) => {
                self.outbox.bind(&to, lane, life, number, now);
                Follow::Bound
            }
            Ended::Later => {
                self.outbox.failed(&to, lane, now, |failures| back_off(DELIVERY_RETRY, failures));
                Follow::Nothing
            }
            Ended::Over | Ended::NoSuchActor => match self.outbox.over(&to, lane) {
                // Another job of the lane has told already.
                0 => Follow::Nothing,
                messages => Follow::Over { to, messages, was_known: matches!(end, Ended::Over) },
            },
        }
    }

    pub(crate) fn wake(&mut self, now: Mono) {
        if self.outbox.wakes_at().is_some_and(|at| at <= now) {
            self.outbox.wake(now);
            self.is_stirred = true;
        }
    }
}
