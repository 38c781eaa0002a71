//! Tells watchers of actors when to look at the directory, and what they see there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

use super::Peer;
use super::directory::undecided_read;
use super::shared::{Shared, lock};
use crate::actor::{Actor, ActorRef};
use crate::core::watching::{Change, Seen, Watching};
use crate::error::{CallError, Reason};
use crate::id::ActorId;
use crate::limits::DEFAULT_CALL_DEADLINE;

/// Who wants to be rung for which actor.
#[derive(Default)]
pub(crate) struct Bells(Mutex<BTreeMap<ActorId, Vec<mpsc::Sender<()>>>>);

impl Bells {
    pub(super) fn hang(&self, actor: &ActorId, bell: mpsc::Sender<()>) {
        let mut bells = lock(&self.0);
        let of_it = bells.entry(actor.clone()).or_default();
        // Nobody hears these any more.
        of_it.retain(|bell| !bell.is_closed());
        of_it.push(bell);
    }

    /// Rings for some actors; for all after a change of the members.
    pub(super) fn ring(&self, actors: &BTreeSet<ActorId>, all: bool) {
        let mut bells = lock(&self.0);
        if bells.is_empty() {
            return;
        }
        if all {
            bells.retain(|_, of_it| ring(of_it));
            return;
        }
        for actor in actors {
            if bells.get_mut(actor).is_some_and(|of_it| !ring(of_it)) {
                bells.remove(actor);
            }
        }
    }
}

/// Whether anybody still hears these. One that is full rings already.
fn ring(bells: &mut Vec<mpsc::Sender<()>>) -> bool {
    bells.retain(|bell| !matches!(bell.try_send(()), Err(mpsc::error::TrySendError::Closed(()))));
    !bells.is_empty()
}

/// Watches one actor from outside of any actor. See [`Peer::watch`].
pub struct Watcher {
    shared: Arc<Shared>,
    actor: ActorId,
    watching: Watching,
    rings: mpsc::Receiver<()>,
    is_over: bool,
}

impl Peer {
    /// Watches an actor, as the directory of this peer shows it: see [`Change`]. What happens between two looks of a
    /// slow watcher is told as one change.
    ///
    /// # Errors
    /// [`Reason::NoSuchActor`], or that the cluster could not decide in time.
    pub async fn watch<A: Actor>(&self, actor: &ActorRef<A>) -> Result<Watcher, CallError> {
        let end = tokio::time::Instant::now() + DEFAULT_CALL_DEADLINE;
        self.shared.catch_up(end).await.map_err(undecided_read)?;
        let (bell, rings) = mpsc::channel(1);
        self.shared.bells.hang(actor.id(), bell);
        let mut watching = Watching::default();
        watching.step(self.shared.look(actor.id()), self.shared.now());
        if !watching.has_seen() {
            return Err(CallError::not_executed(Reason::NoSuchActor));
        }
        Ok(Watcher {
            shared: self.shared.clone(),
            actor: actor.id().clone(),
            watching,
            rings,
            is_over: false,
        })
    }
}

impl Watcher {
    /// The next change; none after [`Change::Stopped`], or when this peer has ended.
    pub async fn next(&mut self) -> Option<Change> {
        while !self.is_over {
            if let Some(change) = self.watching.step(self.shared.look(&self.actor), self.shared.now()) {
                self.is_over = change == Change::Stopped;
                return Some(change);
            }
            tokio::select! {
                rung = self.rings.recv() => self.is_over = rung.is_none(),
                () = self.shared.stopped() => self.is_over = true,
            }
        }
        None
    }
}

impl Shared {
    /// What the directory shows of an actor.
    pub(super) fn look(&self, actor: &ActorId) -> Option<Seen> {
        self.state(|s| Seen::look(s, actor)).flatten()
    }
}
