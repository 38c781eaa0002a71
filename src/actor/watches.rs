//! The actors that an actor watches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::sync::mpsc;

use super::api::Actor;
use super::context::Context;
use super::mailbox::{Envelope, Opening, telling};
use super::post::{Post, Resolved};
use super::under_way::UnderWay;
use crate::clock::Mono;
use crate::core::watching::{Change, Watching};
use crate::error::CallError;
use crate::id::ActorId;
use crate::limits::MAX_WATCHED;

/// Why an actor is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// This actor watches [`MAX_WATCHED`] others already.
    #[error("this actor watches too many others")]
    Full,
}

/// The watches of one activation. Its checkpoints hold them.
pub(super) struct Watches {
    post: Arc<dyn Post>,
    list: BTreeMap<ActorId, Watching>,
    /// Rings when one of them may have changed.
    bell: mpsc::Sender<()>,
    rings: mpsc::Receiver<()>,
    /// Questions to the leader: this peer may be the last to hear of an actor's creation.
    asking: UnderWay<(ActorId, Resolved)>,
    absent: BTreeSet<ActorId>,
}

impl Watches {
    pub(super) fn restored(post: Arc<dyn Post>, list: BTreeMap<ActorId, Watching>) -> Self {
        let (bell, rings) = mpsc::channel(1);
        let mut watches =
            Self { post, list, bell, rings, asking: UnderWay::default(), absent: BTreeSet::new() };
        let all: Vec<ActorId> = watches.list.keys().cloned().collect();
        all.iter().for_each(|id| watches.listen(id));
        watches
    }

    pub(super) fn saved(&self) -> &BTreeMap<ActorId, Watching> {
        &self.list
    }

    pub(super) fn watch(&mut self, id: &ActorId) -> Result<(), WatchError> {
        if self.list.contains_key(id) {
            return Ok(());
        }
        if self.list.len() >= MAX_WATCHED {
            return Err(WatchError::Full);
        }
        self.list.insert(id.clone(), Watching::default());
        self.listen(id);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, id: &ActorId) -> bool {
        self.absent.remove(id);
        self.list.remove(id).is_some()
    }

    fn listen(&mut self, id: &ActorId) {
        self.post.watch(id, self.bell.clone());
        // Full: it rings already.
        let _ = self.bell.try_send(());
        if self.list.get(id).is_some_and(|watching| !watching.has_seen()) && self.post.look(id).is_none() {
            self.ask(id.clone());
        }
    }

    fn ask(&mut self, id: ActorId) {
        let resolved = self.post.resolve(id.clone());
        self.asking.push(Box::pin(async move { (id, resolved.await) }));
    }

    /// Whether to look again.
    pub(super) fn poll_rings(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if self.list.is_empty() {
            return Poll::Pending;
        }
        if let Poll::Ready((id, resolved)) = self.asking.poll(task) {
            match resolved {
                Resolved::Life(_) => {}
                Resolved::NoSuchActor => drop(self.absent.insert(id)),
                Resolved::Later => self.ask(id),
            }
            return Poll::Ready(());
        }
        self.rings.poll_recv(task).map(drop)
    }

    /// What has changed since the look before.
    pub(super) fn changes(&mut self, now: Mono) -> Vec<Watched> {
        let mut changes = vec![];
        for (id, watching) in &mut self.list {
            let is_absent = self.absent.contains(id) && !watching.has_seen();
            let change = watching.step(self.post.look(id), now);
            if let Some(change) = change.or(is_absent.then_some(Change::Stopped)) {
                changes.push(Watched { of: id.clone(), change });
            }
        }
        for Watched { of, change } in &changes {
            if *change == Change::Stopped {
                self.unwatch(of);
            }
        }
        changes
    }
}

/// A change of a watched actor, on its way to the watcher.
#[derive(Clone)]
pub(super) struct Watched {
    of: ActorId,
    change: Change,
}

/// It is told like a message.
impl<A: Actor> Envelope<A> for Watched {
    fn open<'a>(&mut self, actor: &'a mut A, ctx: &'a mut Context<A>) -> Opening<'a> {
        let Self { of, change } = self.clone();
        telling(async move { actor.on_change(of, change, ctx).await })
    }

    fn refuse(&mut self, _: CallError) {}
}
