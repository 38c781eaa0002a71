//! Who runs an actor in another one's place, and how it is given away.

use std::collections::BTreeMap;

use standin::canary::Mistake;
use standin::core::state::{State, Status};
use standin::id::Incarnation;

use super::Cluster;
use super::parts::{Copy, Nr, Run, Wish, World};

impl Cluster {
    /// A leader lets others run what a node ran that has been away for a while.
    pub fn take_over(&self, world: &World, who: Nr, node: Nr, is_late: bool) -> Option<World> {
        let leader = &world.processes[usize::from(who)];
        let term = leader.leading.as_ref()?.term;
        let state = &world.applied(leader)?.state;
        let id = &self.nodes[usize::from(node)];
        let early = self.mistake == Some(Mistake::TakenOverWhileUp);
        let member = state.members.get(id).filter(|m| early || m.standing != Status::Up)?;
        state.next_take_over(id)?;
        let wish = Wish::TakeOver { node, incarnation: member.incarnation, term };
        if (!is_late && !self.can_append(world, who)) || self.is_under_way(leader, &wish) {
            return None;
        }
        let mut next = world.clone();
        next.left.take_overs = next.left.take_overs.checked_sub(1)?;
        self.decide(&mut next, who, wish, is_late)?;
        Some(next)
    }

    /// A host ends an activation for good, with a last checkpoint, so that another node may go on: whoever asked for
    /// that, and however late that is heard.
    pub fn give_away(&self, world: &World, who: Nr, actor: Nr, to: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let run = *process.runs.get(&actor).filter(|run| !run.halted && self.holds(world, who))?;
        let state = &world.applied(process)?.state;
        if to == process.node || run.heir.is_some() {
            return None;
        }
        state.able_host(&self.actors[usize::from(actor)], &self.nodes[usize::from(to)])?;
        let mut next = world.clone();
        next.left.hand_overs = next.left.hand_overs.checked_sub(1)?;
        let copy = Copy { actor, epoch: run.epoch, seq: run.seq + 1, activation: run.activation };
        self.write(&mut next, who, copy)?;
        let run = next.process(who).runs.get_mut(&actor)?;
        run.halted = self.mistake != Some(Mistake::GivenAwayWhileItRuns);
        run.heir = Some(to);
        Some(next)
    }

    /// What a process asks the log for: heirs of activations that have ended, once their last checkpoints count.
    pub fn given_away(&self, state: &State, by: Incarnation, runs: &mut BTreeMap<Nr, Run>) -> Vec<Wish> {
        let mut wishes = vec![];
        for (actor, run) in runs {
            let line = state.actors.get(&self.actors[usize::from(*actor)]);
            let newest = line.and_then(|line| line.checkpoint);
            if newest.is_some_and(|(epoch, c)| (epoch, c.seq) == (run.epoch, run.seq))
                && let Some(to) = run.heir.take()
            {
                let copy = Copy { actor: *actor, epoch: run.epoch, seq: run.seq, activation: run.activation };
                wishes.push(Wish::HandOver { by, copy, to });
            }
        }
        wishes
    }
}
