//! Reliable messages on their way into an actor.

use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::api::Actor;
use super::mailbox::BoxEnvelope;
use super::reply::{WireReply, Withheld};
use crate::core::session::{Parcel, Receipt, Replied, Sender};
use crate::error::CallError;

/// Takes the receipt. Must not block or panic.
pub type WireReceipt = Box<dyn FnOnce(Receipt) + Send>;

/// The way back to the sender. Dropped, it has the messages sent again.
pub(super) struct Ack {
    receipt: Option<WireReceipt>,
    replies: BTreeMap<u64, Replied>,
}

impl Ack {
    pub(super) fn new(receipt: WireReceipt) -> Self {
        Self { receipt: Some(receipt), replies: BTreeMap::new() }
    }

    /// What goes with it.
    pub(super) fn with(mut self, replies: BTreeMap<u64, Replied>) -> Self {
        self.replies = replies;
        self
    }

    /// For a router that tries elsewhere.
    pub(super) fn into_inner(mut self) -> Option<WireReceipt> {
        self.receipt.take()
    }

    fn send(&mut self, receipt: Receipt) {
        if let Some(send) = self.receipt.take() {
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
        let replies = std::mem::take(&mut self.replies);
        self.send(Receipt::Durable(replies));
    }

    fn fail(mut self: Box<Self>, _: CallError) {
        self.send(Receipt::Later);
    }
}

/// Where a handler's reply waits to be remembered.
#[derive(Clone, Default)]
pub(super) struct ReplySlot(Arc<Mutex<Option<Replied>>>);

impl ReplySlot {
    /// The way there.
    pub(super) fn door(&self) -> WireReply {
        let slot = self.clone();
        Box::new(move |reply| {
            *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply.map(ByteBuf::from));
        })
    }

    pub(super) fn take(&self) -> Option<Replied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One message, read at the door: what could not be read is still taken, and put aside.
pub(super) struct Opened<A: Actor> {
    pub(super) parcel: Parcel,
    pub(super) letter: Result<BoxEnvelope<A>, CallError>,
    /// None if the sender wants none.
    pub(super) reply: Option<ReplySlot>,
}

/// Messages of one sender that arrived together.
pub(super) struct Bundle<A: Actor> {
    pub(super) from: Sender,
    /// The number of the first one.
    pub(super) first: u64,
    /// The sender has the replies up to this number.
    pub(super) answered: u64,
    pub(super) items: VecDeque<Opened<A>>,
    pub(super) ack: Ack,
}
