//! What a host needs from its peer to send and take reliable messages.

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::core::event::Event;
use crate::core::session::{Parcels, Receipt, Sender, Standing};
use crate::core::watching::Seen;
use crate::id::ActorId;

/// Why a reliable message was not sent. Nothing of it will happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// As many messages as an outbox holds wait for receivers that are slow or away
    /// ([`MAX_OUTBOX_MESSAGES`](crate::limits::MAX_OUTBOX_MESSAGES),
    /// [`MAX_OUTBOX_BYTES`](crate::limits::MAX_OUTBOX_BYTES)). Do without it, or keep it in the state and send it
    /// later.
    #[error("the outbox is full: its receivers are slow or away")]
    Full,
    /// The message could not be encoded, or is too large.
    #[error("encoding: {0}")]
    Codec(String),
    /// The sender's kind keeps no checkpoints ([`When::Never`](super::When::Never)), so it could forget what it sent.
    #[error("a kind without checkpoints cannot send reliably")]
    NoCheckpoints,
}

/// Reliable messages that did not reach an actor because its life is over: it was stopped, or there was none.
///
/// They may have been handled before it ended; its state is gone with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// To whom.
    pub to: ActorId,
    /// How many.
    pub messages: u64,
}

/// What became of the question which life a target is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// This one.
    Life(u64),
    /// There is no such actor, as the leader sees it.
    NoSuchActor,
    /// It could not be found out for now.
    Later,
}

/// The peer, as its actors' reliable messages see it. No method may block.
pub trait Post: Send + Sync + 'static {
    /// The life that an actor is in, as far as this peer knows.
    fn life_of(&self, actor: &ActorId) -> Option<u64>;

    /// Whether a sender's messages may be taken.
    fn standing(&self, sender: &Sender) -> Standing;

    /// The life that an actor is in, as the leader sees it.
    fn resolve(&self, actor: ActorId) -> BoxFuture<'static, Resolved>;

    /// What the directory shows of an actor.
    fn look(&self, actor: &ActorId) -> Option<Seen>;

    /// Rings when that may have changed, for as long as somebody listens.
    fn watch(&self, actor: &ActorId, bell: mpsc::Sender<()>);

    /// Brings messages to their receiver, and says what became of them, in bounded time.
    fn deliver(&self, parcels: Parcels) -> BoxFuture<'static, Receipt>;

    /// Tells the users of this peer: [`Event::Stalled`], [`Event::DeadLetter`], [`Event::Undelivered`].
    fn emit(&self, event: Event);
}
