//! Actors whose machines may die: an empty machine takes a dead one's place under its name, and gets
//! its actors back with their state. No outside store is needed.
//!
//! The README has a program to begin with, what is guaranteed and what is not, and notes for operators;
//! ARCHITECTURE.md says why it works. This page is the map of the code. Users need [`Peer`], [`actor`],
//! [`identity`] and, for tests of their own, `testing` (a feature).
//!
//! # One message
//!
//! [`Peer::ask`] (`peer/calls`) looks the name up in the directory, the part of the replicated state
//! (`core/state`) that says which process hosts which actor. An actor on this peer gets the message as
//! the value it is: `actor/send` puts it into the mailbox. Another peer's is encoded (`wire`) and sent
//! by [`transport`] (`peer/carry`); there `peer/serve` hands it to `actor/host`. Either way the actor's loop
//! (`actor/running`) takes it out, in a task of its own or within a caller that would only wait
//! (`actor/visit`), and polls the handler behind `actor/gate`, which is open only while the peer holds
//! its lease. The reply leaves if the lease still holds; for [`Peer::ask_durable`] it first waits in
//! `actor/ledger` for a checkpoint. While the actor's home is away, the call waits in `peer/calls`.
//!
//! Actors that need no name and are not to survive their process ([`LocalActor`]) are apart from all this, in
//! `peer/local`.
//!
//! # One checkpoint
//!
//! `actor/ledger` knows when one is due. Between two messages `actor/running` encodes the state and
//! hands it over; messages go on. `checkpoint/save` gathers a batch, writes it to the own disk
//! ([`store`]) and, with `checkpoint/replicate`, to the peers that `core/placement` chose. When those
//! have acknowledged, `peer/propose` gets a `Commit` into the log (`raft`), and `core/apply` decides
//! whether it counts. `checkpoint/repair` makes lost copies again, `checkpoint/collect` deletes old
//! ones.
//!
//! # One reliable message
//!
//! [`Context::send`](actor::Context::send) puts it into the outbox (`core/session`), which the next checkpoint holds.
//! When that is durable, `actor/mail` hands it to `peer/post`, which finds the receiver's host; there it waits in the
//! mailbox, and `actor/running` takes it if the session table says that it is the next one. When the receiver's
//! checkpoint is durable, the sender is told, and forgets it. Until then it sends it again. `peer/session` does the
//! same for clients that are no actors.
//!
//! # One lost machine
//!
//! Its heartbeats (`peer/heartbeat`) stop. The leader (`peer/reign`) asks `core/lease` whether its
//! lease has certainly ended, and then commits `MarkDown`. A new process under the same node id asks to
//! join (`peer/join`); the leader commits `Admit`, and `core/apply` retires the old process and gives
//! its actors to the new one in that same step. Every peer sees it in `peer/follow`; the new one starts
//! its actors in `peer/hosting`, from copies that `checkpoint/fetch` gets and verifies. Calls that were
//! waiting go there. Meanwhile `peer/duties` drives the voters to what `core/voters` wants. If the old
//! process was only asleep, it learns that it is retired from whomever it speaks to, and its gate is
//! shut for good.
//!
//! Actors that need not wait run elsewhere meanwhile: `core/hosting` says where, in the step that marks
//! their home down or in a later one that `peer/duties` proposes. Home again, they are called back by
//! `peer/hand_over`, which also moves actors when a user asks for it (`peer/moves`).
//!
//! # Layout
//!
//! `core` decides and does nothing; `raft` (openraft), [`store`] (RocksDB) and [`transport`] (quinn)
//! act and know nothing of each other; [`actor`] runs users' code; `checkpoint` and `peer` tie them
//! together. Every bound is in [`limits`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod actor;
#[cfg(feature = "canary")]
#[doc(hidden)]
pub mod canary;
#[cfg(not(feature = "canary"))]
mod canary;
mod channel;
mod checkpoint;
pub mod clock;
#[cfg(feature = "canary")]
#[doc(hidden)]
pub mod core;
#[cfg(not(feature = "canary"))]
pub(crate) mod core;
mod error;
mod gather;
pub mod id;
pub mod identity;
pub mod limits;
mod peer;
#[cfg(any(test, feature = "testing"))]
mod prng;
mod raft;
pub mod store;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;
mod variants;
mod wire;

pub use core::event::Event;
pub use core::session::Sender;
pub use core::state::Status as Standing;
pub use core::watching::Change;
pub use error::{CallError, Outcome, Reason};
pub use peer::{
    ActorStatus, Builder, CreateOptions, LocalActor, LocalContext, LocalHandler, LocalRef, MemberStatus,
    Peer, PhaseStatus, Placement, Session, SpawnError, StartError, Status, Timing, WaitError, Watcher,
};

/// Compiles and runs the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
