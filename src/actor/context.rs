//! What a handler can see and ask for besides its actor's state.

use std::any::Any;
use std::sync::Arc;

use super::api::Actor;
use super::life::Life;
use super::reference::ActorRef;
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
    wants_checkpoint: bool,
    wants_stop: bool,
}

impl<A: Actor> Context<A> {
    pub(super) fn new(me: ActorRef<A>, life: Arc<Life>, outside: Outside) -> Self {
        Self { me, life, outside, wants_checkpoint: false, wants_stop: false }
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

    /// Asks for this actor's end once this handler has returned and its reply is out. Messages
    /// still in the mailbox are not executed.
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

    pub(super) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint
    }

    /// What the last handler asked for: (a checkpoint, its end).
    pub(super) fn take_requests(&mut self) -> (bool, bool) {
        (std::mem::take(&mut self.wants_checkpoint), std::mem::take(&mut self.wants_stop))
    }
}
