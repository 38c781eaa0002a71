//! Actors: state with a name, messages handled one at a time, checkpoints in between.
//!
//! One message: a caller's [`Host`] puts it into the actor's mailbox (typed, or decoded at the door
//! when it comes from another peer); the actor's loop takes it out and polls the handler, behind the
//! [`Gate`] that is the peer's lease; the reply leaves if the lease still holds, and, if somebody
//! asked for durability, once a checkpoint holds what it tells.
//!
//! One checkpoint: between two messages, when the kind's [`Policy`] says so, the loop encodes the
//! state and hands it to the [`Saver`]; messages go on meanwhile.
//!
//! One panic: it is caught, the caller is told, the state is dropped; after a back-off the `Saver`
//! asks the log for a new epoch, and the host is told to start what was restored under that.
//!
//! Nothing here knows of Raft, disks or connections.

mod alarm;
mod api;
mod aside;
mod bundle;
mod caught;
mod codec;
mod context;
mod courier;
mod gate;
mod host;
mod kind;
mod ledger;
mod life;
mod mail;
mod mailbox;
mod near;
mod policy;
mod post;
mod reference;
mod reply;
mod restarts;
mod restored;
mod running;
mod saver;
mod send;
mod supervise;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod under_way;
mod visit;
mod watches;

pub use api::{Actor, Handler, Message, Snapshot};
pub use bundle::WireReceipt;
pub(crate) use caught::{begin_caught, poll_caught};
pub use codec::{
    CodecError, MigrateError, StateError, append_message, decode_message, decode_reply, encode_message,
    encode_reply, encode_state,
};
pub use context::{Context, Outside, OutsideDoor};
pub(crate) use courier::{Courier, Follow};
pub use gate::{Gate, GateState, Retired};
pub use host::{Host, Start, StartError, World};
pub use kind::{Kind, KindError, KindOf, Kinds};
pub use life::Observer;
pub use mail::DeadLetter;
pub use mailbox::{Mode, Refused};
pub use policy::{Down, Outbox, Policy, When};
pub use post::{Post, Resolved, SendError, Undelivered};
pub use reference::ActorRef;
pub use reply::WireReply;
pub use restored::{Cause, Restored};
pub use saver::{NewCheckpoint, SaveError, Saver};
pub use send::Pending;
pub use timers::{ScheduleError, TimerId};
pub use watches::WatchError;
