//! Probes, heartbeats, grants and lapses: as the shell drives the lease core.

use std::collections::BTreeSet;

use standin::canary::Mistake;
use standin::core::lease::{Effect, Input, PeerInput};
use standin::core::state::Status;
use standin::id::RaftId;

use super::Cluster;
use super::parts::{Message, Nr, Process, Wish, World};

impl Cluster {
    /// Whether a process's actors may act now.
    pub fn holds(&self, world: &World, nr: Nr) -> bool {
        let process = &world.processes[usize::from(nr)];
        let open = process.gate.is_some_and(|until| self.now(world, nr) < until);
        let ignored = self.mistake == Some(Mistake::GateIgnored) && process.place.is_some();
        process.is_alive && !process.is_retired && (open || ignored)
    }

    /// A leader begins a round of probes, and answers it itself if its own vote still is its own.
    pub fn probe(&self, world: &World, who: Nr, is_answered: bool) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let leading = process.leading.as_ref()?;
        if leading.probed == Some(world.tick) || process.granter.is_none() {
            return None;
        }
        let mut next = world.clone();
        next.left.probes = next.left.probes.checked_sub(1)?;
        let now = self.now(world, who);
        let own_vote = self.can_append(world, who);
        let own = world.disks[usize::from(process.disk)].raft_id?;
        let process = next.process(who);
        let granter = process.granter.as_mut()?;
        for effect in granter.step(Input::ProbeStart, now) {
            let Effect::Probe { term, n, .. } = effect else { continue };
            if own_vote {
                granter.step(Input::ProbeAck { from: own, term, n }, now);
            }
            let leading = process.leading.as_mut()?;
            leading.round = Some(n);
            leading.probed = Some(world.tick);
        }
        next.left.slow = next.left.slow.checked_sub(u8::from(!is_answered))?;
        for voter in self.probed(world, who) {
            next = self.answer(&next, voter, who, is_answered).unwrap_or(next);
        }
        Some(next)
    }

    /// A voter hears of a leader's newest round, and answers if its vote is that leader's.
    fn answer(&self, world: &World, voter: RaftId, to: Nr, is_prompt: bool) -> Option<World> {
        let leading = world.processes[usize::from(to)].leading.as_ref()?;
        let (term, n) = (leading.term, leading.round?);
        let disk = world.disk_of(voter)?;
        let vote = world.disks[usize::from(disk)].vote;
        self.runner(world, voter).filter(|(runner, _)| *runner != to)?;
        if vote.0 > term || (vote.0 == term && vote.1 != to) {
            return None;
        }
        let mut next = world.clone();
        next.disk(disk).vote = (term, to);
        let ack = Message::Ack { to, from: voter, term, n };
        if is_prompt {
            return self.deliver(&next, &ack, to, false);
        }
        next.send(ack);
        Some(next)
    }

    /// A message is under way, for a while or for ever.
    fn put_off(&self, mut world: World, message: Message) -> Option<World> {
        world.left.delays = world.left.delays.checked_sub(1)?;
        world.send(message);
        Some(world)
    }

    /// A process asks for a lease: the leader hears it at once, and perhaps it hears the answer at once.
    pub fn beat_to(&self, world: &World, from: Nr, leader: Nr, is_slow: bool) -> Option<World> {
        let (next, seq) = self.beat(world, from)?;
        let (next, grant) = self.heartbeat(&next, leader, from, seq, false)?;
        match grant {
            Some(grant) if is_slow => self.put_off(next, grant),
            Some(grant) => self.deliver(&next, &grant, from, false),
            None => (!is_slow).then_some(next),
        }
    }

    /// It asks, and the question is under way.
    pub fn beat_slowly(&self, world: &World, from: Nr) -> Option<World> {
        let (next, seq) = self.beat(world, from)?;
        self.put_off(next, Message::Beat { from, seq })
    }

    fn beat(&self, world: &World, from: Nr) -> Option<(World, u64)> {
        let process = &world.processes[usize::from(from)];
        let is_member = process.is_alive && process.place.is_some() && !process.is_retired;
        if !is_member || process.beat == Some(world.tick) {
            return None;
        }
        let mut next = world.clone();
        next.left.beats = next.left.beats.checked_sub(1)?;
        let (now, seq) = (self.now(world, from), u64::from(world.tick) + 1);
        let process = next.process(from);
        process.beat = Some(world.tick);
        process.step_lease(PeerInput::Sent { seq, now });
        Some((next, seq))
    }

    /// A message arrives at a process.
    pub fn deliver(&self, world: &World, message: &Message, at: Nr, is_late: bool) -> Option<World> {
        match message {
            Message::Beat { from, seq } => {
                let (mut next, grant) = self.heartbeat(world, at, *from, *seq, is_late)?;
                if let Some(grant) = grant {
                    next.send(grant);
                }
                Some(next)
            }
            Message::Granted { to, seq, grant } if *to == at && !is_late => {
                let mut next = world.clone();
                let now = self.now(world, at);
                let process = next.process(at);
                if process.is_retired {
                    return None;
                }
                if self.mistake == Some(Mistake::LeaseFromReceipt) {
                    process.gate = process.gate.max(Some(now + grant.lease));
                }
                process.step_lease(PeerInput::Granted { seq: *seq, grant: *grant });
                Some(next)
            }
            Message::Ack { to, from, term, n } if *to == at && !is_late => {
                let mut next = world.clone();
                let now = self.now(world, at);
                let granter = next.process(at).granter.as_mut()?;
                granter.step(Input::ProbeAck { from: *from, term: *term, n: *n }, now);
                Some(next)
            }
            Message::Wish(wish) if !is_late => self.reach(world, wish, at),
            _ => None,
        }
    }

    fn heartbeat(
        &self,
        world: &World,
        leader: Nr,
        from: Nr,
        seq: u64,
        is_late: bool,
    ) -> Option<(World, Option<Message>)> {
        let sender = &world.processes[usize::from(from)];
        let incarnation = sender.place?.incarnation;
        let node_id = self.nodes[usize::from(sender.node)].clone();
        let leading = &world.processes[usize::from(leader)];
        let term = leading.leading.as_ref()?.term;
        let is_down = world
            .applied(leading)
            .and_then(|table| table.state.members.get(&node_id))
            .is_some_and(|m| m.incarnation == incarnation && m.standing == Status::Down);
        let mut next = world.clone();
        let now = self.now(world, leader);
        let granter = next.process(leader).granter.as_mut()?;
        let effects = granter.step(Input::Heartbeat { node: node_id, incarnation, seq, applied: 0 }, now);
        let grant = effects.into_iter().find_map(|effect| match effect {
            Effect::Grant { seq, grant, .. } => Some(Message::Granted { to: from, seq, grant }),
            _ => None,
        });
        if grant.is_some() {
            self.counts.grants();
        }
        let rise = Wish::MarkUp { node: sender.node, incarnation, term };
        if is_down && !self.is_under_way(leading, &rise) {
            self.decide(&mut next, leader, rise, is_late)?;
        } else if is_late {
            return None;
        }
        Some((next, grant))
    }

    pub fn is_under_way(&self, leader: &Process, wish: &Wish) -> bool {
        let tail = leader.leading.iter().flat_map(|leading| &leading.tail);
        leader.late.contains(wish) || tail.into_iter().any(|(_, other)| other == wish)
    }

    /// A leader looks whose lease has ended.
    pub fn lapse(&self, world: &World, who: Nr, is_late: bool) -> Option<World> {
        if !is_late && !self.can_append(world, who) {
            return None; // nothing comes of it
        }
        let mut granter = world.processes[usize::from(who)].granter.clone()?;
        let effects = granter.step(Input::Tick, self.now(world, who));
        if effects.is_empty() {
            return None;
        }
        let mut next = world.clone();
        next.process(who).granter = Some(granter);
        for effect in effects {
            let Effect::Lapsed { node, incarnation, term, .. } = effect else { continue };
            let node = self.nodes.iter().position(|id| *id == node)? as Nr;
            self.counts.lapses();
            self.decide(&mut next, who, Wish::MarkDown { node, incarnation, term }, is_late)?;
        }
        Some(next)
    }

    /// Hands a decision to Raft at once, or keeps it for a while.
    pub fn decide(&self, world: &mut World, who: Nr, wish: Wish, is_late: bool) -> Option<()> {
        if is_late {
            world.left.late = world.left.late.checked_sub(1)?;
            world.process(who).late.insert(wish);
        } else {
            self.hand(world, who, wish);
        }
        Some(())
    }

    /// What was kept is handed over.
    pub fn hand_late(&self, world: &World, who: Nr) -> Option<World> {
        let wish = world.processes[usize::from(who)].late.first()?.clone();
        let mut next = world.clone();
        next.process(who).late.remove(&wish);
        self.hand(&mut next, who, wish);
        Some(next)
    }

    /// The ids that a leader's probes go to.
    fn probed(&self, world: &World, who: Nr) -> BTreeSet<RaftId> {
        let leading = world.processes[usize::from(who)].leading.as_ref();
        leading.into_iter().flat_map(|leading| leading.config.voters.iter().flatten().copied()).collect()
    }
}
