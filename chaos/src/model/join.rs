//! Processes that come: on an empty disk beside an old one, or on the disk of one that died.

use standin::canary::Mistake;
use standin::core::command::Admission as Place;
use standin::core::lease::Admission;
use standin::core::state::State;
use standin::id::{Incarnation, RaftId};
use std::sync::Arc;

use super::Cluster;
use super::log::nonce;
use super::parts::{Claim, Disk, Nr, Process, Wish, World};

impl Cluster {
    /// A new machine with an empty disk asks for a node id; the old process may go on somewhere. One that is
    /// not answered makes no difference to anybody.
    pub fn replace(&self, world: &World, node: Nr, leader: Nr, is_late: bool) -> Option<World> {
        let mut next = world.clone();
        next.left.replacements = next.left.replacements.checked_sub(1)?;
        let disk = next.disks.len() as Nr;
        next.disks.push(Arc::new(Disk { node, ..Disk::default() }));
        let who = next.processes.len() as Nr;
        next.processes.push(Arc::new(Process::new(node, disk)));
        self.ask(&next, who, leader, is_late)
    }

    /// A process dies, and another one starts on its disk.
    pub fn restart(&self, world: &World, who: Nr) -> Option<World> {
        let old = &world.processes[usize::from(who)];
        let disk = &world.disks[usize::from(old.disk)];
        let (true, Some(raft_id), Some(incarnation)) = (old.is_alive, disk.raft_id, disk.incarnation) else {
            return None;
        };
        let mut next = world.clone();
        next.left.replacements = next.left.replacements.checked_sub(1)?;
        let new = next.processes.len() as Nr;
        let mut process = Process::new(old.node, old.disk);
        process.applied = old.applied;
        process.claim = Some(Claim { disk: raft_id, incarnation, asked: disk.asked.clone() });
        next.processes.push(Arc::new(process));
        *next.process(who) =
            Process { is_alive: false, place: old.place, ..Process::new(old.node, old.disk) };
        let disk = next.disk(old.disk);
        disk.asked.insert(new);
        for lost in std::mem::take(&mut disk.unsynced) {
            disk.copies.remove(&lost);
        }
        Some(next)
    }

    /// A process asks a leader for its node id.
    pub fn ask(&self, world: &World, who: Nr, leader: Nr, is_late: bool) -> Option<World> {
        let (asks, leads) = (&world.processes[usize::from(who)], &world.processes[usize::from(leader)]);
        let is_moot = !is_late && !self.can_append(world, leader);
        if is_moot || !asks.is_alive || asks.offer.is_some() || asks.place.is_some() {
            return None;
        }
        let leading = leads.leading.as_ref()?;
        let node = self.nodes[usize::from(asks.node)].clone();
        let mut granter = leads.granter.clone()?;
        let Admission::Free { term } = granter.admit(&node, self.now(world, leader)) else { return None };
        let state = &world.applied(leads)?.state;
        let replaces = state.members.get(&node).map(|m| m.incarnation);
        let disk = self.kept_disk(state, asks);
        let mut next = world.clone();
        next.process(leader).granter = Some(granter);
        if self.mistake == Some(Mistake::AdmittedBeforeCommit) {
            let index = leading.next + leading.tail.len() as u64;
            let raft_id = disk.unwrap_or(RaftId(index));
            next.process(who).offer = Some(Place { incarnation: Incarnation(index), raft_id });
        }
        self.decide(&mut next, leader, Wish::Admit { process: who, replaces, disk, term }, is_late)?;
        Some(next)
    }

    /// The leader's rule: a disk counts only if the newest process of the node ran on it.
    fn kept_disk(&self, state: &State, asks: &Process) -> Option<RaftId> {
        let claim = asks.claim.as_ref()?;
        let member = state.members.get(&self.nodes[usize::from(asks.node)])?;
        let asked = claim.asked.iter().any(|process| nonce(*process) == member.nonce);
        let is_newest = member.incarnation == claim.incarnation || asked;
        (is_newest && member.raft_id == claim.disk).then_some(claim.disk)
    }

    /// The answer reaches the process: it writes it to its disk, and is a member.
    pub fn settle(&self, world: &World, who: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let offer = process.offer.filter(|_| process.is_alive && process.place.is_none())?;
        let mut next = world.clone();
        let disk = next.disk(process.disk);
        let is_same = disk.raft_id == Some(offer.raft_id);
        disk.raft_id = Some(offer.raft_id);
        disk.incarnation = Some(offer.incarnation);
        disk.asked.clear();
        if !is_same {
            disk.vote = (0, 0);
        }
        let process = next.process(who);
        process.place = Some(offer);
        if !is_same {
            // Its log is discarded: it learns everything anew.
            process.applied = 0;
            process.leading = None;
            process.granter = None;
        }
        if next.processes[usize::from(who)].applied > 0 {
            self.follow(&mut next, who);
        }
        Some(next)
    }
}
