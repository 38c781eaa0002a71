//! Carries a call to another peer, and brings back what came of it.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::credit::{Credit, Flow};
use super::route::Far;
use super::shared::Shared;
use crate::actor::{Message, Mode, append_message};
use crate::canary::{Mistake, made};
use crate::core::lines::Line;
use crate::core::state::{State, Status};
use crate::error::{CallError, Reason};
use crate::id::{ActorId, Incarnation};
use crate::limits::{FAR_DEADLINE, PATIENCE_TICK};
use crate::transport::{Dest, Lane, RequestError};
use crate::wire::{begin_call, read_answer};

/// What one attempt at another peer came to.
pub(super) enum Sent {
    /// The frame that answers.
    Reply(Bytes),
    /// Not executed; look again where the actor is, after a while. It took so long to hear of it.
    Again(CallError, Duration),
    Failed(CallError),
}

impl Shared {
    pub(super) fn encode_call<M: Message>(
        &self,
        actor: &ActorId,
        message: &M,
        mode: Mode,
    ) -> Result<Vec<u8>, CallError> {
        let too_long = || CallError::not_executed(Reason::Codec("its name is too long".into()));
        append_message(begin_call(actor.name(), M::NAME, mode).ok_or_else(too_long)?, message)
    }

    /// One attempt.
    pub(super) async fn call_there(&self, far: &Far, actor: &ActorId, call: Vec<u8>, end: Instant) -> Sent {
        let (host, epoch) = (far.process, far.epoch);
        let flow = far.flow.upgrade().unwrap_or_else(|| self.credits.to(host));
        let Some(_credit) = self.credit(&flow, actor, end).await else {
            return Sent::Again(CallError::not_executed(Reason::Full), Duration::ZERO);
        };
        let left = end.saturating_duration_since(Instant::now());
        let again =
            |why| Sent::Again(why, left.saturating_sub(end.saturating_duration_since(Instant::now())));
        let reply = match self.queue_on(&far.way, Lane::of_message(call.len()), call, end) {
            Ok(mut waiting) => match self.soon(&mut waiting, left).await {
                Some(reply) => reply,
                None => tokio::select! {
                    reply = waiting.in_time() => reply,
                    // Its host is gone for good: the answer can never come. One that is up answers also after it has
                    // handed the actor over.
                    () = self.until_line(actor, |s, a| match a.host {
                        Some(now) if now == host => a.epoch != epoch,
                        _ => !s.is_up(host),
                    }) => Err(RequestError::Unknown("the host was replaced".into())),
                },
            },
            Err(e) => Err(e),
        };
        self.heed(&reply);
        match reply {
            Ok(frame) => match read_answer(frame) {
                Ok(Ok(payload)) => Sent::Reply(payload),
                Ok(Err(e)) if retried(&e) => again(e),
                Ok(Err(e)) => Sent::Failed(e),
                Err(e) => Sent::Failed(CallError::unknown(Reason::Codec(e.to_string()))),
            },
            Err(RequestError::TooLarge) => {
                Sent::Failed(CallError::not_executed(Reason::Codec("larger than a frame may be".into())))
            }
            Err(RequestError::Deadline { sent: true }) => Sent::Failed(CallError::unknown(Reason::Deadline)),
            Err(RequestError::Unknown(_)) if made(Mistake::RetriedAfterUnknown) => {
                again(CallError::not_executed(Reason::HostGone))
            }
            Err(RequestError::Unknown(_)) => Sent::Failed(CallError::unknown(Reason::HostGone)),
            Err(_) => again(CallError::not_executed(Reason::HostGone)),
        }
    }

    /// What comes before it is worth setting a timer and listening to the directory.
    async fn soon<F: Future + Unpin>(&self, what: F, deadline: Duration) -> Option<F::Output> {
        if deadline < FAR_DEADLINE {
            return None;
        }
        self.patience.limit(what, PATIENCE_TICK).await
    }

    /// The right to have one more request to an actor under way. If its process goes away meanwhile, all that is under
    /// way there ends, and so does the wait.
    pub(super) async fn credit(&self, flow: &Arc<Flow>, actor: &ActorId, end: Instant) -> Option<Credit> {
        match flow.take(actor) {
            Ok(credit) => Some(credit),
            Err(wait) => {
                let _held = self.held.try_acquire().ok()?;
                tokio::time::timeout_at(end, wait).await.ok()?.ok()
            }
        }
    }

    /// Completes when an actor's line in the directory is as it should be, or gone: who runs it, that is. What
    /// checkpoints change there is not looked at.
    pub(super) async fn until_line(&self, actor: &ActorId, is_so: impl Fn(&State, &Line<'_>) -> bool) {
        let Some(consensus) = self.consensus() else { return std::future::pending().await };
        let mut applied = consensus.applied().watch_places();
        while !consensus.applied().read(|s| s.actors.line(actor).is_none_or(|a| is_so(s, &a))) {
            if applied.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Where another process than `me` runs an actor, if that may hold a lease.
pub(super) fn host_elsewhere(state: &State, line: &Line<'_>, me: Option<Incarnation>) -> Option<Dest> {
    let (node, m) = state.member_of(line.host?)?;
    let fits = m.standing == Status::Up && Some(m.incarnation) != me;
    fits.then(|| Dest { node_id: Some(node.clone()), addr: m.addr, incarnation: Some(m.incarnation) })
}

/// Not executed, and trying again makes sense: the actor moved, restarts, or its mailbox is full.
pub(super) fn retried(e: &CallError) -> bool {
    e.is_retry_safe() && matches!(e.reason, Reason::NotHere | Reason::HostGone | Reason::Full)
}
