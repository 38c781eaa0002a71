//! One activation's reliable messages: the session table and the outbox that its checkpoints hold, and what is under
//! way.

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::codec::CodecError;
use super::policy::Outbox as Mode;
use super::post::{Post, Resolved, SendError, Undelivered};
use super::restarts::back_off;
use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::core::event::Event;
use crate::core::session::{Batch, Inbox, Job, Outbox, Parcel, Parcels, Receipt, Sender, Standing, Verdict};
use crate::id::ActorId;
use crate::limits::{
    DELIVERY_RETRY, MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, SESSIONS_BEFORE_SWEEP, STALL_PATIENCE,
};

/// A reliable message that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Who sent it.
    pub from: Sender,
    /// The message's name.
    pub message: String,
    /// Its beginning, encoded: up to [`MAX_DEAD_LETTER_BYTES`](crate::limits::MAX_DEAD_LETTER_BYTES).
    pub payload: ByteBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What a checkpoint holds besides the state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    inbox: Inbox,
    outbox: Outbox,
    dead: VecDeque<DeadLetter>,
}

/// How a job ended.
pub(super) struct Returned {
    to: ActorId,
    end: Ended,
}

enum Ended {
    Delivered(u64),
    Bound(u64),
    Later,
    Over,
}

/// What follows from a job's end.
pub(super) enum Follow {
    /// Nothing that matters now, but the next checkpoint should hold it.
    Noted,
    /// A checkpoint should hold it soon: messages wait for that.
    Wanted,
    /// The actor is to be told.
    Tell(Undelivered),
    Nothing,
}

/// Whether a message goes to the actor.
pub(super) enum Admit {
    Handle,
    /// It was taken before.
    Skip,
    /// Not now: the sender tries again.
    Refuse,
}

pub(super) struct Mail {
    me: Sender,
    mode: Mode,
    post: Arc<dyn Post>,
    inbox: Inbox,
    outbox: Outbox,
    dead: VecDeque<DeadLetter>,
    under_way: FuturesUnordered<BoxFuture<'static, Returned>>,
    sweep_at: usize,
    /// The number of the message that is being handled.
    stamp: u64,
    sent: bool,
    /// Whether there may be jobs to run.
    is_stirred: bool,
    heavy_since: Option<Mono>,
}

impl Mail {
    /// The mail of an activation, as its checkpoint held it.
    pub(super) fn read(saved: &[u8]) -> Result<(Inbox, Outbox, VecDeque<DeadLetter>), CodecError> {
        if saved.is_empty() {
            return Ok(Default::default());
        }
        let Saved { inbox, outbox, dead } = rmp_serde::from_slice(saved).map_err(CodecError::new)?;
        Ok((inbox, outbox.restored(), dead))
    }

    pub(super) fn new(
        me: Sender,
        mode: Mode,
        post: Arc<dyn Post>,
        (inbox, outbox, dead): (Inbox, Outbox, VecDeque<DeadLetter>),
    ) -> Self {
        Self {
            me,
            mode,
            post,
            inbox,
            is_stirred: !outbox.is_empty(),
            outbox,
            dead,
            under_way: FuturesUnordered::new(),
            sweep_at: SESSIONS_BEFORE_SWEEP,
            stamp: 0,
            sent: false,
            heavy_since: None,
        }
    }

    /// What the next checkpoint is to hold: nothing for an actor that has nothing to do with reliable messages.
    pub(super) fn save(&mut self) -> Result<Vec<u8>, CodecError> {
        if self.inbox.len() >= self.sweep_at {
            let post = &self.post;
            self.sweep_at = self.inbox.sweep(|sender| post.standing(sender) == Standing::Over);
        }
        if self.inbox.is_empty() && self.outbox.newest() == 0 {
            return Ok(Vec::new());
        }
        let forgotten = made(Mistake::SessionsNotSaved).then(Inbox::default);
        let inbox = forgotten.as_ref().unwrap_or(&self.inbox);
        rmp_serde::to_vec(&(inbox, &self.outbox, &self.dead)).map_err(CodecError::new)
    }

    /// The handler of message number `stamp` is about to run.
    pub(super) fn begin(&mut self, stamp: u64) {
        (self.stamp, self.sent) = (stamp, false);
    }

    /// Whether that handler has sent anything.
    pub(super) fn has_sent(&self) -> bool {
        self.sent
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn push(&mut self, to: &ActorId, message: &str, payload: Vec<u8>) -> Result<(), SendError> {
        let post = &self.post;
        let number = self.outbox.push(to, || post.life_of(to), (message, payload), self.stamp);
        if number.is_none() {
            if let Sender::Actor { id, .. } = &self.me {
                self.post.emit(Event::Stalled { actor: id.clone() });
            }
            return Err(SendError::Full);
        }
        self.sent = true;
        self.is_stirred |= self.mode == Mode::Eager;
        Ok(())
    }

    /// A checkpoint has become durable.
    pub(super) fn stir(&mut self) {
        self.is_stirred |= !self.outbox.is_empty();
    }

    pub(super) fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// Sends off all that may leave, given how far the checkpoints reach.
    pub(super) fn run_jobs(&mut self, durable: u64) {
        self.is_stirred = false;
        let durable = if self.mode == Mode::Eager { u64::MAX } else { durable };
        while let Some(job) = self.outbox.next(durable) {
            self.under_way.push(match job {
                Job::Resolve(to) => self.resolve(to),
                Job::Deliver(batch) => self.deliver(batch),
            });
        }
    }

    fn resolve(&self, to: ActorId) -> BoxFuture<'static, Returned> {
        let resolved = self.post.resolve(to.clone());
        Box::pin(async move {
            let end = match resolved.await {
                Resolved::Life(life) => Ended::Bound(life),
                Resolved::NoSuchActor => Ended::Over,
                Resolved::Later => Ended::Later,
            };
            Returned { to, end }
        })
    }

    fn deliver(&self, Batch { to, life, items }: Batch) -> BoxFuture<'static, Returned> {
        let up_to = items.last().map_or(0, |parcel| parcel.seq);
        let delivered = self.post.deliver(Parcels { from: self.me.clone(), to: to.clone(), life, items });
        Box::pin(async move {
            let end = match delivered.await {
                Receipt::Durable => Ended::Delivered(up_to),
                Receipt::Later => Ended::Later,
                Receipt::Over => Ended::Over,
            };
            Returned { to, end }
        })
    }

    pub(super) fn poll_returned(&mut self, task: &mut Task<'_>) -> Poll<Returned> {
        match self.under_way.poll_next_unpin(task) {
            Poll::Ready(Some(returned)) => Poll::Ready(returned),
            // Without a job there is nobody to wake for.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// `number` is that of the change which this may be.
    pub(super) fn returned(&mut self, Returned { to, end }: Returned, now: Mono, number: u64) -> Follow {
        self.is_stirred = true;
        match end {
            Ended::Delivered(up_to) => {
                self.outbox.delivered(&to, up_to);
                Follow::Noted
            }
            Ended::Bound(life) => {
                self.outbox.bind(&to, life, number);
                Follow::Wanted
            }
            Ended::Later => {
                self.outbox.failed(&to, now, |failures| back_off(DELIVERY_RETRY, failures));
                Follow::Nothing
            }
            Ended::Over => {
                let messages = self.outbox.over(&to);
                self.post.emit(Event::Undelivered { from: self.me.clone(), to: to.clone(), messages });
                Follow::Tell(Undelivered { to, messages })
            }
        }
    }

    pub(super) fn wakes_at(&self) -> Option<Mono> {
        self.outbox.wakes_at()
    }

    pub(super) fn wake(&mut self, now: Mono) {
        if self.outbox.wakes_at().is_some_and(|at| at <= now) {
            self.outbox.wake(now);
            self.is_stirred = true;
        }
    }

    /// Until when nothing new should be taken in, because so much waits to leave.
    pub(super) fn stalls_until(&mut self, now: impl FnOnce() -> Mono) -> Option<Mono> {
        if !self.outbox.is_heavy() {
            self.heavy_since = None;
            return None;
        }
        let now = now();
        let until = *self.heavy_since.get_or_insert(now) + STALL_PATIENCE;
        (now < until).then_some(until)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether a reliable message is to be handled; notes it as taken then.
    pub(super) fn admit(&mut self, from: &Sender, parcel: &Parcel) -> Admit {
        match self.inbox.judge(from, parcel) {
            Verdict::Known => return Admit::Skip,
            Verdict::Early => return Admit::Refuse,
            Verdict::Next => {}
        }
        // One that is not in the table is new, or was forgotten after its end.
        let may_come = || !self.inbox.is_full() && self.post.standing(from) == Standing::Current;
        if !self.inbox.knows(from) && !may_come() {
            return Admit::Refuse;
        }
        self.inbox.take(from, parcel.seq);
        Admit::Handle
    }

    pub(super) fn put_aside(&mut self, from: &Sender, parcel: Parcel, why: String) {
        let Parcel { message, payload, .. } = parcel;
        if let Sender::Actor { id, .. } = &self.me {
            let (actor, from) = (id.clone(), from.clone());
            self.post.emit(Event::DeadLetter { actor, from, message: message.clone(), why: why.clone() });
        }
        if self.dead.len() >= MAX_DEAD_LETTERS {
            self.dead.pop_front();
        }
        let payload = payload.into_iter().take(MAX_DEAD_LETTER_BYTES).collect::<Vec<u8>>();
        self.dead.push_back(DeadLetter { from: from.clone(), message, payload: ByteBuf::from(payload), why });
    }

    pub(super) fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }
}
