//! The way back to the caller. Every caller hears exactly once, whatever becomes of its message.

use serde::Serialize;
use std::any::Any;
use tokio::sync::oneshot;

use super::codec::encode_reply;
use crate::error::{CallError, Reason};

/// Takes the encoded reply to another peer. Must not block or panic.
pub type WireReply = Box<dyn FnOnce(Result<Vec<u8>, CallError>) + Send>;

/// Why a caller on this peer has no reply; and its message, if that was never looked at.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: CallError,
    pub(super) message: Option<Box<dyn Any + Send>>,
}

/// Where a caller on this peer waits.
pub(super) type LocalCaller<R> = oneshot::Sender<Result<R, Box<Unanswered>>>;

enum Port<R> {
    Nobody,
    Local(LocalCaller<R>),
    Wire(WireReply),
}

impl<R> Port<R> {
    fn fail(self, error: CallError, message: Option<Box<dyn Any + Send>>) {
        match self {
            Port::Nobody => {}
            // A caller that gave up is gone; nobody else wants its answer. So below.
            Port::Local(caller) => drop(caller.send(Err(Box::new(Unanswered { error, message })))),
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

    pub(super) fn local(caller: LocalCaller<R>) -> Self {
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
        std::mem::replace(&mut self.port, Port::Nobody).fail(error, None);
    }

    /// Fails, and gives the message back to a caller that can send it again as it is.
    pub(super) fn refuse(mut self, error: CallError, message: impl Any + Send) {
        let port = std::mem::replace(&mut self.port, Port::Nobody);
        let back = matches!(port, Port::Local(_)).then(|| Box::new(message) as Box<dyn Any + Send>);
        port.fail(error, back);
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
        if matches!(self.port, Port::Nobody) {
            return;
        }
        let port = std::mem::replace(&mut self.port, Port::Nobody);
        let error = match self.started {
            true => CallError::unknown(Reason::HostGone),
            false => CallError::not_executed(Reason::HostGone),
        };
        port.fail(error, None);
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
