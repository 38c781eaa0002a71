//! The promises, as they are looked for in every state.

use stateright::Property;
use std::collections::BTreeSet;

use standin::core::state::Status;

use super::Cluster;
use super::parts::{Broken, Nr, World};

impl Cluster {
    /// The processes whose actors may act now.
    fn holders<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Nr> + 'a {
        (0..).take(world.processes.len()).filter(|nr| self.holds(world, *nr))
    }

    fn is_one_life(&self, world: &World) -> bool {
        let mut nodes = BTreeSet::new();
        self.holders(world).all(|nr| nodes.insert(world.processes[usize::from(nr)].node))
    }

    fn is_one_disk(&self, world: &World) -> bool {
        let mut ids = BTreeSet::new();
        world.disks.iter().filter_map(|disk| disk.raft_id).all(|id| ids.insert(id))
    }

    fn is_newest_and_up(&self, world: &World) -> bool {
        self.holders(world).all(|nr| {
            let process = &world.processes[usize::from(nr)];
            let member = world.newest().state.members.get(&self.nodes[usize::from(process.node)]);
            member.is_some_and(|m| {
                m.standing == Status::Up
                    && Some(m.incarnation) == process.place.map(|place| place.incarnation)
            })
        })
    }

    fn is_up_to_date(&self, world: &World) -> bool {
        self.holders(world).all(|nr| {
            let process = &world.processes[usize::from(nr)];
            world.newest().since.get(&process.node).is_some_and(|since| *since <= process.applied)
        })
    }

    fn is_one_host(&self, world: &World) -> bool {
        let mut actors = BTreeSet::new();
        self.holders(world).all(|nr| {
            let runs = world.processes[usize::from(nr)].runs.iter().filter(|(_, run)| !run.halted);
            runs.into_iter().all(|(actor, _)| actors.insert(*actor))
        })
    }

    /// A leader that has been replaced proves nothing by rounds that it began later.
    fn is_proof(&self, world: &World) -> bool {
        (0..).zip(&world.processes).all(|(nr, process)| {
            let is_old = process.leading.as_ref().is_some_and(|leading| leading.term < world.term);
            let later = self.clock(world.skew, nr, world.elected + 1);
            !is_old || process.granter.as_ref().is_none_or(|granter| !granter.confirmed_since(later))
        })
    }

    fn is_on_its_holders(&self, world: &World) -> bool {
        let lines = self.actors.iter().zip(0..).filter_map(|(id, nr)| {
            let (epoch, checkpoint) = world.newest().state.actors.get(id)?.checkpoint?;
            Some((nr, (epoch, checkpoint.seq), checkpoint.holders))
        });
        lines.into_iter().all(|(nr, key, holders)| {
            holders.iter().all(|holder| self.copy_on(world, holder, nr, key).is_some())
        })
    }
}

/// The properties, each with the number of its invariant.
pub fn properties() -> Vec<Property<Cluster>> {
    let always = Property::<Cluster>::always;
    vec![
        always("2: one living process per node id", Cluster::is_one_life),
        always("2: no disk id on two disks", Cluster::is_one_disk),
        always("2: who holds a lease is the newest of its node, and up", Cluster::is_newest_and_up),
        always("2: who holds a lease has applied what made it up", Cluster::is_up_to_date),
        always("3: one executing host per actor", Cluster::is_one_host),
        always("3: each activation has a higher epoch", |_, w| !w.broken.contains(&Broken::EpochDidNotRise)),
        always("4: nothing of an older activation is accepted", |_, w| {
            !w.broken.contains(&Broken::OldEpochAccepted)
        }),
        always("5: a checkpoint never goes back", |_, w| !w.broken.contains(&Broken::CheckpointWentBack)),
        always("5: a checkpoint that counts has its copies", |_, w| {
            !w.broken.contains(&Broken::TooFewCopies)
        }),
        always("5: a checkpoint is on its holders", Cluster::is_on_its_holders),
        always("5: what is given away is there with all that it did", |_, w| {
            !w.broken.contains(&Broken::HandedOverInPart)
        }),
        always("8: a round of probes proves who leads", Cluster::is_proof),
        always("5: no retired disk is a holder", |_, w| !w.broken.contains(&Broken::RetiredHolder)),
    ]
}
