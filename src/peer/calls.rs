//! Calls: from a message and a name to a typed reply, or an error that tells the outcome.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

use super::Peer;
use super::carry::{Sent, retried};
use super::route::{Far, Route};
use super::shared::{Phase, Shared};
use crate::actor::{ActorRef, Handler, Host, Message, Mode, Pending, Refused, decode_reply};
use crate::clock::moment;
use crate::error::{CallError, Reason};
use crate::id::ActorId;
use crate::limits::{DEFAULT_CALL_DEADLINE, FAR_DEADLINE};

impl Peer {
    /// Sends a message and waits for its reply, for at most
    /// [`DEFAULT_CALL_DEADLINE`].
    ///
    /// While the actor's home is away the message waits here.
    ///
    /// # Errors
    /// [`CallError`] says whether the handler ran.
    pub async fn ask<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
    ) -> Result<M::Reply, CallError> {
        self.shared.call::<A, M>(to, message, Mode::Ask, DEFAULT_CALL_DEADLINE).await
    }

    /// Like [`Peer::ask`], with a deadline. One of [`FAR_DEADLINE`] or more may end up to two
    /// [`PATIENCE_TICK`](crate::limits::PATIENCE_TICK)s late.
    ///
    /// # Errors
    /// [`CallError`] says whether the handler ran.
    pub async fn ask_within<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        deadline: Duration,
    ) -> Result<M::Reply, CallError> {
        self.shared.call::<A, M>(to, message, Mode::Ask, deadline).await
    }

    /// Like [`Peer::ask_within`], but the reply waits until a checkpoint that holds the message's effect is
    /// durable: no failure can take back what it tells.
    ///
    /// # Errors
    /// [`CallError`] says whether the handler ran.
    pub async fn ask_durable<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        deadline: Duration,
    ) -> Result<M::Reply, CallError> {
        self.shared.call::<A, M>(to, message, Mode::AskDurable, deadline).await
    }

    /// Puts a message into the actor's mailbox, waiting for room and for the actor's home, for at most
    /// [`DEFAULT_CALL_DEADLINE`]. Says nothing about its execution.
    ///
    /// # Errors
    /// [`CallError`] says whether the message may be in the mailbox.
    pub async fn tell<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
    ) -> Result<(), CallError> {
        self.shared.tell::<A, M>(to, message, DEFAULT_CALL_DEADLINE).await
    }

    /// Puts a message into the mailbox of an actor that runs on this very peer, or fails at once.
    ///
    /// # Errors
    /// Not executed: [`Reason::Full`], or [`Reason::NotHere`].
    pub fn try_tell<A: Handler<M>, M: Message>(&self, to: &ActorRef<A>, message: M) -> Result<(), CallError> {
        let host = self.shared.host().ok_or(CallError::not_executed(Reason::Shutdown))?;
        host.tell_local(to, message).map_err(|(_, why)| refused(why, to.id(), M::NAME))
    }
}

impl Shared {
    /// Why no call can succeed any more, if so.
    pub(super) fn over(&self) -> Option<Reason> {
        if !self.is_over.load(Ordering::Acquire) {
            return None;
        }
        match &*self.phase.borrow() {
            Phase::Retired { .. } => Some(Reason::Retired),
            Phase::Stopped => Some(Reason::Shutdown),
            Phase::Failed(why) => Some(Reason::Unavailable(why.clone())),
            Phase::Joining | Phase::Member => None,
        }
    }

    /// One call, wherever the actor is, however often that changes, within the deadline.
    async fn call<A: Handler<M>, M: Message>(
        self: &Arc<Self>,
        to: &ActorRef<A>,
        message: M,
        mode: Mode,
        deadline: Duration,
    ) -> Result<M::Reply, CallError> {
        if let Some(far) = self.known_far(to) {
            let end = moment(deadline);
            return Box::pin(self.call_on::<A, M>(to, message, mode, end, Some(far))).await;
        }
        // Most often the actor is here and has room: no look at the directory and the clock is needed then. What else
        // there may be to do is put on the heap, so that this stays small.
        let (message, end) = match self.ask_at_once(to, message, mode) {
            Err(back) => (back, moment(deadline)),
            Ok(pending) if deadline < FAR_DEADLINE => {
                let end = moment(deadline);
                match settled(Box::pin(tokio::time::timeout_at(end, pending)).await.ok()) {
                    Ok(answer) => return answer,
                    Err((back, _)) => (back, end),
                }
            }
            Ok(pending) => {
                let mut patient = self.patience.limit(pending, deadline);
                match settled((&mut patient).await) {
                    Ok(answer) => return answer,
                    Err((back, _)) => (back, moment(patient.left())),
                }
            }
        };
        Box::pin(self.call_on::<A, M>(to, message, mode, end, None)).await
    }

    /// The rest of a call that did not end where it began.
    async fn call_on<A: Handler<M>, M: Message>(
        self: &Arc<Self>,
        to: &ActorRef<A>,
        mut message: M,
        mode: Mode,
        end: Instant,
        mut known: Option<Arc<Far>>,
    ) -> Result<M::Reply, CallError> {
        loop {
            let (why, took) = match self.next_route(to, end, known.take()).await? {
                Route::Here => match self.call_here::<A, M>(to, message, mode, end).await {
                    Ok(result) => return result,
                    Err((back, why)) => {
                        message = back;
                        (why, Duration::ZERO)
                    }
                },
                Route::There(far) => {
                    let call = self.encode_call::<M>(to.id(), &message, mode)?;
                    match self.call_there(&far, to.id(), call, end).await {
                        Sent::Reply(payload) => return decode_reply::<M>(&payload),
                        Sent::Failed(e) => return Err(e),
                        Sent::Again(e, took) => (e, took),
                    }
                }
                _ => (CallError::not_executed(Reason::Deadline), Duration::ZERO),
            };
            self.wait_or_give_up(why, took, end).await?;
        }
    }

    fn ask_at_once<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        mode: Mode,
    ) -> Result<Pending<M>, M> {
        match self.host_in_charge() {
            Some(host) => host.ask_local(to, message, mode == Mode::AskDurable).map_err(|(back, _)| back),
            None => Err(message),
        }
    }

    /// What runs here, unless this process's life as a member is over.
    #[inline]
    fn host_in_charge(&self) -> Option<&Host> {
        self.host().filter(|_| !self.is_over.load(Ordering::Acquire))
    }

    async fn tell<A: Handler<M>, M: Message>(
        self: &Arc<Self>,
        to: &ActorRef<A>,
        message: M,
        deadline: Duration,
    ) -> Result<(), CallError> {
        // As tokio's own channels do, so that who tells on and on lets others have the thread.
        tokio::task::coop::consume_budget().await;
        if let Some(far) = self.known_far(to) {
            let end = moment(deadline);
            return Box::pin(self.tell_on::<A, M>(to, message, end, Some(far))).await;
        }
        let message = match self.host_in_charge() {
            Some(host) => match host.tell_local(to, message) {
                Ok(()) => return Ok(()),
                Err((back, _)) => back,
            },
            None => message,
        };
        let end = moment(deadline);
        Box::pin(self.tell_on::<A, M>(to, message, end, None)).await
    }

    /// The rest of a tell that did not end where it began.
    async fn tell_on<A: Handler<M>, M: Message>(
        self: &Arc<Self>,
        to: &ActorRef<A>,
        mut message: M,
        end: Instant,
        mut known: Option<Arc<Far>>,
    ) -> Result<(), CallError> {
        let host = self.host().ok_or(CallError::not_executed(Reason::Shutdown))?;
        loop {
            let (why, took) = match self.next_route(to, end, known.take()).await? {
                Route::Here => {
                    let left = end.saturating_duration_since(Instant::now());
                    match self.within(left, pin!(host.tell_local_waiting(to, message))).await {
                        Some(Ok(())) => return Ok(()),
                        Some(Err((back, why))) => {
                            message = back;
                            (refused(why, to.id(), M::NAME), Duration::ZERO)
                        }
                        None => return Err(CallError::not_executed(Reason::Full)),
                    }
                }
                Route::There(far) => {
                    let call = self.encode_call::<M>(to.id(), &message, Mode::Tell)?;
                    match self.call_there(&far, to.id(), call, end).await {
                        Sent::Reply(_) => return Ok(()),
                        Sent::Failed(e) => return Err(e),
                        Sent::Again(e, took) => (e, took),
                    }
                }
                _ => (CallError::not_executed(Reason::Deadline), Duration::ZERO),
            };
            self.wait_or_give_up(why, took, end).await?;
        }
    }

    /// Holds a call that was not executed until something changes, or ends it. The last attempt took so long.
    async fn wait_or_give_up(&self, why: CallError, took: Duration, end: Instant) -> Result<(), CallError> {
        if matches!(why.reason, Reason::NotHandled(_)) {
            return Err(why);
        }
        let Ok(_held) = self.held.try_acquire() else { return Err(CallError::not_executed(Reason::Full)) };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(why);
        }
        let pace = if why.reason == Reason::Full { self.timing.heartbeat / 20 } else { left };
        self.wait_for_change(pace.min(left)).await;
        // What is sent just before the deadline is not answered by then: it would only make unknown what is known.
        let needed = (took * 2).min(self.timing.heartbeat);
        if end.saturating_duration_since(Instant::now()) <= needed { Err(why) } else { Ok(()) }
    }

    /// A call in memory: typed, never serialized. Gives the message back if trying again makes sense.
    async fn call_here<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        mode: Mode,
        end: Instant,
    ) -> Settled<M> {
        let not_taken = |(message, why)| (message, refused(why, to.id(), M::NAME));
        let Some(host) = self.host() else { return Err(not_taken((message, Refused::NotHere))) };
        let asked = host.ask_local_waiting(to, message, mode == Mode::AskDurable);
        let Ok(asked) = tokio::time::timeout_at(end, asked).await else {
            return Ok(Err(CallError::not_executed(Reason::Full)));
        };
        settled(tokio::time::timeout_at(end, asked.map_err(not_taken)?).await.ok())
    }

    /// What comes within the deadline.
    pub(super) async fn within<F: Future + Unpin>(&self, deadline: Duration, what: F) -> Option<F::Output> {
        match deadline < FAR_DEADLINE {
            // On the heap, so that this stays small: there may be many waits at once.
            true => Box::pin(tokio::time::timeout(deadline, what)).await.ok(),
            false => self.patience.limit(what, deadline).await,
        }
    }
}

/// What came of a call, or the message if trying again makes sense.
type Settled<M> = Result<Result<<M as Message>::Reply, CallError>, (M, CallError)>;

/// No answer means that the deadline has passed.
fn settled<M: Message>(answer: Option<<Pending<M> as Future>::Output>) -> Settled<M> {
    match answer {
        // It waited in the mailbox of an activation that has ended.
        Some(Ok(reply)) => Ok(Ok(reply)),
        Some(Err(no_reply)) => match *no_reply {
            (why, Some(back)) if retried(&why) => Err((back, why)),
            (why, _) => Ok(Err(why)),
        },
        None => Ok(Err(CallError::unknown(Reason::Deadline))),
    }
}

fn refused(why: Refused, actor: &ActorId, message: &str) -> CallError {
    CallError::not_executed(match why {
        Refused::NotHere => Reason::NotHere,
        Refused::Full => Reason::Full,
        Refused::OtherType => Reason::NotHandled(format!("{message} of {}", actor.kind())),
    })
}
