//! One activation's reliable messages: the session table and the outbox that its checkpoints hold.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use super::codec::CodecError;
use super::courier::{Courier, Follow, Returned};
use super::policy::Outbox as Mode;
use super::post::{Post, SendError};
use super::timers::{SavedTimers, Timers};
use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::core::event::Event;
use crate::core::session::{Content, Inbox, Outbox, Parcel, Replied, Sender, Standing, Verdict};
use crate::core::watching::Watching;
use crate::error::CallError;
use crate::id::ActorId;
use crate::limits::{MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, SESSIONS_BEFORE_SWEEP, STALL_PATIENCE};

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
pub(super) struct Saved {
    inbox: Inbox,
    outbox: Outbox,
    dead: VecDeque<DeadLetter>,
    #[serde(default)]
    pub(super) timers: SavedTimers,
    #[serde(default)]
    pub(super) watched: BTreeMap<ActorId, Watching>,
}

impl Saved {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        rmp_serde::from_slice(bytes).map_err(CodecError::new)
    }
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
    mode: Mode,
    courier: Courier,
    inbox: Inbox,
    dead: VecDeque<DeadLetter>,
    sweep_at: usize,
    /// The number of the message that is being handled.
    stamp: u64,
    sent: bool,
    heavy: Option<Heavy>,
}

/// An outbox that is half full or more: since when it has not become longer, and how long it is.
struct Heavy {
    since: Mono,
    length: usize,
}

impl Mail {
    /// The mail of an activation, as its checkpoint held it.
    pub(super) fn new(me: Sender, mode: Mode, post: Arc<dyn Post>, saved: Saved) -> Self {
        Self {
            mode,
            courier: Courier::new(me, post, saved.outbox.restored()),
            inbox: saved.inbox,
            dead: saved.dead,
            sweep_at: SESSIONS_BEFORE_SWEEP,
            stamp: 0,
            sent: false,
            heavy: None,
        }
    }

    /// What the next checkpoint is to hold: nothing for an actor that has nothing to do with reliable messages,
    /// timers or watches.
    pub(super) fn save(
        &mut self,
        timers: &Timers,
        watched: &BTreeMap<ActorId, Watching>,
        now: impl FnOnce() -> Mono,
    ) -> Result<Vec<u8>, CodecError> {
        if self.inbox.len() >= self.sweep_at {
            let post = &self.courier.post;
            self.sweep_at = self.inbox.sweep(|sender| post.standing(sender) == Standing::Over);
        }
        let outbox = &self.courier.outbox;
        let has_sessions = !self.inbox.is_empty() || outbox.newest() > 0;
        if !has_sessions && timers.is_empty() && watched.is_empty() {
            return Ok(Vec::new());
        }
        let forgotten = made(Mistake::SessionsNotSaved).then(Inbox::default);
        let inbox = forgotten.as_ref().unwrap_or(&self.inbox);
        rmp_serde::to_vec(&(inbox, outbox, &self.dead, timers.save(now()), watched)).map_err(CodecError::new)
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

    pub(super) fn push(&mut self, to: &ActorId, name: &str, payload: Vec<u8>) -> Result<(), SendError> {
        let Courier { me, outbox, post, .. } = &mut self.courier;
        let content = Content { name, payload, is_ask: false };
        if outbox.push(to, || post.life_of(to), content, self.stamp).is_none() {
            if let Sender::Actor { id, .. } = me {
                post.emit(Event::Stalled { actor: id.clone() });
            }
            return Err(SendError::Full);
        }
        self.sent = true;
        self.courier.is_stirred |= self.mode == Mode::Eager;
        Ok(())
    }

    /// A checkpoint has become durable.
    pub(super) fn stir(&mut self) {
        self.courier.is_stirred |= !self.is_drained();
    }

    pub(super) fn is_stirred(&self) -> bool {
        self.courier.is_stirred
    }

    /// Sends off all that may leave, given how far the checkpoints reach.
    pub(super) fn run_jobs(&mut self, durable: u64) {
        self.courier.run_jobs(if self.mode == Mode::Eager { u64::MAX } else { durable });
    }

    pub(super) fn poll_returned(&mut self, task: &mut Task<'_>) -> Poll<Returned> {
        self.courier.poll_returned(task)
    }

    /// `number` is that of the change which this may be.
    pub(super) fn returned(&mut self, returned: Returned, now: Mono, number: u64) -> Follow {
        let follow = self.courier.returned(returned, now, number);
        if let Follow::Over { to, messages, .. } = &follow {
            let (from, to, messages) = (self.courier.me.clone(), to.clone(), *messages);
            self.courier.post.emit(Event::Undelivered { from, to, messages });
        }
        follow
    }

    pub(super) fn wakes_at(&self) -> Option<Mono> {
        self.courier.outbox.wakes_at()
    }

    pub(super) fn wake(&mut self, now: Mono) {
        self.courier.wake(now);
    }

    /// Until when nothing new should be taken in, because so much waits to leave.
    pub(super) fn stalls_until(&mut self, now: impl FnOnce() -> Mono) -> Option<Mono> {
        if !self.courier.outbox.is_heavy() {
            self.heavy = None;
            return None;
        }
        let (now, length) = (now(), self.courier.outbox.len());
        let heavy = self.heavy.get_or_insert(Heavy { since: now, length });
        // Two that wait for each other must go on: what makes it no longer is taken in at once, what makes it longer
        // now and then.
        if length > heavy.length {
            heavy.since = now;
        }
        heavy.length = length;
        let until = heavy.since + STALL_PATIENCE;
        (now < until).then_some(until)
    }

    /// How many messages have not arrived, as far as is known.
    pub(super) fn unsettled(&self) -> usize {
        self.courier.outbox.len()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.courier.outbox.is_empty()
    }

    /// Whether a reliable message is to be handled; notes it as taken then.
    pub(super) fn admit(&mut self, from: &Sender, parcel: &Parcel) -> Admit {
        match self.inbox.judge(from, parcel) {
            Verdict::Known => return Admit::Skip,
            Verdict::Early => return Admit::Refuse,
            Verdict::Next => {}
        }
        // One that is not in the table is new, or was forgotten after its end.
        let may_come = || !self.inbox.is_full() && self.courier.post.standing(from) == Standing::Current;
        if !self.inbox.knows(from) && !may_come() {
            return Admit::Refuse;
        }
        self.inbox.take(from, parcel.seq);
        Admit::Handle
    }

    /// The sender has the replies up to a number.
    pub(super) fn answered(&mut self, from: &Sender, up_to: u64) {
        self.inbox.answered(from, up_to);
    }

    pub(super) fn remember(&mut self, from: &Sender, seq: u64, reply: Replied) {
        self.inbox.remember(from, seq, reply);
    }

    /// The replies that a sender may not have yet, from a number on.
    pub(super) fn replies(&self, from: &Sender, since: u64) -> BTreeMap<u64, Replied> {
        self.inbox.replies(from, since)
    }

    pub(super) fn put_aside(&mut self, from: &Sender, parcel: Parcel, why: CallError) {
        let Parcel { seq, message, payload, is_ask, .. } = parcel;
        if is_ask || matches!(from, Sender::Client(_)) {
            self.inbox.remember(from, seq, Err(why.clone()));
        }
        if let Sender::Actor { id, .. } = &self.courier.me {
            let (actor, from) = (id.clone(), from.clone());
            let event =
                Event::DeadLetter { actor, from, message: message.clone(), why: why.reason.to_string() };
            self.courier.post.emit(event);
        }
        if self.dead.len() >= MAX_DEAD_LETTERS {
            self.dead.pop_front();
        }
        let payload = payload.into_iter().take(MAX_DEAD_LETTER_BYTES).collect::<Vec<u8>>();
        self.dead.push_back(DeadLetter {
            from: from.clone(),
            message,
            payload: ByteBuf::from(payload),
            why: why.reason.to_string(),
        });
    }

    pub(super) fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }
}
