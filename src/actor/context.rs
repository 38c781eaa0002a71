//! What a handler can see and ask for besides its actor's state.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::api::{Actor, Handler, Message};
use super::codec::{CodecError, encode_message};
use super::gate::Retired;
use super::life::Life;
use super::mail::{DeadLetter, Mail};
use super::policy::Outbox;
use super::post::SendError;
use super::reference::ActorRef;
use super::timers::{ScheduleError, TimerId, Timers};
use super::watches::{WatchError, Watches};
use crate::clock::Mono;
use crate::id::Epoch;
use crate::peer::Peer;

/// What lies around one activation: a handle on the peer that runs it.
pub type Outside = Arc<dyn Any + Send + Sync>;

/// Makes such a handle. The host itself must not hold one: the peer owns the host.
pub type OutsideDoor = Box<dyn Fn() -> Outside + Send + Sync>;

/// A handler's view of its surroundings.
pub struct Context<A> {
    me: ActorRef<A>,
    life: Arc<Life>,
    outside: Outside,
    mail: Mail,
    timers: Timers,
    watches: Watches,
    /// Whether the message at hand came reliably: its reply is remembered, and leaves with the receipt.
    is_parcel: bool,
    /// Whether a reply that leaves now would tell of something that a failure can still take back.
    is_unsettled: bool,
    wants_checkpoint: bool,
    wants_stop: bool,
    /// Whether timers or watches were changed.
    has_set: bool,
    /// When a lease was seen to be held after the last handler.
    cleared: Option<Mono>,
}

/// What a handler asked for.
pub(super) struct Requests {
    pub(super) checkpoint: bool,
    pub(super) stop: bool,
    pub(super) sent: bool,
    /// Any of these, or timers or watches were changed.
    pub(super) any: bool,
}

impl<A: Actor> Context<A> {
    pub(super) fn new(
        me: ActorRef<A>,
        life: Arc<Life>,
        outside: Outside,
        (mail, timers, watches): (Mail, Timers, Watches),
    ) -> Self {
        Self {
            me,
            life,
            outside,
            mail,
            timers,
            watches,
            is_parcel: false,
            is_unsettled: false,
            wants_checkpoint: false,
            wants_stop: false,
            has_set: false,
            cleared: None,
        }
    }

    /// This actor's own reference.
    pub fn me(&self) -> &ActorRef<A> {
        &self.me
    }

    /// The fencing token of this activation: hand it to whatever outside the cluster is written to,
    /// and let that refuse a lower one than it has seen.
    pub fn epoch(&self) -> Epoch {
        self.life.epoch
    }

    /// Asks for a checkpoint once this handler has returned. The reply waits until it is durable;
    /// a reply that arrives stands for state that no failure takes back.
    ///
    /// Other messages are handled meanwhile.
    pub async fn checkpoint(&mut self) {
        self.wants_checkpoint = true;
    }

    /// Sends a message reliably: it takes effect on the receiver's state exactly once, in the order in which this
    /// actor sent to it, whatever machines die meanwhile on either side, or both. Its reply is dropped: an answer is a
    /// message of its own.
    ///
    /// It leaves once this actor's next checkpoint is durable ([`Outbox::Held`], the default), which is taken for it
    /// at once, or when the handler has returned ([`Outbox::Eager`]). While its receiver is away it waits, and while
    /// much waits the actor takes in nothing new. If the receiver is stopped, or was never created,
    /// [`Actor::on_undelivered`] is told.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then. This never waits: two actors with full outboxes that face each other
    /// would wait for ever.
    pub fn send<B: Handler<M>, M: Message>(&mut self, to: &ActorRef<B>, message: M) -> Result<(), SendError> {
        if !self.life.keeps_checkpoints() {
            return Err(SendError::NoCheckpoints);
        }
        let payload = encode_message(&message).map_err(|e| SendError::Codec(e.reason.to_string()))?;
        self.mail.push(to.id(), M::NAME, payload)
    }

    /// Sends this actor a message of its own after a while. The end of this activation (a failure, a panic, a move)
    /// forgets it: [`Actor::on_restored`] may set it anew.
    ///
    /// # Errors
    /// [`ScheduleError`]; nothing was set then.
    pub fn schedule<M: Message>(&mut self, after: Duration, message: M) -> Result<TimerId, ScheduleError>
    where
        A: Handler<M>,
    {
        self.set_timer(after, message, false)
    }

    /// Like [`Context::schedule`], but checkpoints hold the timer: it survives whatever the state survives, and its
    /// message takes effect on the state once. Time in which the actor ran nowhere, and since the checkpoint with which
    /// it begins anew, does not count.
    ///
    /// # Errors
    /// [`ScheduleError`]; nothing was set then.
    pub fn schedule_durable<M: Message>(
        &mut self,
        after: Duration,
        message: M,
    ) -> Result<TimerId, ScheduleError>
    where
        A: Handler<M>,
    {
        if !self.life.keeps_checkpoints() {
            return Err(ScheduleError::NoCheckpoints);
        }
        self.set_timer(after, message, true)
    }

    fn set_timer<M: Message>(
        &mut self,
        after: Duration,
        message: M,
        durable: bool,
    ) -> Result<TimerId, ScheduleError> {
        if !self.life.kind.handles(M::NAME) {
            return Err(ScheduleError::NotHandled(M::NAME));
        }
        let payload = encode_message(&message).map_err(|e| ScheduleError::Codec(e.reason.to_string()))?;
        self.has_set = true;
        self.timers.set(self.life.gate.now() + after, M::NAME, payload, durable)
    }

    /// Takes back a timer. Whether it had not fired yet.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.has_set = true;
        self.timers.cancel(timer)
    }

    /// Lets this actor be told what happens to another one ([`Actor::on_change`]), until that ends or
    /// [`Context::unwatch`]. Checkpoints hold this: an actor that begins anew is told what has changed since its
    /// checkpoint. Changes in quick succession are told as one. For a kind without checkpoints, the end of this
    /// activation forgets it.
    ///
    /// # Errors
    /// [`WatchError::Full`].
    pub fn watch<B: Actor>(&mut self, other: &ActorRef<B>) -> Result<(), WatchError> {
        self.has_set = true;
        self.watches.watch(other.id())
    }

    /// Ends that. Whether it was watched.
    pub fn unwatch<B: Actor>(&mut self, other: &ActorRef<B>) -> bool {
        self.has_set = true;
        self.watches.unwatch(other.id())
    }

    /// The reliable messages that were put aside because the handler panicked on them too often, or because they do
    /// not decode; the newest [`MAX_DEAD_LETTERS`](crate::limits::MAX_DEAD_LETTERS).
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.mail.dead_letters()
    }

    /// Asks for this actor's end once this handler has returned and its reply is out. Messages
    /// still in the mailbox are not executed. What it sent reliably is brought to its receivers first, for up to
    /// [`STOP_DRAIN_DEADLINE`](crate::limits::STOP_DRAIN_DEADLINE).
    pub fn stop(&mut self) {
        self.wants_stop = true;
    }

    /// The peer that runs this actor: to call others, to see events, to create actors.
    ///
    /// Do not wait here for an actor that may be waiting for this one: an actor handles one message
    /// at a time, so both would wait until a deadline ends it.
    pub fn peer(&self) -> &Peer {
        match self.outside.downcast_ref() {
            Some(peer) => peer,
            None => unreachable!("outside the runtime's own tests, an actor runs inside a peer"),
        }
    }

    /// What the host was built with.
    #[doc(hidden)]
    pub fn outside(&self) -> &(dyn Any + Send + Sync) {
        &*self.outside
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// The handler has returned: whether what it did may leave now.
    pub(super) fn is_clear(&mut self) -> bool {
        self.cleared = self.life.is_clear();
        self.cleared.is_some()
    }

    /// Waits until that is so.
    pub(super) async fn clear(&mut self) -> Result<(), Retired> {
        self.cleared = Some(self.life.clear().await?);
        Ok(())
    }

    /// The moment at which that was so; it can be had once.
    pub(super) fn take_cleared(&mut self) -> Option<Mono> {
        self.cleared.take()
    }

    pub(super) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint
    }

    pub(super) fn mail(&mut self) -> &mut Mail {
        &mut self.mail
    }

    pub(super) fn watches(&mut self) -> &mut Watches {
        &mut self.watches
    }

    pub(super) fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// What a checkpoint is to hold besides the state.
    pub(super) fn save(&mut self) -> Result<Vec<u8>, CodecError> {
        self.mail.save(&self.timers, self.watches.saved(), || self.life.gate.now())
    }

    /// Message number `stamp` is about to be handled.
    pub(super) fn begin(&mut self, stamp: u64, is_parcel: bool, is_unsettled: bool) {
        (self.is_parcel, self.is_unsettled) = (is_parcel, is_unsettled);
        self.mail.begin(stamp);
    }

    pub(super) fn is_parcel(&self) -> bool {
        self.is_parcel
    }

    /// Whether a reply has to wait for the checkpoint that holds the reliable messages before it.
    pub(super) fn is_held(&self) -> bool {
        self.mail.mode() == Outbox::Held && (self.is_unsettled || self.mail.has_sent())
    }

    /// Whether the message at hand has sent others.
    pub(super) fn has_sent(&self) -> bool {
        self.mail.has_sent()
    }

    /// What the last handler asked for.
    pub(super) fn take_requests(&mut self) -> Requests {
        let checkpoint = std::mem::take(&mut self.wants_checkpoint);
        let stop = std::mem::take(&mut self.wants_stop);
        let sent = self.mail.has_sent();
        let any = std::mem::take(&mut self.has_set) || checkpoint || stop || sent;
        Requests { checkpoint, stop, sent, any }
    }
}
