//! A message on its way into a local actor, and the way back to its caller.

use stackfuture::StackFuture;
use std::future::poll_fn;
use std::pin::pin;
use tokio::sync::oneshot;

use super::{LocalContext, LocalHandler};
use crate::actor::{begin_caught, poll_caught};
use crate::error::{CallError, Reason};

/// One message to an `A`, whatever its type.
pub(super) trait Envelope<A>: Send {
    fn open<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut LocalContext<A>) -> Opening<'a>;
}

/// A handler at work; an error is what its panic said. A future of a common size is not put on the heap.
pub(super) type Opening<'a> = StackFuture<'a, Result<(), String>, 256>;

pub(super) type BoxEnvelope<A> = Box<dyn Envelope<A>>;

/// What a caller waits for.
pub(super) type Answer<R> = Result<R, CallError>;

/// Whom to answer. Every caller hears exactly once, whatever becomes of its message.
struct Caller<R> {
    way: Option<oneshot::Sender<Answer<R>>>,
    /// Whether the handler may have been polled.
    has_started: bool,
}

impl<R> Caller<R> {
    fn answer(mut self, answer: Answer<R>) {
        if let Some(way) = self.way.take() {
            // A caller that gave up is gone; nobody else wants its answer. So below.
            drop(way.send(answer));
        }
    }
}

impl<R> Drop for Caller<R> {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            drop(way.send(Err(match self.has_started {
                true => CallError::unknown(Reason::HostGone),
                false => CallError::not_executed(Reason::Stopped),
            })));
        }
    }
}

pub(super) struct Letter<M, R> {
    message: M,
    caller: Caller<R>,
}

impl<M, R> Letter<M, R> {
    /// With no way back for one that nobody asked for.
    pub(super) fn new(message: M, way: Option<oneshot::Sender<Answer<R>>>) -> Self {
        Self { message, caller: Caller { way, has_started: false } }
    }
}

impl<A: LocalHandler<M>, M: Send + 'static> Envelope<A> for Letter<M, A::Reply> {
    fn open<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut LocalContext<A>) -> Opening<'a> {
        let Letter { message, mut caller } = *self;
        Opening::from_or_box(async move {
            caller.has_started = true;
            // The actor ends after a panic, so nobody sees it half changed.
            let handled = match begin_caught(|| actor.handle(message, &mut *ctx)) {
                Ok(handling) => {
                    let mut handling = pin!(Some(handling));
                    poll_fn(|task| poll_caught(handling.as_mut(), task)).await
                }
                Err(text) => Err(text),
            };
            // What it did leaves only while its peer may still act.
            ctx.clear().await;
            match handled {
                Ok(reply) => {
                    caller.answer(Ok(reply));
                    Ok(())
                }
                Err(text) => {
                    caller.answer(Err(CallError::executed(Reason::Panicked(text.clone()))));
                    Err(text)
                }
            }
        })
    }
}
