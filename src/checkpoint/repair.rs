//! Makes copies again that were lost with a disk, and offers those that a disk brings back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::transfer;
use crate::core::command::{Command, Held};
use crate::core::placement::{self, Candidate};
use crate::core::state::{Actor, State};
use crate::id::RaftId;
use crate::limits::{MAX_REPAIRS_PER_ORDER, REPAIR_DEADLINE, SAVE_BATCH_BYTES, SAVE_DEADLINE};
use crate::peer::Shared;
use crate::raft::Consensus;
use crate::store::CopyKey;
use crate::wire::{Answer, RepairOrder, Request};

/// Which disk should fetch which copies: all that are short of one.
fn shortages(state: &State) -> BTreeMap<RaftId, Vec<RepairOrder>> {
    let living: Vec<Candidate> = state
        .living()
        .map(|(node, m)| Candidate {
            node: node.clone(),
            raft_id: m.raft_id,
            zone: m.zone().unwrap_or_default().to_owned(),
        })
        .collect();
    let mut orders: BTreeMap<RaftId, Vec<RepairOrder>> = BTreeMap::new();
    for (id, actor) in &state.actors {
        for disk in missing(state, actor, &living) {
            let Some((epoch, checkpoint)) = &actor.checkpoint else { continue };
            let order = orders.entry(disk).or_default();
            if order.len() < MAX_REPAIRS_PER_ORDER {
                order.push(RepairOrder { actor: id.clone(), epoch: *epoch, checkpoint: checkpoint.clone() });
            }
        }
    }
    orders
}

fn missing(state: &State, actor: &Actor, living: &[Candidate]) -> Vec<RaftId> {
    let Some((_, checkpoint)) = &actor.checkpoint else { return vec![] };
    let host = actor.host.and_then(|host| state.member_of(host)).map(|(node, m)| (node, m.raft_id));
    let others = |c: &&Candidate| host.is_none_or(|(node, _)| c.node != *node);
    let has = living.iter().filter(others).filter(|c| checkpoint.holders.contains(&c.raft_id)).count();
    let wanted = usize::from(checkpoint.copies);
    // A host that got its actor with an empty disk keeps a copy too, as it would have had it saved the state itself.
    let is_short = |disk: &RaftId| {
        !checkpoint.holders.contains(disk) && living.iter().any(|candidate| candidate.raft_id == *disk)
    };
    let own = host.map(|(_, disk)| disk).filter(is_short);
    // Fast way out for all but a few.
    if (has >= wanted && own.is_none()) || checkpoint.holders.is_empty() {
        return vec![];
    }
    let spare: Vec<Candidate> =
        living.iter().filter(others).filter(|c| !checkpoint.holders.contains(&c.raft_id)).cloned().collect();
    let zone = host.and_then(|(node, _)| state.members.get(node)?.zone()).unwrap_or_default();
    let host = host.map_or(&actor.home, |(node, _)| node);
    let others = placement::holders(host, &spare, zone, wanted.saturating_sub(has));
    own.into_iter().chain(others.into_iter().map(|candidate| candidate.raft_id)).collect()
}

impl Shared {
    /// One round of repairs, on the leader. Whether there was nothing to do.
    pub(crate) async fn repair_copies(self: &Arc<Self>, consensus: &Consensus) -> bool {
        let orders = consensus.applied().read(shortages);
        if orders.is_empty() {
            return true;
        }
        let asked = orders.into_iter().map(|(disk, items)| async move {
            if Some(disk) == self.admission().map(|a| a.raft_id) {
                return self.on_repair(items).await;
            }
            let bytes = items.iter().map(|order| order.checkpoint.length).sum();
            match self.ask_disk(disk, Request::Repair(items), REPAIR_DEADLINE + transfer(bytes)).await {
                Ok(Answer::Repaired(held)) => held,
                _ => vec![],
            }
        });
        let held: Vec<Held> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        if !held.is_empty() {
            tracing::info!(copies = held.len(), "made lost copies again");
            drop(consensus.propose(Command::AddHolders { items: held, repair: true }).await);
        }
        false
    }

    /// Where only the link to a peer is cut, has it fetch copies from those that have them already.
    /// Which copies it has then.
    pub(super) async fn fetched_around(&self, disk: RaftId, orders: Vec<RepairOrder>) -> Vec<Held> {
        let mut all = vec![];
        if !self.is_detoured(disk) {
            return all;
        }
        for some in orders.chunks(MAX_REPAIRS_PER_ORDER) {
            let answer = self.ask_disk(disk, Request::Repair(some.to_vec()), self.timing.store).await;
            let Ok(Answer::Repaired(held)) = answer else { break };
            all.extend(held);
        }
        all
    }

    /// Fetches copies onto this disk: those that are durable here now.
    pub(crate) async fn on_repair(self: &Arc<Self>, orders: Vec<RepairOrder>) -> Vec<Held> {
        let Some(place) = self.admission() else { return vec![] };
        let mut held = Vec::new();
        let (mut fetched, mut in_use, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut orders = orders.into_iter().take(MAX_REPAIRS_PER_ORDER).peekable();
        while let Some(RepairOrder { actor, epoch, checkpoint }) = orders.next() {
            if let Ok((key, manifest, chunks)) = self.fetch_chunks(&actor, epoch, &checkpoint).await {
                bytes += manifest.len();
                fetched.push((key, manifest.to_vec()));
                in_use.extend(chunks);
            }
            if bytes < SAVE_BATCH_BYTES && orders.peek().is_some() {
                continue;
            }
            // What was fetched leaves memory before more is.
            let of = |(k, _): &(CopyKey, _)| (k.actor.clone(), k.epoch, k.seq);
            let names: Vec<_> = fetched.iter().map(of).collect();
            let batch = std::mem::take(&mut fetched);
            bytes = 0;
            if self.store_copies(batch).await.is_ok() {
                let holder = place.raft_id;
                held.extend(names.into_iter().map(|(actor, epoch, seq)| Held { actor, epoch, seq, holder }));
            }
            in_use.clear();
        }
        held
    }

    /// A disk whose Raft half was discarded may still hold what others have lost.
    pub(crate) async fn offer_copies(self: Arc<Self>, consensus: Consensus, used_disk: bool) {
        let Some(place) = self.admission() else { return };
        let mut applied = consensus.applied().watch();
        if !used_disk || applied.wait_for(|index| *index >= place.incarnation.0).await.is_err() {
            return;
        }
        let Ok(keys) = self.store.copies_of(None) else { return };
        let mut offered = BTreeSet::new();
        for key in keys {
            let newest = consensus.applied().read(|s| {
                let checkpoint = s.actors.get(&key.actor)?.checkpoint.as_ref()?;
                let (epoch, c) = checkpoint;
                Some((*epoch, c.seq, c.digest) == (key.epoch, key.seq, key.digest))
            });
            if newest == Some(true) && self.is_whole(&key).await {
                offered.insert(key);
            }
        }
        let items: Vec<Held> = offered
            .into_iter()
            .map(|k| Held { actor: k.actor, epoch: k.epoch, seq: k.seq, holder: place.raft_id })
            .collect();
        for chunk in items.chunks(MAX_REPAIRS_PER_ORDER) {
            let command = Command::AddHolders { items: chunk.to_vec(), repair: false };
            if let Err(e) = self.propose(command, SAVE_DEADLINE).await {
                tracing::warn!(%e, "could not offer the copies that this disk brought");
            }
        }
    }
}
