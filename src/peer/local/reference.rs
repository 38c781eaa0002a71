//! A reference to a local actor, and the calls that can be made to it.

use std::fmt;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::letter::{Answer, BoxEnvelope, Letter};
use super::{LocalActor, LocalHandler};
use crate::channel::{NoPlace, Sender};
use crate::error::{CallError, Reason};
use crate::limits::DEFAULT_CALL_DEADLINE;
use crate::peer::Peer;

/// The way to a [local actor](LocalActor). The last one dropped ends it, once what waits is handled.
///
/// It is no name: it cannot be stored, or sent to another process.
pub struct LocalRef<A> {
    pub(super) items: Sender<BoxEnvelope<A>, Peer>,
}

impl<A: LocalActor> LocalRef<A> {
    /// Sends a message and waits for its reply, for at most [`DEFAULT_CALL_DEADLINE`].
    ///
    /// # Errors
    /// [`CallError`] says whether the handler ran. [`Reason::Stopped`]: the actor has ended.
    pub async fn ask<M: Send + 'static>(&self, message: M) -> Result<A::Reply, CallError>
    where
        A: LocalHandler<M>,
    {
        self.ask_within(message, DEFAULT_CALL_DEADLINE).await
    }

    /// Like [`LocalRef::ask`], with a deadline. One of [`FAR_DEADLINE`](crate::limits::FAR_DEADLINE) or more may end up
    /// to two [`PATIENCE_TICK`](crate::limits::PATIENCE_TICK)s late.
    ///
    /// # Errors
    /// [`CallError`] says whether the handler ran.
    pub async fn ask_within<M: Send + 'static>(
        &self,
        message: M,
        deadline: Duration,
    ) -> Result<A::Reply, CallError>
    where
        A: LocalHandler<M>,
    {
        let (way, answer) = oneshot::channel::<Answer<A::Reply>>();
        let mut left = deadline;
        if let Some(letter) = self.put_at_once(Letter::new(message, Some(way)))? {
            left = Box::pin(self.put(letter, deadline)).await?;
        }
        match self.items.beside().shared.within(left, answer).await {
            Some(Ok(Ok(reply))) => Ok(reply),
            Some(Ok(Err(error))) => Err(self.explained(error)),
            Some(Err(_)) => Err(CallError::unknown(Reason::HostGone)),
            None => Err(CallError::unknown(Reason::Deadline)),
        }
    }

    /// Puts a message into the actor's mailbox, waiting for room for at most [`DEFAULT_CALL_DEADLINE`]. Says nothing
    /// about its execution.
    ///
    /// # Errors
    /// Not executed: [`Reason::Full`], or [`Reason::Stopped`].
    pub async fn tell<M: Send + 'static>(&self, message: M) -> Result<(), CallError>
    where
        A: LocalHandler<M>,
    {
        match self.put_at_once(Letter::new(message, None))? {
            None => Ok(()),
            Some(letter) => Box::pin(self.put(letter, DEFAULT_CALL_DEADLINE)).await.map(drop),
        }
    }

    /// The same at once, if there is room.
    ///
    /// # Errors
    /// Not executed: [`Reason::Full`], or [`Reason::Stopped`].
    pub fn try_tell<M: Send + 'static>(&self, message: M) -> Result<(), CallError>
    where
        A: LocalHandler<M>,
    {
        match self.put_at_once(Letter::new(message, None))? {
            None => Ok(()),
            Some(_) => Err(CallError::not_executed(Reason::Full)),
        }
    }

    /// Into the mailbox, or back if that is full.
    fn put_at_once<M: Send + 'static>(
        &self,
        letter: Letter<M, A::Reply>,
    ) -> Result<Option<Letter<M, A::Reply>>, CallError>
    where
        A: LocalHandler<M>,
    {
        match self.items.try_place() {
            Ok(place) => {
                place.send(Box::new(letter));
                Ok(None)
            }
            Err(NoPlace::Full) => Ok(Some(letter)),
            Err(NoPlace::Closed) => Err(self.has_ended()),
        }
    }

    /// Into the mailbox, once there is room; how much time is left.
    async fn put<M: Send + 'static>(
        &self,
        letter: Letter<M, A::Reply>,
        deadline: Duration,
    ) -> Result<Duration, CallError>
    where
        A: LocalHandler<M>,
    {
        let end = Instant::now() + deadline;
        match self.items.beside().shared.within(deadline, pin!(self.items.place())).await {
            Some(Some(place)) => {
                place.send(Box::new(letter));
                Ok(end.saturating_duration_since(Instant::now()))
            }
            Some(None) => Err(self.has_ended()),
            None => Err(CallError::not_executed(Reason::Full)),
        }
    }

    fn has_ended(&self) -> CallError {
        self.explained(CallError::not_executed(Reason::Stopped))
    }

    /// An actor that ended with its peer did so for the peer's reason.
    fn explained(&self, error: CallError) -> CallError {
        match (&error.reason, self.items.beside().shared.why_locals_end()) {
            (Reason::Stopped | Reason::HostGone, Some(reason)) => CallError { reason, ..error },
            _ => error,
        }
    }
}

// By hand, because a derive would ask the same of `A`.
impl<A> Clone for LocalRef<A> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone() }
    }
}

impl<A> fmt::Debug for LocalRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalRef({} on {})", std::any::type_name::<A>(), self.items.beside().shared.node)
    }
}
