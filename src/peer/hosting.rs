//! Starts and stops this peer's actors as the log decides.

use std::sync::Arc;
use std::time::Duration;

use super::shared::{Shared, lock, millis};
use crate::actor::{Cause, Restored, Start, StartError};
use crate::checkpoint::{Content, FetchError};
use crate::clock::Mono;
use crate::core::command::{Checkpoint, Command};
use crate::core::event::Event;
use crate::core::lines::Line;
use crate::core::restores::Restore;
use crate::core::state::{Actor, State};
use crate::id::{ActorId, Epoch, Incarnation};
use crate::limits::{CHUNKED_BYTES, RESTORE_RETRY, SHORT_RESTORES};
use crate::task::apart;

/// An activation that the log has given to this process.
struct Assigned {
    epoch: Epoch,
    life: u64,
    /// How long nobody had run it when the log gave it to this process, as far as that is known.
    silent_ms: u64,
    /// Whether another peer has handed it over.
    whole: bool,
    written: Epoch,
    checkpoint: Checkpoint,
    /// The log index of its commit.
    saved_at: u64,
}

impl Shared {
    /// Brings what runs here in line with the directory, for some actors.
    pub(super) fn reconcile<'a>(self: &Arc<Self>, actors: impl Iterator<Item = &'a ActorId>) {
        let Some(host) = self.host() else { return };
        for id in actors {
            // Between a look at the directory and what follows from it, no other such step: an older
            // look would undo what a newer one did.
            let _one_at_a_time = lock(&self.hosting);
            match self.assigned(id) {
                // Maybe not for long: it restarts after a panic, or is handed over.
                Some(a) if host.has_begun(id, a.epoch) => {}
                Some(a) => {
                    host.supersede(id, a.epoch);
                    self.begin_restore(id, &a);
                }
                None if self.is_lost_here(id) => {}
                None => {
                    host.stop(id, Epoch(u64::MAX));
                    self.confirm_stop(id);
                }
            }
        }
    }

    /// Frees the name of an actor that is to end, now that it does not run here any more.
    fn confirm_stop(self: &Arc<Self>, id: &ActorId) {
        let Some(me) = self.incarnation() else { return };
        let is_it = |a: &Line<'_>| a.stopping() && a.host == Some(me);
        let life = self.state(|s| s.actors.line(id).filter(is_it).map(|a| a.life)).flatten();
        if let Some(life) = life {
            let shared = self.clone();
            let command = Command::Stop { actor: id.clone(), life, by: Some(me) };
            self.spawn(async move { shared.propose_until_moot(command).await });
        }
    }

    /// The same for all actors: when this process has just learned who it is.
    pub(super) fn reconcile_all(self: &Arc<Self>) {
        let all: Vec<ActorId> = self.state(|s| s.actors.ids().collect()).unwrap_or_default();
        self.reconcile(all.iter());
    }

    fn assigned(&self, id: &ActorId) -> Option<Assigned> {
        let me = self.incarnation()?;
        self.state(|s| {
            let is_ours = |a: &Line<'_>| a.host == Some(me) && !(a.lost() || a.stopping() || a.failed());
            let mut actor = s.actors.line(id).filter(is_ours)?.actor();
            let (written, checkpoint) = actor.checkpoint.take()?;
            let (epoch, life, whole, saved_at) = (actor.epoch, actor.life, actor.whole, actor.saved_at);
            let silent_ms = if whole { 0 } else { self.silence_before(s, &actor, me) };
            Some(Assigned { epoch, life, silent_ms, whole, written, checkpoint, saved_at })
        })
        .flatten()
    }

    /// For how long nobody ran an actor that a failure brought here.
    fn silence_before(&self, state: &State, actor: &Actor, me: Incarnation) -> u64 {
        let Some(home) = state.members.get(&actor.home) else { return 0 };
        match lock(&self.away_since).get(&actor.home) {
            // This peer stands in.
            Some(since) => home.silent_ms + millis(self.now().since(*since)),
            None if actor.epoch.0 == me.0 => home.silent_ms,
            None => 0,
        }
    }

    /// An actor that still runs is the one place where its state exists: its next checkpoint saves it.
    fn is_lost_here(&self, id: &ActorId) -> bool {
        let me = self.incarnation();
        self.state(|s| s.actors.line(id).is_some_and(|a| a.lost() && !a.stopping() && a.host == me))
            .unwrap_or(false)
    }

    fn begin_restore(self: &Arc<Self>, id: &ActorId, a: &Assigned) {
        let weight = if a.checkpoint.is_short() { 1 } else { SHORT_RESTORES };
        lock(&self.restores).add(id, a.epoch, weight, self.now());
        self.restore_more();
    }

    /// Somebody waits for an actor: if it is to run here, it comes before others.
    pub(super) fn hurry(&self, id: &ActorId) {
        lock(&self.restores).hurry(id);
    }

    /// Begins as many restores as may run at once.
    fn restore_more(self: &Arc<Self>) {
        while let Some(restore) = self.next_restore() {
            let shared = self.clone();
            self.spawn(async move { shared.restore_in_turn(restore).await });
        }
    }

    fn next_restore(&self) -> Option<Restore> {
        lock(&self.restores).begin()
    }

    /// One after the other, for as long as there are any: a task for each would be a good part of all that there is to
    /// do, where many come back at once.
    async fn restore_in_turn(self: Arc<Self>, mut restore: Restore) {
        loop {
            // Those that are not to run here any more take no wait at all.
            tokio::task::coop::consume_budget().await;
            let is_done = self.try_restore(&restore).await;
            if is_done {
                lock(&self.restores).done(&restore);
            } else {
                lock(&self.restores).failed(&restore);
                let shared = self.clone();
                self.spawn(async move { shared.restore_later(restore).await });
            }
            let Some(next) = self.next_restore() else { return };
            restore = next;
            // A long one has made room for several.
            self.restore_more();
        }
    }

    async fn restore_later(self: Arc<Self>, restore: Restore) {
        let (shortest, longest) = RESTORE_RETRY;
        let wait = shortest.saturating_mul(2u32.saturating_pow(restore.failures)).min(longest);
        if self.pause(wait).await {
            lock(&self.restores).again(&restore);
            self.restore_more();
        }
    }

    /// Whether there is nothing more to do: it runs, or is not to run here any more.
    async fn try_restore(self: &Arc<Self>, restore: &Restore) -> bool {
        let Some(a) = self.assigned(&restore.actor).filter(|a| a.epoch == restore.epoch) else { return true };
        match self.fetch_copy(&restore.actor, a.written, &a.checkpoint).await {
            Ok(content) if content.len() < CHUNKED_BYTES => {
                self.revive(&restore.actor, &a, &content, restore.since);
            }
            Ok(content) => {
                // To decode it takes as long as its author's code does: no heartbeat waits for that.
                let (shared, actor, since) = (self.clone(), restore.actor.clone(), restore.since);
                let revived = apart(move || shared.revive(&actor, &a, &content, since)).await;
                if let Err(e) = &revived {
                    tracing::error!(actor = %restore.actor, %e, "a restore broke off; trying again");
                }
                return revived.is_ok();
            }
            Err(why @ FetchError::Unreadable(_)) => {
                let actor = &restore.actor;
                tracing::error!(%actor, %why, "a checkpoint of another format; this actor stays down here");
            }
            Err(why) => {
                if !matches!(why, FetchError::Gone) {
                    tracing::warn!(actor = %restore.actor, e = %why, "cannot restore yet; trying again");
                }
                return false;
            }
        }
        true
    }

    fn revive(&self, id: &ActorId, a: &Assigned, content: &Content, since: Mono) {
        let Some(host) = self.host() else { return };
        let downtime_ms = a.silent_ms + millis(self.now().since(since));
        let restored = (a.epoch.0 != a.life).then(|| Restored {
            cause: match a.whole {
                true => Cause::Moved,
                false if host.has_begun(id, Epoch(0)) => Cause::Panicked,
                false => Cause::Recovered,
            },
            from_seq: a.checkpoint.seq,
            age: lock(&self.history).age(a.saved_at, self.now()),
            downtime: Duration::from_millis(downtime_ms),
            resends: 0,
        });
        let start = Start {
            seq: a.checkpoint.seq,
            kind_version: content.kind_version,
            state: &content.state,
            sessions: &content.sessions,
            life: a.life,
            restored,
        };
        let stays = || self.assigned(id).is_some_and(|now| now.epoch == a.epoch);
        let wanted = || !self.phase.borrow().is_over() && stays();
        match host.start(id.clone(), a.epoch, start, wanted) {
            Ok(()) => {}
            Err(StartError::Stale(_) | StartError::Retired | StartError::Unwanted(_)) => return,
            Err(e) => {
                tracing::error!(actor = %id, %e, "this actor stays down here until a peer that can read it takes over");
                return;
            }
        }
        self.changed.notify_waiters();
        if a.epoch.0 != a.life {
            let (actor, epoch, from_seq) = (id.clone(), a.epoch, a.checkpoint.seq);
            if a.whole {
                tracing::info!(%actor, from_seq, downtime_ms, "moved here");
                self.emit(Event::ActorMoved { actor, epoch, from_seq, downtime_ms });
            } else {
                tracing::info!(%actor, from_seq, downtime_ms, "recovered");
                self.emit(Event::ActorRecovered { actor, epoch, from_seq, downtime_ms });
            }
        }
    }

    /// Waits until the applied state or what runs here has changed, or a while has passed.
    pub(super) async fn wait_for_change(&self, at_most: Duration) {
        let Some(consensus) = self.consensus() else {
            return tokio::time::sleep(at_most.min(self.timing.heartbeat)).await;
        };
        let mut applied = consensus.applied().watch();
        tokio::select! {
            _ = applied.changed() => {}
            () = self.changed.notified() => {}
            () = tokio::time::sleep(at_most.min(self.timing.heartbeat)) => {}
        }
    }
}
