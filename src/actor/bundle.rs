//! Reliable messages on their way into an actor.

use std::collections::VecDeque;

use super::api::Actor;
use super::mailbox::BoxEnvelope;
use super::reply::Withheld;
use crate::core::session::{Parcel, Receipt, Sender};
use crate::error::CallError;

/// Takes the receipt. Must not block or panic.
pub type WireReceipt = Box<dyn FnOnce(Receipt) + Send>;

/// The way back to the sender. Dropped, it has the messages sent again.
pub(super) struct Ack(Option<WireReceipt>);

impl Ack {
    pub(super) fn new(receipt: WireReceipt) -> Self {
        Self(Some(receipt))
    }

    /// For a router that tries elsewhere.
    pub(super) fn into_inner(mut self) -> Option<WireReceipt> {
        self.0.take()
    }

    fn send(&mut self, receipt: Receipt) {
        if let Some(send) = self.0.take() {
            send(receipt);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.send(Receipt::Later);
    }
}

impl Withheld for Ack {
    fn release(mut self: Box<Self>) {
        self.send(Receipt::Durable);
    }

    fn fail(mut self: Box<Self>, _: CallError) {
        self.send(Receipt::Later);
    }
}

/// One message, read at the door: what could not be read is still taken, and put aside.
pub(super) struct Opened<A: Actor> {
    pub(super) parcel: Parcel,
    pub(super) letter: Result<BoxEnvelope<A>, String>,
}

/// Messages of one sender that arrived together.
pub(super) struct Bundle<A: Actor> {
    pub(super) from: Sender,
    pub(super) items: VecDeque<Opened<A>>,
    pub(super) ack: Ack,
}
