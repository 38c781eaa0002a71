//! What an actor is told when it begins anew.

use std::time::Duration;

use super::api::Actor;
use super::context::Context;
use super::mailbox::{Envelope, Opening, telling};
use crate::error::CallError;

/// Why an actor begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Its host was lost, was replaced, or came back. What it did since the checkpoint is undone.
    Recovered,
    /// A handler panicked. What it did since the checkpoint is undone.
    Panicked,
    /// It was handed over by another peer. Nothing is undone.
    Moved,
}

/// See [`Actor::on_restored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Why.
    pub cause: Cause,
    /// The number of the checkpoint whose state it has.
    pub from_seq: u64,
    /// How long ago that checkpoint became durable, as far as a living peer still knows, and a little less (50 ms; a
    /// twentieth where it is long ago): what it did in that time, less the downtime, is undone.
    pub age: Option<Duration>,
    /// For how long it ran nowhere, at least, as far as its new host knows.
    pub downtime: Duration,
    /// Its reliable messages that had not arrived when the checkpoint was taken: they are sent (again) now.
    pub resends: usize,
}

/// It is told like a message, before any other.
impl<A: Actor> Envelope<A> for Restored {
    fn open<'a>(&mut self, actor: &'a mut A, ctx: &'a mut Context<A>) -> Opening<'a> {
        let restored = *self;
        telling(async move { actor.on_restored(restored, ctx).await })
    }

    fn refuse(&mut self, _: CallError) {}
}
