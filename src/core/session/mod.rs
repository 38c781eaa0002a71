//! Reliable messages: what a receiver remembers of its senders, and what a sender keeps of what it sent.
//!
//! Each sender numbers its messages, and says with each which one it had sent to the same target before. The
//! receiver takes a message once, and none before the one it follows; its [`Inbox`], the newest number of each
//! sender, is part of its checkpoint. The sender keeps a message in its [`Outbox`], part of its own checkpoint,
//! until a *durable* checkpoint of the receiver covers it, and sends it again until then. So the effect on the
//! receiver's state is there exactly once, whichever of the two goes back to a checkpoint, however often.
//!
//! This is MillWheel's scheme (Akidau et al., VLDB 2013), with the peers' checkpoints in place of its store.

mod inbox;
mod outbox;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::fmt;

use crate::error::CallError;
use crate::id::ActorId;

pub use inbox::{Inbox, Verdict};
pub use outbox::{Batch, Content, Job, Outbox};

/// Who sends reliably. One that ends and begins anew under the same name is another sender.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sender {
    /// An actor in one of its lives (the log index of its creation).
    Actor {
        /// Its name.
        id: ActorId,
        /// Which life.
        life: u64,
    },
    /// A session of a client outside of any actor, by the log index of its registration.
    Client(u64),
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Actor { id, .. } => id.fmt(f),
            Sender::Client(session) => write!(f, "session {session}"),
        }
    }
}

/// Whether a sender's messages may still be taken, as one peer's applied state tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It lives.
    Current,
    /// This peer has not applied its beginning yet.
    NotYet,
    /// It has ended: what still comes of it is late.
    Over,
}

/// One reliable message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Its number: rises with every message of the sender, whatever the target.
    pub seq: u64,
    /// The number of the message that must be taken before this one; 0 if there is none.
    pub after: u64,
    /// The message's name.
    pub message: String,
    /// The message, encoded.
    pub payload: ByteBuf,
    /// Whether the sender wants the reply.
    pub is_ask: bool,
}

/// Messages of one sender on their way to one life of one actor, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcels {
    /// Who sends them.
    pub from: Sender,
    /// To whom.
    pub to: ActorId,
    /// In which of its lives.
    pub life: u64,
    /// The sender has the replies up to this number: they need not be remembered any more.
    pub answered: u64,
    /// The messages.
    pub items: Vec<Parcel>,
}

/// The reply to a message, encoded; or why there is none, though the message was taken.
pub type Replied = Result<ByteBuf, CallError>;

/// What became of [`Parcels`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// A durable checkpoint of the receiver covers all of them. The replies, by number, to those that wanted one.
    Durable(BTreeMap<u64, Replied>),
    /// Not known to be durable: they are to be sent again.
    Later,
    /// The receiver's life is over.
    Over,
}
