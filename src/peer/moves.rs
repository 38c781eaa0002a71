//! What a user may wish: an actor on another peer, or none on this one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::Peer;
use super::directory::undecided_read;
use super::shared::Shared;
use super::status::WaitError;
use crate::actor::{Actor, ActorRef};
use crate::clock::moment;
use crate::core::command::HandOver;
use crate::error::{CallError, Reason};
use crate::id::{ActorId, Epoch, NodeId};
use crate::limits::{DEFAULT_CALL_DEADLINE, HAND_OVER_PATIENCE, MAX_HAND_OVERS};
use crate::wire::HandOverOrder;

impl Peer {
    /// Moves an actor to another node, with all that it did: it ends where it is after the message at hand and with a
    /// last checkpoint, and goes on there. Callers see a pause.
    ///
    /// Its home stays what it is. Moved elsewhere, the actor stays there until it is moved again, until its home
    /// leaves, or until its host is lost: then it runs at its home if that is up, and waits for either if not (or
    /// [others stand in](crate::actor::Down)).
    ///
    /// # Errors
    /// Not executed: [`Reason::NoSuchActor`]; [`Reason::Unavailable`] if the node is not up, or does not host the
    /// kind. Unknown, after [`DEFAULT_CALL_DEADLINE`]: its host is away, or at a long message, and it moves when that
    /// is done. Trying again is safe.
    pub async fn move_to<A: Actor>(&self, actor: &ActorRef<A>, to: &NodeId) -> Result<(), CallError> {
        self.shared.move_to(actor.id(), to, Instant::now() + DEFAULT_CALL_DEADLINE).await
    }

    /// Moves every actor here to other peers, each as [`Peer::move_to`] does, and [leaves](Peer::leave). They go home
    /// if they are at home elsewhere and that is up, and else to whoever runs the fewest and knows their kind. Those
    /// at home here come back when this node does.
    ///
    /// One that no other peer can run, or that is at a message until the deadline, waits for this node's return.
    /// Stops the peer whatever the outcome.
    ///
    /// # Errors
    /// If the departure could not be committed within `deadline`; the cluster then finds out by itself.
    pub async fn drain(&self, deadline: Duration) -> Result<(), WaitError> {
        let end = moment(deadline);
        // Half of the time at most: the last checkpoints of those that could not go take some too.
        if tokio::time::timeout(deadline / 2, self.shared.empty()).await.is_err() {
            tracing::warn!(node = %self.shared.node, "leaving before every actor could move");
        }
        self.leave(end.saturating_duration_since(Instant::now())).await
    }
}

impl Shared {
    async fn move_to(self: &Arc<Self>, id: &ActorId, to: &NodeId, end: Instant) -> Result<(), CallError> {
        self.catch_up(end).await.map_err(undecided_read)?;
        let line = self.state(|s| s.actors.get(id).filter(|a| a.checkpoint.is_some())).flatten();
        let line = line.ok_or(CallError::not_executed(Reason::NoSuchActor))?;
        let Some(target) = self.state(|s| s.able_host(id, to)).flatten() else {
            let why = format!("{to} is not up, or does not host the kind {}", id.kind());
            return Err(CallError::not_executed(Reason::Unavailable(why)));
        };
        if line.host == Some(target) && (line.home == *to || line.by_hand) {
            return Ok(());
        }
        let before = line.epoch;
        loop {
            let ask_again = (Instant::now() + HAND_OVER_PATIENCE).min(end);
            let host = self.state(|s| s.actors.line(id)?.host.filter(|host| s.is_up(*host))).flatten();
            if let Some(host) = host {
                let order = HandOverOrder { actors: vec![id.clone()], to: to.clone(), by_hand: true };
                self.order_hand_over(host, order).await;
            }
            while Instant::now() < ask_again {
                let line = self.state(|s| s.actors.line(id).map(|a| (a.life, a.epoch, a.host))).flatten();
                match line {
                    None => return Err(CallError::unknown(Reason::NoSuchActor)),
                    Some((_, epoch, host)) if epoch > before && host == Some(target) => return Ok(()),
                    _ => self.wait_for_change(ask_again.saturating_duration_since(Instant::now())).await,
                }
            }
            if Instant::now() >= end {
                let why = format!("{id} has not moved yet");
                return Err(CallError::unknown(Reason::Unavailable(why)));
            }
        }
    }

    /// Moves all that others can run away from here.
    async fn empty(self: &Arc<Self>) {
        let mut asked: BTreeSet<(ActorId, Epoch)> = BTreeSet::new();
        loop {
            let plan = self.state(|s| s.evacuation(&self.node)).unwrap_or_default();
            if plan.is_empty() {
                return;
            }
            let is_fresh = |one: &HandOver| asked.insert((one.actor.clone(), one.epoch));
            let fresh: Vec<HandOver> = plan.into_iter().filter(is_fresh).collect();
            if fresh.is_empty() {
                self.wait_for_change(HAND_OVER_PATIENCE).await;
                continue;
            }
            tracing::info!(node = %self.node, actors = fresh.len(), "moving actors away");
            for some in fresh.chunks(MAX_HAND_OVERS) {
                let (shared, some) = (self.clone(), some.to_vec());
                let moved = self.control.spawn(async move { shared.hand_over(some).await });
                // One that is at a long message must not keep the others here.
                let _ = tokio::time::timeout(HAND_OVER_PATIENCE, moved).await;
            }
        }
    }
}
