//! From an actor's state to a committed checkpoint, in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Weak};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::content::Content;
use super::save_deadline;
use super::sealed::Sealed;
use super::shelf::InUse;
use crate::actor::{NewCheckpoint, SaveError, Saver};
use crate::core::command::{Checkpoint, Command, Commit, Refused, Response};
use crate::core::disks::Disks;
use crate::core::placement::{self, Candidate};
use crate::gather::Gather;
use crate::id::{ActorId, Epoch, Incarnation, RaftId};
use crate::limits::{
    GATHER_ROUTINE_SAVES, GATHER_SAVES, MAX_BATCH_ITEMS, PARALLEL_FLUSHES, SAVE_BATCH_BYTES, SAVE_DEADLINE,
};
use crate::peer::Shared;
use crate::store::CopyKey;
use crate::wire::RepairOrder;

/// A sealed checkpoint on its way, and who waits for it.
pub(crate) struct SaveOrder {
    key: CopyKey,
    copies: u8,
    sealed: Sealed,
    done: Done,
    is_urgent: bool,
    /// What it relies on stays on this disk.
    _in_use: Option<InUse>,
}

type Done = oneshot::Sender<Result<(), SaveError>>;

impl SaveOrder {
    fn new((actor, epoch, seq): (ActorId, Epoch, u64), copies: u8, sealed: Sealed, done: Done) -> Self {
        let key = CopyKey { actor, epoch, seq, digest: sealed.digest };
        Self { key, copies, sealed, done, is_urgent: true, _in_use: None }
    }

    /// How much there is to write.
    fn bytes(&self) -> usize {
        let new = self.sealed.chunks.iter().filter(|piece| !piece.is_here);
        new.map(|piece| piece.stored.len()).sum::<usize>() + self.sealed.manifest.len()
    }

    fn checkpoint(&self, holders: Disks) -> Checkpoint {
        let (seq, digest, length) = (self.key.seq, self.key.digest, self.sealed.length);
        Checkpoint { seq, digest, length, copies: self.copies, holders }
    }

    fn repair(&self, holders: Disks) -> RepairOrder {
        let (actor, epoch) = (self.key.actor.clone(), self.key.epoch);
        RepairOrder { actor, epoch, checkpoint: self.checkpoint(holders) }
    }
}

/// What the actor runtime sees of this module.
pub(crate) struct Saves(pub(crate) Weak<Shared>);

impl Saver for Saves {
    fn save(&self, c: NewCheckpoint) -> oneshot::Receiver<Result<(), SaveError>> {
        let (kind_version, state, sessions) = (c.kind_version, c.bytes.into(), c.sessions.into());
        let content = Content { kind_version, state, sessions };
        match self.0.upgrade() {
            Some(shared) => shared.save((c.actor, c.epoch, c.seq), c.copies, content, c.is_urgent),
            None => oneshot::channel().1,
        }
    }

    fn restart(&self, actor: &ActorId, epoch: Epoch, panic: String) {
        let Some(shared) = self.0.upgrade() else { return };
        tracing::warn!(%actor, %panic, "a handler panicked; the actor goes back to its last checkpoint");
        shared.restart(actor, epoch, false);
    }

    fn fail(&self, actor: &ActorId, epoch: Epoch, panic: String) {
        let Some(shared) = self.0.upgrade() else { return };
        tracing::error!(%actor, %panic, "an actor has failed: its handlers panicked too often");
        shared.restart(actor, epoch, true);
    }

    fn stop(&self, actor: &ActorId, epoch: Epoch) {
        let Some(shared) = self.0.upgrade() else { return };
        let line = shared.state(|s| s.actors.line(actor).filter(|a| a.epoch == epoch).map(|a| a.life));
        if let Some(life) = line.flatten() {
            let command = Command::Stop { actor: actor.clone(), life, by: shared.incarnation() };
            shared.clone().spawn(async move { shared.propose_until_moot(command).await });
        }
    }
}

/// Checkpoints that are written together.
struct Batch {
    orders: Vec<SaveOrder>,
    bytes: usize,
    is_urgent: bool,
}

impl Batch {
    fn new(first: SaveOrder) -> Self {
        Self { bytes: first.bytes(), is_urgent: first.is_urgent, orders: vec![first] }
    }

    /// Whether there is room, and none is wanted at once.
    fn may_wait(&self) -> bool {
        self.has_room() && !self.is_urgent
    }

    fn has_room(&self) -> bool {
        self.orders.len() < MAX_BATCH_ITEMS && self.bytes < SAVE_BATCH_BYTES
    }

    /// Takes in what waits.
    fn fill(&mut self, queue: &mut mpsc::Receiver<SaveOrder>) {
        while self.has_room()
            && let Ok(next) = queue.try_recv()
        {
            self.bytes = self.bytes.saturating_add(next.bytes());
            self.is_urgent |= next.is_urgent;
            self.orders.push(next);
        }
    }
}

/// What one flush knows of the cluster.
struct Surroundings {
    me: Incarnation,
    disk: RaftId,
    zone: String,
    others: Vec<Candidate>,
}

impl Shared {
    fn restart(self: &Arc<Self>, actor: &ActorId, epoch: Epoch, gives_up: bool) {
        let Some(by) = self.incarnation() else { return };
        let (shared, command) =
            (self.clone(), Command::Restart { by, actor: actor.clone(), epoch, gives_up });
        self.spawn(async move { shared.propose_until_moot(command).await });
    }

    /// Makes a checkpoint durable: together with others, or, where much of it is new, by itself.
    pub(crate) fn save(
        self: &Arc<Self>,
        place: (ActorId, Epoch, u64),
        copies: u8,
        content: Content,
        is_urgent: bool,
    ) -> oneshot::Receiver<Result<(), SaveError>> {
        let (done, wait) = oneshot::channel();
        if content.len() >= self.cutting.from {
            self.spawn(self.clone().save_large(place, copies, content, done));
        } else {
            let order = SaveOrder::new(place, copies, Sealed::whole(&content), done);
            self.queue_save(SaveOrder { is_urgent, ..order });
        }
        wait
    }

    async fn save_large(
        self: Arc<Self>,
        place: (ActorId, Epoch, u64),
        copies: u8,
        content: Content,
        done: Done,
    ) {
        let Ok(turn) = self.large_saves.acquire().await else { return };
        let in_use = self.hold_chunks(&place.0).await;
        // A disk that cannot tell will say so when it is written to.
        let here = self.own_chunk_names(&place.0).await.unwrap_or_default();
        let sealed = match Sealed::cut(&content, self.cutting, here).await {
            Ok(sealed) => sealed,
            Err(e) => return drop(done.send(Err(SaveError::Failed(e.to_string())))),
        };
        drop(content);
        let order = SaveOrder { _in_use: Some(in_use), ..SaveOrder::new(place, copies, sealed, done) };
        if order.bytes() < SAVE_BATCH_BYTES / 4 {
            drop(turn);
            self.queue_save(order);
        } else {
            // Nobody else is to wait for so much.
            self.clone().flush(vec![order]).await;
        }
    }

    /// Queues a checkpoint; a full queue answers at once.
    fn queue_save(&self, order: SaveOrder) {
        let is_urgent = order.is_urgent;
        match self.saves.try_send(order) {
            Ok(()) if is_urgent => self.save_soon.notify_one(),
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) => {
                drop(
                    order.done.send(Err(SaveError::Failed("too many checkpoints wait for the disk".into()))),
                );
            }
        }
    }

    /// Proposes what the state makes moot by itself in the end: a retired peer's wish, a stopped actor's.
    pub(crate) async fn propose_until_moot(&self, command: Command) {
        while !self.is_stopped() && !self.phase.borrow().is_over() {
            if self.propose(command.clone(), SAVE_DEADLINE).await.is_ok() {
                return;
            }
        }
    }

    /// Takes checkpoints from the queue in batches, a few of them at once.
    pub(crate) async fn flush_saves(self: Arc<Self>, mut queue: mpsc::Receiver<SaveOrder>) {
        let room = Arc::new(Semaphore::new(PARALLEL_FLUSHES));
        let mut gather = Gather::new(GATHER_SAVES);
        while let Ok(permit) = room.clone().acquire_owned().await {
            let Some(first) = queue.recv().await else { return };
            gather.company().await;
            let mut batch = Batch::new(first);
            batch.fill(&mut queue);
            if batch.may_wait() {
                drop(timeout(GATHER_ROUTINE_SAVES, self.save_soon.notified()).await);
                batch.fill(&mut queue);
            }
            let batch = batch.orders;
            let (shared, under_way) = (self.clone(), gather.leave(batch.len()));
            self.spawn(async move {
                shared.flush(batch).await;
                drop((under_way, permit));
            });
        }
    }

    async fn flush(self: Arc<Self>, batch: Vec<SaveOrder>) {
        let limit = save_deadline(batch.iter().map(|order| order.sealed.length).sum());
        let outcome = timeout(limit, self.try_flush(&batch)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(SaveError::Failed("no quorum in time".into())));
        match outcome {
            Ok(answers) => {
                tracing::debug!(count = batch.len(), "checkpoints are committed");
                for (order, answer) in batch.into_iter().zip(answers) {
                    drop(order.done.send(answer.map(drop).map_err(save_error)));
                }
            }
            Err(e) => {
                for order in batch {
                    drop(order.done.send(Err(e.clone())));
                }
            }
        }
    }

    async fn try_flush(
        self: &Arc<Self>,
        batch: &[SaveOrder],
    ) -> Result<Vec<Result<Epoch, Refused>>, SaveError> {
        let failed = |e: String| SaveError::Failed(e);
        let around = self.surroundings().ok_or_else(|| failed("not a member".into()))?;
        let own = batch.iter().map(|order| (&order.key, &order.sealed));
        let copied = self.replicate(batch, &around.others, &around.zone);
        let (stored, holders) = tokio::join!(self.keep(own), copied);
        stored.map_err(|e| failed(format!("this disk: {e}")))?;
        let items = batch
            .iter()
            .zip(holders)
            .map(|(order, mut holders)| {
                let living = around.others.len().min(usize::from(order.copies));
                holders.insert(around.disk);
                Commit {
                    actor: order.key.actor.clone(),
                    epoch: order.key.epoch,
                    checkpoint: order.checkpoint(holders),
                    required: u8::try_from(living).unwrap_or(order.copies),
                }
            })
            .collect();
        let command = Command::Commit { by: around.me, items };
        match self.propose(command, SAVE_DEADLINE).await {
            Ok(Response::Items(answers)) if answers.len() == batch.len() => Ok(answers),
            Ok(Response::Refused(_)) => Err(SaveError::Fenced),
            Ok(_) => Err(failed("an answer to another question".into())),
            Err(e) => Err(failed(e.to_string())),
        }
    }

    /// Stores copies on this disk. Whoever calls holds their chunks.
    pub(super) async fn keep<'a>(
        &self,
        copies: impl Iterator<Item = (&'a CopyKey, &'a Sealed)> + Clone,
    ) -> io::Result<()> {
        let mut writers = vec![];
        for (key, copy) in copies.clone().filter(|(_, copy)| !copy.chunks.is_empty()) {
            let mut writer = self.chunk_writer(&key.actor).await;
            for piece in copy.chunks.iter().filter(|piece| !piece.is_here) {
                writer.put(piece.chunk.digest, piece.stored.clone()).await?;
            }
            writer.write().await?;
            writers.push(writer);
        }
        // Until copies name them.
        let mut in_use = vec![];
        for writer in writers {
            in_use.push(writer.finish().await?);
        }
        let own = copies.map(|(key, copy)| (key.clone(), copy.manifest.clone())).collect();
        self.store_copies(own).await
    }

    fn surroundings(&self) -> Option<Surroundings> {
        let place = self.admission()?;
        self.state(|s| Surroundings {
            me: place.incarnation,
            disk: place.raft_id,
            zone: self.labels.get("zone").cloned().unwrap_or_default(),
            others: s
                .living()
                .filter(|(node, _)| **node != self.node)
                .map(|(node, m)| Candidate {
                    node: node.clone(),
                    raft_id: m.raft_id,
                    zone: m.zone().unwrap_or_default().to_owned(),
                })
                .collect(),
        })
    }

    /// Copies a batch to other peers: for each checkpoint, the disks that acknowledged it. Where a
    /// chosen one does not answer in time, the next best is tried once.
    async fn replicate(
        self: &Arc<Self>,
        batch: &[SaveOrder],
        others: &[Candidate],
        zone: &str,
    ) -> Vec<Disks> {
        let mut holders = vec![Disks::new(); batch.len()];
        let mut silent = BTreeSet::new();
        for _attempt in 0..2 {
            let usable: Vec<Candidate> =
                others.iter().filter(|c| !silent.contains(&c.raft_id)).cloned().collect();
            let most = batch.iter().map(|order| usize::from(order.copies)).max().unwrap_or(0);
            let best = placement::holders(&self.node, &usable, zone, most);
            let mut orders: BTreeMap<RaftId, Vec<usize>> = BTreeMap::new();
            for (at, order) in batch.iter().enumerate() {
                let copies = usize::from(order.copies);
                for chosen in best.iter().take(copies) {
                    if !holders[at].contains(chosen.raft_id) && holders[at].len() < copies {
                        orders.entry(chosen.raft_id).or_default().push(at);
                    }
                }
            }
            if orders.is_empty() {
                break;
            }
            let sent = orders.into_iter().map(|(disk, items)| async move {
                let copies: Vec<_> = items.iter().map(|at| (&batch[*at].key, &batch[*at].sealed)).collect();
                (disk, items, self.put_copies(disk, &copies).await)
            });
            for (disk, items, stored) in futures_util::future::join_all(sent).await {
                match stored {
                    Ok(()) => items.into_iter().for_each(|at| {
                        holders[at].insert(disk);
                    }),
                    Err(e) => {
                        tracing::debug!(disk = disk.0, %e, "a peer did not store copies");
                        silent.insert(disk);
                    }
                }
            }
        }
        for disk in silent {
            let short =
                batch.iter().zip(&holders).filter(|(order, has)| has.len() < usize::from(order.copies));
            let orders = short.map(|(order, has)| order.repair(has.clone())).collect();
            let held = self.fetched_around(disk, orders).await;
            let held: BTreeSet<_> = held.iter().map(|h| (&h.actor, h.epoch, h.seq)).collect();
            for (order, has) in batch.iter().zip(&mut holders) {
                if held.contains(&(&order.key.actor, order.key.epoch, order.key.seq)) {
                    has.insert(disk);
                }
            }
        }
        holders
    }
}

fn save_error(refused: Refused) -> SaveError {
    match refused {
        Refused::StaleEpoch | Refused::NoSuchActor | Refused::NewerIncarnation | Refused::OldSeq => {
            SaveError::Fenced
        }
        other => SaveError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn order(seq: u64, is_urgent: bool) -> SaveOrder {
        let content = Content { kind_version: 1, state: vec![7; 100].into(), sessions: Bytes::new() };
        let place = (ActorId::new("kind", "a").unwrap(), Epoch(1), seq);
        let order = SaveOrder::new(place, 2, Sealed::whole(&content), oneshot::channel().0);
        SaveOrder { is_urgent, ..order }
    }

    #[test]
    fn a_batch_waits_for_others_only_while_none_is_wanted_at_once_and_there_is_room() {
        let (saves, mut queue) = mpsc::channel(2 * MAX_BATCH_ITEMS);
        let mut batch = Batch::new(order(0, false));
        assert!(batch.may_wait() && !Batch::new(order(0, true)).may_wait());
        assert!(saves.try_send(order(1, false)).is_ok() && saves.try_send(order(2, true)).is_ok());
        batch.fill(&mut queue);
        assert!(!batch.may_wait(), "the last one is wanted at once");
        assert_eq!(batch.orders.len(), 3);
        let mut batch = Batch::new(order(3, false));
        (0..=MAX_BATCH_ITEMS as u64).for_each(|n| assert!(saves.try_send(order(n, false)).is_ok()));
        batch.fill(&mut queue);
        assert!(!batch.may_wait(), "it is full");
        assert_eq!((batch.orders.len(), queue.len()), (MAX_BATCH_ITEMS, 2));
    }
}
