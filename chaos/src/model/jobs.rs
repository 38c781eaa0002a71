//! Actors, their checkpoints, and what else a process may want written.

use std::collections::BTreeSet;

use standin::canary::Mistake;
use standin::core::disks::Disks;
use standin::core::lease::PeerInput;
use standin::core::placement::{self, Candidate};
use standin::core::state::{Actor, State};
use standin::id::RaftId;

use super::Cluster;
use super::parts::{Copy, Message, Nr, Run, Wish, World};

/// How many other disks keep a copy.
const COPIES: usize = 1;

impl Cluster {
    /// What a process does with what it has applied: it stops, starts and forgets what the log says, and only
    /// then counts a lease.
    pub fn follow(&self, world: &mut World, who: Nr) {
        let process = &world.processes[usize::from(who)];
        let (Some(place), index) = (process.place, process.applied) else { return };
        let Some(table) = world.table(index) else { return };
        let newest = table.state.members.get(&self.nodes[usize::from(process.node)]).map(|m| m.incarnation);
        if newest > Some(place.incarnation) {
            return world.process(who).retire();
        }
        let mut runs = process.runs.clone();
        let mut wishes = vec![];
        for (id, nr) in self.actors.iter().zip(0..) {
            let line = table.state.actors.get(id).filter(|actor| actor.host == Some(place.incarnation));
            match line.as_ref().map(|actor| (actor, actor.checkpoint.as_ref())) {
                Some((actor, _)) if actor.stopping => {
                    runs.remove(&nr);
                    wishes.push(Wish::Stop { actor: nr, life: actor.life, by: Some(place.incarnation) });
                }
                Some((actor, _)) if actor.lost => {}
                Some((actor, Some((_, checkpoint)))) => {
                    let activation = table.activations.get(&nr).copied().unwrap_or(0);
                    let (epoch, seq) = (actor.epoch, checkpoint.seq);
                    let new = Run { epoch, seq, activation, halted: false, heir: None };
                    let run = runs.entry(nr).or_insert(new);
                    if run.epoch != actor.epoch {
                        *run = new;
                    }
                }
                _ => {
                    runs.remove(&nr);
                }
            }
        }
        wishes.extend(self.given_away(&table.state, place.incarnation, &mut runs));
        let is_live = |copy: &Copy| {
            let line = table.state.actors.get(&self.actors[usize::from(copy.actor)]);
            is_live(copy, line.as_ref(), index)
        };
        let disk = process.disk;
        let kept: BTreeSet<Copy> =
            world.disks[usize::from(disk)].copies.iter().copied().filter(is_live).collect();
        world.disk(disk).copies = kept;
        let process = world.process(who);
        process.runs = runs;
        process.step_lease(PeerInput::Applied { index });
        for wish in wishes {
            world.send(Message::Wish(wish));
        }
    }

    fn others(&self, state: &State, node: Nr) -> Vec<Candidate> {
        let own = &self.nodes[usize::from(node)];
        let candidate = |(node, m): (&standin::id::NodeId, &standin::core::state::Member)| Candidate {
            node: node.clone(),
            raft_id: m.raft_id,
            zone: String::new(),
        };
        state.living().filter(|(node, _)| *node != own).map(candidate).collect()
    }

    /// A host saves an actor.
    pub fn save(&self, world: &World, who: Nr, actor: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let (place, table) = (process.place.filter(|_| !process.is_retired)?, world.applied(process)?);
        let unborn = table
            .state
            .actors
            .get(&self.actors[usize::from(actor)])
            .filter(|line| line.host == Some(place.incarnation) && line.checkpoint.is_none());
        let run = process.runs.get(&actor).filter(|run| !run.halted && self.holds(world, who));
        let (epoch, seq, activation) = match (run, unborn) {
            (Some(run), _) => (run.epoch, run.seq + 1, run.activation),
            (None, Some(line)) => (line.epoch, 0, table.activations.get(&actor).copied().unwrap_or(0)),
            (None, None) => return None,
        };
        let mut next = world.clone();
        next.left.saves = next.left.saves.checked_sub(1)?;
        self.write(&mut next, who, Copy { actor, epoch, seq, activation })?;
        Some(next)
    }

    /// A checkpoint is written wherever it is to be. The commit is under way then.
    pub fn write(&self, next: &mut World, who: Nr, copy: Copy) -> Option<()> {
        let process = next.processes[usize::from(who)].clone();
        let (place, node) = (process.place?, &self.nodes[usize::from(process.node)]);
        let others = self.others(&next.applied(&process)?.state, process.node);
        let chosen = placement::holders(node, &others, "", COPIES);
        let mut holders = Disks::from([place.raft_id]);
        next.disk(process.disk).copies.insert(copy);
        for chosen in chosen {
            let Some((holder, _)) = self.runner(next, chosen.raft_id) else { continue };
            let disk = next.processes[usize::from(holder)].disk;
            self.store(next, disk, copy);
            holders.insert(chosen.raft_id);
        }
        if let Some(run) = next.process(who).runs.get_mut(&copy.actor) {
            run.seq = copy.seq;
        }
        let required = others.len().min(COPIES) as u8;
        next.send(Message::Wish(Wish::Commit { by: place.incarnation, copy, holders, required }));
        Some(())
    }

    fn store(&self, world: &mut World, disk: Nr, copy: Copy) {
        let disk = world.disk(disk);
        disk.copies.insert(copy);
        if self.mistake == Some(Mistake::CopiesNotDurable) {
            disk.unsynced.insert(copy);
        }
    }

    /// A handler panics: the actor asks to go back to its checkpoint.
    pub fn panic(&self, world: &World, who: Nr, actor: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let run = process.runs.get(&actor).filter(|run| !run.halted && self.holds(world, who))?;
        let wish = Wish::Restart { by: process.place?.incarnation, actor, epoch: run.epoch };
        let mut next = world.clone();
        next.left.panics = next.left.panics.checked_sub(1)?;
        next.process(who).runs.get_mut(&actor)?.halted = true;
        next.send(Message::Wish(wish));
        Some(next)
    }

    /// A process gives up its lease for good, and then says so.
    pub fn leave(&self, world: &World, who: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let place = process.place.filter(|_| process.is_alive && !process.is_retired)?;
        let mut next = world.clone();
        next.left.leaves = next.left.leaves.checked_sub(1)?;
        next.process(who).retire();
        next.send(Message::Wish(Wish::Leave { node: process.node, incarnation: place.incarnation }));
        Some(next)
    }

    /// A leader has a lost copy made again.
    pub fn repair(&self, world: &World, leader: Nr, actor: Nr) -> Option<World> {
        let process = &world.processes[usize::from(leader)];
        process.leading.as_ref()?;
        let state = &world.applied(process)?.state;
        let line = state.actors.get(&self.actors[usize::from(actor)])?;
        let (epoch, checkpoint) = line.checkpoint.as_ref()?;
        let host = line.host.and_then(|host| state.member_of(host)).map_or(&line.home, |(node, _)| node);
        let host = self.nodes.iter().position(|node| node == host)? as Nr;
        let (has, spare): (Vec<_>, Vec<_>) = self
            .others(state, host)
            .into_iter()
            .partition(|candidate| checkpoint.holders.contains(candidate.raft_id));
        if has.len() >= COPIES {
            return None;
        }
        let holder = placement::holders(&self.nodes[usize::from(host)], &spare, "", 1).first()?.raft_id;
        let disk = world.processes[usize::from(self.runner(world, holder)?.0)].disk;
        let copy = checkpoint
            .holders
            .iter()
            .find_map(|id| self.copy_on(world, id, actor, (*epoch, checkpoint.seq)))?;
        let mut next = world.clone();
        next.left.repairs = next.left.repairs.checked_sub(1)?;
        self.store(&mut next, disk, copy);
        next.send(Message::Wish(Wish::Hold { actor, epoch: *epoch, seq: checkpoint.seq, holder }));
        Some(next)
    }

    /// A copy of a committed checkpoint on one disk.
    pub fn copy_on(
        &self,
        world: &World,
        id: RaftId,
        actor: Nr,
        (epoch, seq): (standin::id::Epoch, u64),
    ) -> Option<Copy> {
        let disk = &world.disks[usize::from(world.disk_of(id)?)];
        disk.copies.iter().find(|c| (c.actor, c.epoch, c.seq) == (actor, epoch, seq)).copied()
    }

    /// Somebody ends an actor, and one of that name is to be created at another process.
    pub fn recreate(&self, world: &World, actor: Nr, at: Nr) -> Option<World> {
        let process = &world.processes[usize::from(at)];
        let by = process.place.filter(|_| process.is_alive && !process.is_retired)?.incarnation;
        let life = world.applied(process)?.state.actors.get(&self.actors[usize::from(actor)])?.life;
        let mut next = world.clone();
        next.left.recreations = next.left.recreations.checked_sub(1)?;
        next.send(Message::Wish(Wish::Stop { actor, life, by: None }));
        next.send(Message::Wish(Wish::Create { by, actor }));
        Some(next)
    }

    /// A wish reaches a leader, once or again.
    pub fn reach(&self, world: &World, wish: &Wish, leader: Nr) -> Option<World> {
        if !self.can_append(world, leader) {
            return None;
        }
        let mut next = world.clone();
        next.left.wishes = next.left.wishes.checked_sub(1)?;
        self.hand(&mut next, leader, wish.clone());
        Some(next)
    }
}

/// The rule by which copies are collected; here they always are at once.
fn is_live(copy: &Copy, line: Option<&Actor>, applied: u64) -> bool {
    let Some(actor) = line else { return copy.epoch.0 > applied };
    match &actor.checkpoint {
        Some((epoch, c)) if (*epoch, c.seq) == (copy.epoch, copy.seq) => true,
        Some((epoch, c)) => copy.epoch >= actor.epoch && (copy.epoch, copy.seq) > (*epoch, c.seq),
        None => copy.epoch >= actor.epoch,
    }
}
