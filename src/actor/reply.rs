//! The way back to the caller. Every caller hears exactly once, whatever becomes of its message.

use serde::Serialize;
use tokio::sync::oneshot;

use super::codec::encode_reply;
use crate::error::{CallError, Reason};

/// Takes the encoded reply to another peer. Must not block or panic.
pub type WireReply = Box<dyn FnOnce(Result<Vec<u8>, CallError>) + Send>;

enum Port<R> {
    Nobody,
    Local(oneshot::Sender<Result<R, CallError>>),
    Wire(WireReply),
}

impl<R> Port<R> {
    fn fail(self, error: CallError) {
        match self {
            Port::Nobody => {}
            // A caller that gave up is gone; nobody else wants its answer. So below.
            Port::Local(caller) => drop(caller.send(Err(error))),
            Port::Wire(answer) => answer(Err(error)),
        }
    }
}

/// A caller that waits. Dropped without an answer it is told that the host went away, and whether
/// its message had been touched.
pub(super) struct Reply<R> {
    port: Port<R>,
    started: bool,
}

impl<R> Reply<R> {
    pub(super) fn nobody() -> Self {
        Self { port: Port::Nobody, started: false }
    }

    pub(super) fn local(caller: oneshot::Sender<Result<R, CallError>>) -> Self {
        Self { port: Port::Local(caller), started: false }
    }

    pub(super) fn wire(answer: WireReply) -> Self {
        Self { port: Port::Wire(answer), started: false }
    }

    /// The handler is polled from here on, so "not executed" can no longer be said.
    pub(super) fn started(&mut self) {
        self.started = true;
    }

    pub(super) fn fail(mut self, error: CallError) {
        std::mem::replace(&mut self.port, Port::Nobody).fail(error);
    }
}

impl<R: Serialize + Send + 'static> Reply<R> {
    pub(super) fn send(mut self, value: R) {
        match std::mem::replace(&mut self.port, Port::Nobody) {
            Port::Nobody => {}
            Port::Local(caller) => drop(caller.send(Ok(value))),
            Port::Wire(answer) => answer(encode_reply(&value)),
        }
    }

    /// Keeps the reply back until a checkpoint holds what it tells. Nothing to keep for a tell.
    pub(super) fn withhold(self, value: R) -> Option<Box<dyn Withheld>> {
        match self.port {
            Port::Nobody => None,
            _ => Some(Box::new(Held { reply: self, value })),
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        let port = std::mem::replace(&mut self.port, Port::Nobody);
        port.fail(match self.started {
            true => CallError::unknown(Reason::HostGone),
            false => CallError::not_executed(Reason::HostGone),
        });
    }
}

/// A reply that waits for a checkpoint. Dropped, its outcome is unknown: the state it speaks of may
/// come back after the restore, or not.
pub(super) trait Withheld: Send {
    fn release(self: Box<Self>);
    fn fail(self: Box<Self>, error: CallError);
}

struct Held<R> {
    reply: Reply<R>,
    value: R,
}

impl<R: Serialize + Send + 'static> Withheld for Held<R> {
    fn release(self: Box<Self>) {
        self.reply.send(self.value);
    }

    fn fail(self: Box<Self>, error: CallError) {
        self.reply.fail(error);
    }
}
