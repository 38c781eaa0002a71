//! The state machine: applies committed entries to the [`State`] that everybody reads.

use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

use super::codec::{decode, encode, encode_state};
#[cfg(feature = "testing")]
use super::trail::{Next, Step};
use super::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::core::apply::{At, Changes, Saved};
#[cfg(feature = "testing")]
use crate::core::command::Command;
use crate::core::command::Response;
use crate::core::event::Event;
use crate::core::state::State;
use crate::id::ActorId;
use crate::limits::{EVENT_BACKLOG, MAX_SAVES_NOTED};
use crate::store::{Store, durably};

/// The applied state, shared between consensus (which writes) and the peer (which reads).
pub(crate) struct Applied {
    inner: RwLock<Inner>,
    changes: Mutex<Noted>,
    saved: Mutex<Saves>,
    index: watch::Sender<u64>,
    /// The newest entry that may have changed which process runs which actor.
    placed: watch::Sender<u64>,
    /// See [`Applied::places`].
    places: AtomicU64,
    /// Kept once somebody has asked for it.
    #[cfg(feature = "testing")]
    trail: Mutex<Option<VecDeque<Step>>>,
    /// Checkpoints that became the ones to restore from.
    #[cfg(feature = "testing")]
    saves: AtomicU64,
}

/// What has changed since somebody looked last.
#[derive(Default)]
pub(crate) struct Noted {
    /// Events, each with the log index that caused it.
    pub(crate) events: VecDeque<(u64, Event)>,
    pub(crate) actors: BTreeSet<ActorId>,
    pub(crate) members: bool,
}

/// Which actors have newer checkpoints since somebody looked last.
#[derive(Default)]
pub(crate) struct Saves {
    pub(crate) list: Vec<Saved>,
    /// Whether there were too many to remember.
    pub(crate) some_are_missing: bool,
}

#[derive(Default)]
struct Inner {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl Applied {
    fn new(inner: Inner) -> Arc<Self> {
        let index = watch::Sender::new(inner.last.map_or(0, |id| id.index));
        // Whoever starts from a snapshot must look at everything once.
        let actors = inner.state.actors.ids().collect();
        let changes = Noted { members: true, actors, events: VecDeque::new() };
        Arc::new(Self {
            inner: RwLock::new(inner),
            changes: Mutex::new(changes),
            saved: Mutex::default(),
            placed: watch::Sender::new(0),
            places: AtomicU64::new(fresh_stamp()),
            index,
            #[cfg(feature = "testing")]
            trail: Mutex::default(),
            #[cfg(feature = "testing")]
            saves: AtomicU64::new(0),
        })
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state. Keep it short: applying waits meanwhile.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner().state)
    }

    /// The state together with the log position (index, term) that it reflects.
    pub(crate) fn read_at<T>(&self, look: impl FnOnce(&State, u64, u64) -> T) -> T {
        let inner = self.inner();
        let (index, term) = inner.last.map_or((0, 0), |id| (id.index, *id.leader_id));
        look(&inner.state, index, term)
    }

    /// Wakes whoever follows the applied index.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    /// Wakes whoever waits for a change of who runs which actor. Checkpoints, most of all entries, are none.
    pub(crate) fn watch_places(&self) -> watch::Receiver<u64> {
        self.placed.subscribe()
    }

    /// Which process runs which actor: as long as this is the same number, that is the same. No other directory in
    /// this process ever has it. What is kept with it was read after it.
    pub(crate) fn places(&self) -> u64 {
        self.places.load(Ordering::Acquire)
    }

    /// Wakes who waits.
    fn announce(&self, index: u64, placed: bool) {
        if placed {
            self.places.store(fresh_stamp(), Ordering::Release);
            self.placed.send_replace(index);
        }
        self.index.send_replace(index);
    }

    /// Takes what has changed since the last call.
    pub(crate) fn take_changes(&self) -> Noted {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes whose checkpoints have become newer since the last call.
    pub(crate) fn take_saved(&self) -> Saves {
        std::mem::take(&mut *self.saved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what was applied since the last call, as far as it was kept; nothing the first time.
    #[cfg(feature = "testing")]
    pub(crate) fn take_trail(&self) -> VecDeque<Step> {
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        trail.replace(VecDeque::new()).unwrap_or_default()
    }

    /// How many checkpoints became the ones to restore from since this process began.
    #[cfg(feature = "testing")]
    pub(crate) fn saves(&self) -> u64 {
        self.saves.load(Ordering::Relaxed)
    }

    #[cfg(feature = "testing")]
    fn note_saves(&self, response: &Response) {
        let Response::Items(answers) = response else { return };
        let saves = answers.iter().filter(|answer| answer.is_ok()).count();
        self.saves.fetch_add(saves as u64, Ordering::Relaxed);
    }

    #[cfg(feature = "testing")]
    fn keeps_trail(&self) -> bool {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    #[cfg(feature = "testing")]
    fn note_step(&self, step: Step) {
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trail) = trail.as_mut() else { return };
        trail.push_back(step);
        let excess = trail.len().saturating_sub(crate::limits::APPLIED_TRAIL);
        trail.drain(..excess);
    }

    /// Keeps what has changed for whoever looks when the index is announced.
    fn note(&self, mut fresh: Changes, index: u64) {
        self.note_saved(std::mem::take(&mut fresh.saved));
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.members |= fresh.members;
        // The fewer go to the more: `append` would rebuild the set of all for every entry, until somebody looks.
        if changes.actors.len() < fresh.actors.len() {
            std::mem::swap(&mut changes.actors, &mut fresh.actors);
        }
        changes.actors.extend(fresh.actors);
        changes.events.extend(fresh.events.into_iter().map(|event| (index, event)));
        let excess = changes.events.len().saturating_sub(EVENT_BACKLOG);
        changes.events.drain(..excess);
    }

    fn note_saved(&self, fresh: Vec<Saved>) {
        if fresh.is_empty() {
            return;
        }
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.list.extend(fresh);
        if saved.list.len() > MAX_SAVES_NOTED {
            *saved = Saves { list: vec![], some_are_missing: true };
        }
    }
}

fn fresh_stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// openraft's handle on [`Applied`].
pub(super) struct Machine {
    pub(super) applied: Arc<Applied>,
    snapshots: Snapshots,
}

/// The snapshot on disk. Clones share it.
#[derive(Clone)]
struct Snapshots {
    store: Arc<dyn Store>,
    /// What the newest one covers, written or on its way.
    newest: Arc<Mutex<Option<LogId>>>,
}

/// A view of the state, to be written as a snapshot while more is applied.
pub(super) struct Builder {
    state: State,
    meta: SnapshotMeta,
    snapshots: Snapshots,
}

impl Machine {
    pub(super) fn open(store: Arc<dyn Store>) -> io::Result<Self> {
        let inner = match store.snapshot()? {
            Some((meta, bytes)) => restore(&decode(&meta)?, &bytes)?,
            None => Inner::default(),
        };
        let snapshots = Snapshots { store, newest: Arc::new(Mutex::new(inner.last)) };
        Ok(Self { applied: Applied::new(inner), snapshots })
    }
}

impl Snapshots {
    /// Writes one, unless there is a newer one: the log that would be needed from the older one on may
    /// be purged already. openraft builds one while another is installed.
    async fn write(&self, meta: &SnapshotMeta, bytes: Vec<u8>) -> io::Result<()> {
        let encoded = encode(meta)?;
        let written = durably(|done| {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if *newest > meta.last_log_id {
                return done(Ok(()));
            }
            *newest = meta.last_log_id;
            // Only queues; within the lock, so that the store sees the same order.
            self.store.put_snapshot(encoded, bytes, done);
        });
        written.await
    }
}

fn restore(meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<Inner> {
    Ok(Inner { state: decode(bytes)?, last: meta.last_log_id, membership: meta.last_membership.clone() })
}

/// Whether bytes from another peer are a state at all; openraft takes an install error for a broken disk.
pub(super) fn is_snapshot(bytes: &[u8]) -> bool {
    decode::<State>(bytes).is_ok()
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let inner = self.applied.inner();
        Ok((inner.last, inner.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let (mut newest, mut placed) = (None, false);
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            #[cfg(feature = "testing")]
            let next = self.applied.keeps_trail().then(|| Next::new(&entry, &self.applied.inner().state));
            let at = At { index: entry.log_id.index, term: *entry.log_id.leader_id };
            #[cfg(feature = "testing")]
            let saves =
                matches!(&entry.payload, EntryPayload::Normal(p) if matches!(**p, Command::Commit { .. }));
            let mut changes = Changes::default();
            let response = {
                let mut inner = self.applied.write();
                inner.last = Some(entry.log_id);
                match entry.payload {
                    EntryPayload::Blank => Response::Done,
                    EntryPayload::Normal(command) => {
                        placed |= command.may_place();
                        inner.state.apply(at, &command, &mut changes)
                    }
                    EntryPayload::Membership(membership) => {
                        inner.membership = StoredMembership::new(Some(entry.log_id), membership);
                        Response::Done
                    }
                }
            };
            #[cfg(feature = "testing")]
            if let Some(next) = next {
                self.applied.note_step(next.done(&self.applied.inner().state));
            }
            #[cfg(feature = "testing")]
            if saves {
                self.applied.note_saves(&response);
            }
            self.applied.note(changes, at.index);
            newest = Some(at.index);
            if let Some(responder) = responder {
                responder.send(response);
            }
        }
        // Once for all: who waits wakes up and looks.
        if let Some(index) = newest {
            self.applied.announce(index, placed);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let inner = self.applied.inner();
        let meta = SnapshotMeta { last_log_id: inner.last, last_membership: inner.membership.clone() };
        Builder { state: inner.state.clone(), meta, snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Vec<u8>) -> io::Result<()> {
        let restored = restore(meta, &snapshot)?;
        self.snapshots.write(meta, snapshot).await?;
        let mut inner = self.applied.write();
        let mut actors: BTreeSet<_> = inner.state.actors.ids().collect();
        actors.extend(restored.state.actors.ids());
        *inner = restored;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        drop(inner);
        self.applied.note(Changes { members: true, actors, ..Changes::default() }, index);
        self.applied.announce(index, true);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let Some((meta, snapshot)) = self.snapshots.store.snapshot()? else { return Ok(None) };
        Ok(Some(Snapshot { meta: decode(&meta)?, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshot = encode_state(&self.state).await?;
        self.snapshots.write(&self.meta, snapshot.clone()).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_kept_until_somebody_looks_whichever_entry_changed_more() {
        let applied = Applied::new(Inner::default());
        let actors = |range: std::ops::Range<u32>| -> BTreeSet<ActorId> {
            range.map(|n| ActorId::new("kind", n.to_string()).unwrap()).collect()
        };
        for (index, actors) in [(1, actors(0..2)), (2, actors(1..9)), (3, actors(8..10))] {
            applied.note(Changes { actors, ..Changes::default() }, index);
        }
        assert_eq!(applied.take_changes().actors, actors(0..10));
        assert!(applied.take_changes().actors.is_empty());
    }

    #[test]
    fn places_have_a_number_of_their_own_until_an_entry_may_change_them() {
        let (applied, other) = (Applied::new(Inner::default()), Applied::new(Inner::default()));
        let first = applied.places();
        applied.announce(1, false);
        assert_eq!(applied.places(), first);
        applied.announce(2, true);
        other.announce(2, true);
        assert!(![first, other.places()].contains(&applied.places()));
    }
}
