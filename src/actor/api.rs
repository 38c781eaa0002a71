//! What a user of the library writes: an actor, its messages, a handler for each.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{CodecError, MigrateError};
use super::context::Context;
use super::policy::Policy;
use super::post::Undelivered;
use super::restored::Restored;
use crate::core::watching::Change;
use crate::id::ActorId;
use crate::limits::DEFAULT_MAILBOX;

/// A piece of state that has a name in the cluster, handles one message at a time, and survives
/// the machines it runs on.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use standin::actor::{Actor, Context, Handler, Message};
///
/// #[derive(Serialize, Deserialize)]
/// struct Counter { n: u64 }
/// impl Actor for Counter { const KIND: &'static str = "counter"; }
///
/// #[derive(Serialize, Deserialize)]
/// struct Add(u64);
/// impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
///
/// impl Handler<Add> for Counter {
///     async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
///         self.n += n;
///         self.n
///     }
/// }
/// ```
pub trait Actor: Serialize + DeserializeOwned + Send + 'static {
    /// The kind's name, the same on every peer and for ever. 1 to 64 bytes.
    const KIND: &'static str;

    /// The version of the state's layout. Raise it with every change that [`Actor::decode`] cannot
    /// read, and teach [`Actor::migrate`] the old one.
    const VERSION: u32 = 1;

    /// Messages that may wait; at most [`MAX_MAILBOX`](crate::limits::MAX_MAILBOX).
    const MAILBOX: usize = DEFAULT_MAILBOX;

    /// When checkpoints are taken, and how many other peers keep each.
    fn policy() -> Policy {
        Policy::default()
    }

    /// This actor begins anew with a checkpoint: after a failure, after a panic, or where it was moved to. Comes before
    /// any message, and again if this panics. Not for a new actor.
    ///
    /// What it changes in the state is saved with the next checkpoint; what it sends, or
    /// [`Context::checkpoint`], makes that be taken at once.
    fn on_restored(&mut self, _what: Restored, _ctx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Something happened to an actor that this one [watches](Context::watch). After [`Change::Stopped`] it is not
    /// watched any more.
    fn on_change(
        &mut self,
        _of: ActorId,
        _change: Change,
        _ctx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Reliable messages that this actor sent did not arrive, because their receiver's life is over.
    fn on_undelivered(
        &mut self,
        _what: Undelivered,
        _ctx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Reads state that an older version of this kind wrote.
    ///
    /// # Errors
    /// By default every older version is an error.
    fn migrate(old_version: u32, _bytes: &[u8]) -> Result<Self, MigrateError> {
        Err(MigrateError::Unsupported { kind: Self::KIND, found: old_version, current: Self::VERSION })
    }

    /// Writes the state: MessagePack with field names, unless overridden.
    ///
    /// # Errors
    /// What the codec says. The actor goes on; callers that wait for the checkpoint are told.
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        rmp_serde::to_vec_named(self).map_err(CodecError::new)
    }

    /// A cheap snapshot of a state that takes long to write (more than about 10 ms): a clone of what it shares by
    /// `Arc`, say, or of a persistent data structure. It is written elsewhere, and messages go on meanwhile. What it
    /// returns must be what [`Actor::encode`] would have returned at this moment.
    ///
    /// By default there is none, and [`Actor::encode`] is called between two messages.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use standin::actor::{Actor, Snapshot};
    /// use std::sync::Arc;
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Index {
    ///     // Copied only when it is changed while a snapshot is being written: `Arc::make_mut`.
    ///     words: Arc<Vec<String>>,
    /// }
    ///
    /// impl Actor for Index {
    ///     const KIND: &'static str = "index";
    ///     fn snapshot(&self) -> Option<Snapshot> {
    ///         let now = self.clone();
    ///         Some(Box::new(move || now.encode()))
    ///     }
    /// }
    /// ```
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    /// Reads what [`Actor::encode`] of the same version wrote.
    ///
    /// # Errors
    /// What the codec says.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        rmp_serde::from_slice(bytes).map_err(CodecError::new)
    }
}

/// A state at one moment, to be written elsewhere: see [`Actor::snapshot`].
pub type Snapshot = Box<dyn FnOnce() -> Result<Vec<u8>, CodecError> + Send>;

/// What can be sent to an actor, and what comes back.
///
/// To an actor on the same peer it travels as the value it is; to another peer's as MessagePack.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The message's name within the kinds that handle it, the same on every peer. 1 to 128 bytes.
    const NAME: &'static str;

    /// What the handler returns.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// How an actor answers one type of message. Write it as an `async fn`.
///
/// The handler has the state to itself until it returns. It is not polled while the peer holds no
/// lease, so a handler never acts for a peer that the others presume dead; what it hands to a task
/// of its own making (`tokio::spawn`) is not held back like that.
///
/// A task that asks an actor on the same runtime may run its handler itself, within its own poll, if the last
/// [`QUICK_TURNS`](crate::limits::QUICK_TURNS) took [`QUICK_TURN`](crate::limits::QUICK_TURN) each at most.
/// Task-locals, the span of log lines and `tokio::task::id` are the caller's then.
pub trait Handler<M: Message>: Actor {
    /// Handles one message.
    ///
    /// A panic is caught: the caller is told, and the actor restarts from its last checkpoint.
    fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> impl Future<Output = M::Reply> + Send;
}
