//! Makes copies again that were lost with a disk, and offers those that a disk brings back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::collect::newest;
use super::transfer;
use crate::core::command::{Command, Held};
use crate::core::lines::Line;
use crate::core::placement::{self, Candidate};
use crate::core::state::{Actor, Member, State};
use crate::id::{ActorId, Incarnation, NodeId, RaftId};
use crate::limits::{
    MAX_LINES_PER_LOOK, MAX_REPAIRS_PER_ORDER, REPAIR_DEADLINE, SAVE_BATCH_BYTES, SAVE_DEADLINE,
};
use crate::peer::{Shared, lock};
use crate::raft::Consensus;
use crate::store::CopyKey;
use crate::wire::{Answer, RepairOrder, Request};

/// How far a leader has looked for copies that are missing. It looks at a part of the directory at a time: others wait
/// for the state meanwhile, and it may be long.
#[derive(Default)]
pub(crate) struct Search {
    /// The newest entry when it began.
    begun_at: u64,
    /// The last actor that it looked at; none at the beginning.
    after: Option<ActorId>,
    /// Whether any copy was missing.
    found: bool,
}

/// Whom copies can be on.
struct Living {
    candidates: Vec<Candidate>,
    disks: BTreeSet<RaftId>,
    by_process: BTreeMap<Incarnation, RaftId>,
}

impl Living {
    fn of(state: &State) -> Self {
        let candidate = |(node, m): (&NodeId, &Member)| Candidate {
            node: node.clone(),
            raft_id: m.raft_id,
            zone: m.zone().unwrap_or_default().to_owned(),
        };
        Self {
            candidates: state.living().map(candidate).collect(),
            disks: state.living().map(|(_, m)| m.raft_id).collect(),
            by_process: state.living().map(|(_, m)| (m.incarnation, m.raft_id)).collect(),
        }
    }

    /// Whether nothing is missing, or can be made again: so it is of all lines but a few.
    fn are_enough(&self, line: &Line<'_>) -> bool {
        let (wanted, holders) = line.copies();
        let own = line.host.and_then(|host| self.by_process.get(&host));
        let others = holders.clone().filter(|disk| self.disks.contains(disk) && Some(disk) != own).count();
        let own_is_there = own.is_none_or(|own| holders.clone().any(|disk| disk == *own));
        (others >= usize::from(wanted) && own_is_there) || holders.count() == 0
    }
}

/// Which disk should fetch which copies, of the actors behind one in the directory; and where to go on, if there are
/// more.
fn shortages(
    state: &State,
    after: Option<&ActorId>,
) -> (BTreeMap<RaftId, Vec<RepairOrder>>, Option<ActorId>) {
    let living = Living::of(state);
    let mut orders: BTreeMap<RaftId, Vec<RepairOrder>> = BTreeMap::new();
    let (mut count, mut last) = (0, None);
    for line in state.actors.after(after).take(MAX_LINES_PER_LOOK) {
        (count, last) = (count + 1, Some(line));
        if living.are_enough(&line) {
            continue;
        }
        let actor = line.actor();
        for disk in missing(state, &actor, &living.candidates) {
            let Some((epoch, checkpoint)) = &actor.checkpoint else { continue };
            let order = orders.entry(disk).or_default();
            if order.len() < MAX_REPAIRS_PER_ORDER {
                order.push(RepairOrder { actor: line.id(), epoch: *epoch, checkpoint: checkpoint.clone() });
            }
        }
    }
    let last = last.filter(|_| count == MAX_LINES_PER_LOOK).map(|line| line.id());
    (orders, last)
}

/// Which disks should get copies of an actor's checkpoint, where those that there are [are not
/// enough](Living::are_enough).
fn missing(state: &State, actor: &Actor, living: &[Candidate]) -> Vec<RaftId> {
    let Some((_, checkpoint)) = &actor.checkpoint else { return vec![] };
    let host = actor.host.and_then(|host| state.member_of(host)).map(|(node, m)| (node, m.raft_id));
    let others = |c: &&Candidate| host.is_none_or(|(node, _)| c.node != *node);
    let has = living.iter().filter(others).filter(|c| checkpoint.holders.contains(c.raft_id)).count();
    let wanted = usize::from(checkpoint.copies);
    // A host that got its actor with an empty disk keeps a copy too, as it would have had it saved the state itself.
    let is_short = |disk: &RaftId| {
        !checkpoint.holders.contains(*disk) && living.iter().any(|candidate| candidate.raft_id == *disk)
    };
    let own = host.map(|(_, disk)| disk).filter(is_short);
    let spare: Vec<Candidate> =
        living.iter().filter(others).filter(|c| !checkpoint.holders.contains(c.raft_id)).cloned().collect();
    let zone = host.and_then(|(node, _)| state.members.get(node)?.zone()).unwrap_or_default();
    let host = host.map_or(&actor.home, |(node, _)| node);
    let others = placement::holders(host, &spare, zone, wanted.saturating_sub(has));
    own.into_iter().chain(others.into_iter().map(|candidate| candidate.raft_id)).collect()
}

impl Shared {
    /// One round of repairs, on the leader. Once all was looked at and nothing missing, up to which entry that is so.
    pub(crate) async fn repair_copies(
        self: &Arc<Self>,
        consensus: &Consensus,
        search: &mut Search,
    ) -> Option<u64> {
        let (orders, last) = consensus.applied().read_at(|state, index, _| {
            if search.after.is_none() {
                *search = Search { begun_at: index, ..Search::default() };
            }
            shortages(state, search.after.as_ref())
        });
        search.found |= !orders.is_empty();
        let repaired = !orders.is_empty() && self.order_repairs(consensus, orders).await;
        // Where something was repaired there may be more than was ordered.
        if !repaired {
            search.after = last;
        }
        (search.after.is_none() && !search.found).then_some(search.begun_at)
    }

    /// Whether any copy was made again.
    async fn order_repairs(
        self: &Arc<Self>,
        consensus: &Consensus,
        orders: BTreeMap<RaftId, Vec<RepairOrder>>,
    ) -> bool {
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
            return true;
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

    /// Fetches copies onto this disk: those that are durable here now. An actor that is on its way back here comes
    /// first, and its copy when the leader asks again: both at once would take twice as long.
    pub(crate) async fn on_repair(self: &Arc<Self>, orders: Vec<RepairOrder>) -> Vec<Held> {
        let Some(place) = self.admission().filter(|_| self.gate.is_open()) else {
            // Without a lease it may not know yet which actors are on their way back here.
            return vec![];
        };
        let mut held = Vec::new();
        let (mut fetched, mut in_use, mut bytes) = (Vec::new(), Vec::new(), 0);
        let is_back = |order: &RepairOrder| !lock(&self.restores).is_wanted(&order.actor);
        let mut orders = orders.into_iter().take(MAX_REPAIRS_PER_ORDER).filter(is_back).peekable();
        while let Some(RepairOrder { actor, epoch, checkpoint }) = orders.next() {
            if let Ok((key, manifest, chunks)) = self.fetch_chunks(&actor, epoch, &checkpoint).await {
                bytes += manifest.len();
                fetched.push((key, manifest));
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
            let is_newest = |s: &State| s.actors.get(&key.actor).is_some_and(|a| newest(&key, &a).is_some());
            if consensus.applied().read(is_newest) && self.is_whole(&key).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::command::Checkpoint;
    use crate::core::state::Status;
    use crate::id::Epoch;

    fn state(actors: usize, short: &[usize]) -> State {
        let mut state = State::default();
        for n in 1..=3 {
            let member = Member {
                incarnation: Incarnation(n),
                raft_id: RaftId(n),
                addr: ([127, 0, 0, 1], 1).into(),
                standing: Status::Up,
                kinds: BTreeSet::new(),
                labels: BTreeMap::new(),
                nonce: 0,
                silent_ms: 0,
            };
            state.members.insert(NodeId::new(format!("peer-{n}")).unwrap(), member);
        }
        for n in 0..actors {
            let holders = if short.contains(&n) { vec![1, 2] } else { vec![1, 2, 3] };
            let holders = holders.into_iter().map(RaftId).collect();
            let checkpoint = Checkpoint { seq: 1, digest: [0; 32], length: 1, copies: 2, holders };
            let born = Actor::new(NodeId::new("peer-1").unwrap(), Incarnation(1), 1, 0, None);
            let actor = Actor { checkpoint: Some((Epoch(1), checkpoint)), ..born };
            state.actors.insert(&ActorId::new("k", format!("{n:08}")).unwrap(), &actor);
        }
        state
    }

    #[test]
    fn a_long_directory_is_searched_in_parts_and_to_its_end() {
        let actors = MAX_LINES_PER_LOOK + 3;
        let order: Vec<usize> = state(actors, &[]).actors.ids().map(|id| id.key().parse().unwrap()).collect();
        let (first, last) = (order[7], order[actors - 1]);
        let state = state(actors, &[first, last]);
        let found = |orders: BTreeMap<RaftId, Vec<RepairOrder>>| -> Vec<(RaftId, String)> {
            let keys = |(disk, orders): (RaftId, Vec<RepairOrder>)| {
                orders.into_iter().map(move |order| (disk, order.actor.key().to_owned()))
            };
            orders.into_iter().flat_map(keys).collect()
        };
        let (orders, after) = shortages(&state, None);
        assert_eq!(found(orders), [(RaftId(3), format!("{first:08}"))]);
        let after = after.expect("there are more");
        let (orders, after) = shortages(&state, Some(&after));
        assert_eq!((found(orders), after), (vec![(RaftId(3), format!("{last:08}"))], None));
    }
}
