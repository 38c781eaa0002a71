//! What runs on this peer.

use hashbrown::{DefaultHashBuilder, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::codec::StateError;
use super::context::OutsideDoor;
use super::gate::{Gate, GateState};
use super::kind::Kinds;
use super::life::{Life, Observer};
use super::mail::{Mail, Saved};
use super::mailbox::Door;
use super::near::Near;
use super::post::Post;
use super::restored::Restored;
use super::running::Finished;
use super::saver::Saver;
use super::supervise::{Begin, Ended, Inherited, Launched};
use super::timers::Timers;
use super::visit::Visits;
use super::watches::Watches;
use crate::core::session::Sender;
use crate::id::{ActorId, ActorName, Epoch};
use crate::limits::HOST_SHARDS;
use crate::task::Spawner;

/// What a host is made of.
pub struct World {
    /// What it can host.
    pub kinds: Arc<Kinds>,
    /// Whether its actors may act.
    pub gate: Arc<Gate>,
    /// Where checkpoints go, and who is told of panics.
    pub saver: Arc<dyn Saver>,
    /// How reliable messages travel.
    pub post: Arc<dyn Post>,
    /// What handlers see through their context.
    pub outside: OutsideDoor,
    /// Where actors run; not where heartbeats do, so that busy actors cannot starve those.
    pub runtime: Spawner,
    /// Sees every poll of a handler.
    pub observer: Option<Arc<dyn Observer>>,
}

/// An activation that was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// This peer does not know the kind.
    #[error("the kind {0} is not registered on this peer")]
    UnknownKind(String),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// This or a later epoch was started here already. An epoch is never started twice: two
    /// histories would share its checkpoint numbers.
    #[error("epoch {0} was started here already")]
    Stale(Epoch),
    /// This peer was retired.
    #[error("this peer was retired")]
    Retired,
    /// The activation was given up while its state was read.
    #[error("epoch {0} is not wanted here any more")]
    Unwanted(Epoch),
}

/// An activation to begin.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The number of the checkpoint that is restored. The next one taken has the number after it.
    pub seq: u64,
    /// The `VERSION` that wrote it.
    pub kind_version: u32,
    /// Its bytes.
    pub state: &'a [u8],
    /// What it holds of the actor's reliable messages.
    pub sessions: &'a [u8],
    /// Which of its lives the actor is in: the log index of its creation.
    pub life: u64,
    /// What it is told, unless it is new. How many messages are sent again is filled in.
    pub restored: Option<Restored>,
}

pub(super) struct Slot {
    life: Arc<Life>,
    /// Which life of the actor this activation belongs to.
    number: u64,
    pub(super) door: Arc<dyn Door>,
    task: AbortHandle,
    ended: Ended,
    finish: Option<oneshot::Sender<Finished>>,
}

impl Slot {
    /// One that panicked does not, and no longer one that ended.
    pub(super) fn runs(&self) -> bool {
        !self.life.is_over()
    }

    fn halt(&self) {
        self.life.halt();
        self.task.abort();
    }
}

/// Alone in its lines of the cache.
#[repr(align(128))]
#[derive(Default)]
struct Shard(RwLock<HashMap<ActorId, Slot>>);

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<ActorId, Slot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ActorId, Slot>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actors of one peer, as many as the directory gives it.
///
/// An activation that ended by itself keeps its place, so that its epoch is not started again, until
/// [`Host::stop`] or a start under a newer epoch takes it.
pub struct Host {
    world: World,
    hasher: DefaultHashBuilder,
    shards: Vec<Shard>,
}

impl Host {
    /// A host without actors.
    pub fn new(world: World) -> Self {
        let shards = (0..HOST_SHARDS).map(|_| Shard::default()).collect();
        Self { world, hasher: DefaultHashBuilder::default(), shards }
    }

    /// Decodes the state, migrating it if it is older, and runs the actor under `epoch`.
    ///
    /// An older activation here is aborted first, and has ended before the new one handles a
    /// message. Messages that wait for an actor that panicked are handled by the new activation.
    ///
    /// Only the directory knows whether `epoch` is still the actor's: `wanted` looks there, at a moment
    /// when no [`Host::stop`] of the actor can come between that and the start.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    pub fn start(
        &self,
        id: ActorId,
        epoch: Epoch,
        start: Start<'_>,
        wanted: impl FnOnce() -> bool,
    ) -> Result<(), StartError> {
        let kind = self.world.kinds.get(id.kind());
        let kind = kind.ok_or_else(|| StartError::UnknownKind(id.kind().to_owned()))?;
        self.refuse_stale(self.read(id.name()).get(&id), epoch)?;
        // Outside the lock: large states take their time.
        let revived = kind.revive(start.kind_version, start.state)?;
        let mut saved = Saved::read(start.sessions).map_err(StateError::from)?;
        let mut shard = self.write(&id);
        self.refuse_stale(shard.get(&id), epoch)?;
        if !wanted() {
            return Err(StartError::Unwanted(epoch));
        }
        let (restarts, inherited) = match shard.remove(&id) {
            None => (Arc::new(Mutex::default()), Inherited::default()),
            Some(old) => {
                let inbox = old.life.take_parked();
                old.halt();
                let mailbox = inbox.map(|inbox| (old.door, inbox));
                (Arc::clone(&old.life.restarts), Inherited { ended: Some(old.ended), mailbox })
            }
        };
        let (gate, observer) = (Arc::clone(&self.world.gate), self.world.observer.clone());
        let visits = Visits::new(self.world.runtime.home());
        let life = Life::new((id.clone(), epoch, kind.clone()), gate, observer, restarts, visits);
        let life = Arc::new(life);
        let timers = Timers::restored(std::mem::take(&mut saved.timers), life.gate.now());
        let watches = Watches::restored(Arc::clone(&self.world.post), std::mem::take(&mut saved.watched));
        let me = Sender::Actor { id: id.clone(), life: start.life };
        let mail = Mail::new(me, kind.policy().outbox, Arc::clone(&self.world.post), saved);
        let begin = Begin { seq: start.seq, mail, timers, watches, restored: start.restored };
        let launched = revived.launch(&self.world, Arc::clone(&life), begin, inherited);
        let Launched { door, task, ended, finish } = launched;
        shard.insert(id, Slot { life, number: start.life, door, task, ended, finish: Some(finish) });
        Ok(())
    }

    fn refuse_stale(&self, slot: Option<&Slot>, epoch: Epoch) -> Result<(), StartError> {
        if self.world.gate.state() == GateState::Retired {
            return Err(StartError::Retired);
        }
        match slot {
            Some(slot) if slot.life.epoch >= epoch => Err(StartError::Stale(slot.life.epoch)),
            _ => Ok(()),
        }
    }

    /// Ends an activation older than `below`, in the middle of a message if need be. The caller of
    /// that message hears "unknown", those of waiting messages "not executed".
    pub fn stop(&self, id: &ActorId, below: Epoch) {
        let mut shard = self.write(id);
        if shard.get(id).is_none_or(|slot| slot.life.epoch >= below) {
            return;
        }
        if let Some(slot) = shard.remove(id) {
            slot.halt();
        }
    }

    /// Ends an activation older than `below`, like [`Host::stop`], for one that is to follow it here: that takes over
    /// the count of panics. Messages that wait are answered: their callers know how long they want to try again.
    pub fn supersede(&self, id: &ActorId, below: Epoch) {
        let shard = self.read(id.name());
        if let Some(slot) = shard.get(id).filter(|slot| slot.life.epoch < below) {
            slot.halt();
        }
    }

    /// Ends every activation, like [`Host::stop`].
    pub fn stop_all(&self) {
        for shard in &self.shards {
            shard.write().drain().for_each(|(_, slot)| slot.halt());
        }
    }

    /// The epoch under which the actor runs here, if it does. One that panicked does not.
    pub fn running(&self, id: &ActorId) -> Option<Epoch> {
        self.read(id.name()).get(id).filter(|slot| slot.runs()).map(|slot| slot.life.epoch)
    }

    /// Whether that activation, or a later one, was begun here; it may be over.
    pub fn has_begun(&self, id: &ActorId, epoch: Epoch) -> bool {
        self.read(id.name()).get(id).is_some_and(|slot| slot.life.epoch >= epoch)
    }

    /// How many have a place here: those that run, and some that have ended by themselves. Quick, however many.
    pub fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// How many run here.
    pub fn count(&self) -> usize {
        let of = |shard: &Shard| shard.read().values().filter(|slot| slot.runs()).count();
        self.shards.iter().map(of).sum()
    }

    /// All that run here, in order of their names.
    pub fn list(&self) -> Vec<(ActorId, Epoch)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let running = shard.iter().filter(|(_, slot)| slot.runs());
            all.extend(running.map(|(id, slot)| (id.clone(), slot.life.epoch)));
        }
        all.sort_unstable();
        all
    }

    /// Takes no more messages for an actor, lets it handle the message at hand and those that wait (for
    /// [`FINISH_DEADLINE`](crate::limits::FINISH_DEADLINE)) and write a last checkpoint, and then ends its activation
    /// for good. Resolves to the number of its newest durable checkpoint, or to an error if the activation ended
    /// otherwise. None if `epoch` does not run here, or was asked before.
    ///
    /// It tries for as long as it takes: give the wait a deadline, and [`Host::stop`] it then.
    pub fn finish(&self, id: &ActorId, epoch: Epoch) -> Option<oneshot::Receiver<u64>> {
        let mut shard = self.write(id);
        let slot = shard.get_mut(id).filter(|slot| slot.life.epoch == epoch)?;
        let (finished, wait) = oneshot::channel();
        slot.life.ask_to_end();
        slot.finish.take()?.send(finished).ok()?;
        Some(wait)
    }

    /// [`Host::finish`] for every actor here: who finished under which epoch, with which checkpoint.
    /// For a graceful leave.
    pub async fn final_checkpoints(&self) -> Vec<(ActorId, Epoch, Option<u64>)> {
        let asked = self.list().into_iter().map(|(id, epoch)| {
            let wait = self.finish(&id, epoch);
            (id, epoch, wait)
        });
        let asked: Vec<_> = asked.collect();
        let mut all = Vec::with_capacity(asked.len());
        for (id, epoch, wait) in asked {
            let seq = match wait {
                Some(wait) => wait.await.ok(),
                None => None,
            };
            all.push((id, epoch, seq));
        }
        all
    }

    /// The life that an actor is in here, and its door.
    pub(super) fn door_of_life(&self, id: &ActorId) -> Option<(u64, Arc<dyn Door>)> {
        self.read(id.name()).get(id).map(|slot| (slot.number, Arc::clone(&slot.door)))
    }

    /// What a reference to an actor that runs here may remember.
    pub(super) fn near(&self, id: &ActorId) -> Option<Near> {
        let shard = self.read(id.name());
        let slot = shard.get(id).filter(|slot| slot.runs())?;
        Some(Near { life: Arc::clone(&slot.life), door: Arc::clone(&slot.door) })
    }

    pub(super) fn door(&self, id: ActorName<'_>) -> Option<Arc<dyn Door>> {
        self.read(id).get(&id).map(|slot| Arc::clone(&slot.door))
    }

    fn read(&self, id: ActorName<'_>) -> RwLockReadGuard<'_, HashMap<ActorId, Slot>> {
        self.shard(id).read()
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.world.gate
    }

    fn write(&self, id: &ActorId) -> RwLockWriteGuard<'_, HashMap<ActorId, Slot>> {
        self.shard(id.name()).write()
    }

    fn shard(&self, id: ActorName<'_>) -> &Shard {
        let at = self.hasher.hash_one(id) as usize % self.shards.len();
        &self.shards[at]
    }
}
