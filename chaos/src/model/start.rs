//! The state that all others follow from: a founded cluster whose first node leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use standin::canary::Mistake;
use standin::core::apply::{At, Changes};
use standin::core::command::{Command, Settings};
use standin::core::disks::Disks;
use standin::core::state::State;
use standin::id::{ActorId, ClusterId, NodeId, RaftId};

use super::bounds::Bounds;
use super::counts::Counts;
use super::parts::{Config, Copy, Disk, Leading, Log, Nr, Process, Table, Wish, World};
use super::{Cluster, KIND, LEASE};

impl Cluster {
    /// A cluster of that size, with a mistake in it or none. `None` if no names are valid.
    pub fn new(bounds: Bounds, mistake: Option<Mistake>) -> Option<Self> {
        let nodes = (0..bounds.peers).map(|nr| NodeId::new(format!("n{nr}")).ok()).collect::<Option<_>>()?;
        let actors =
            (0..bounds.actors).map(|nr| ActorId::new(KIND, nr.to_string()).ok()).collect::<Option<_>>()?;
        Some(Self { bounds, mistake, nodes, actors, counts: Counts::default() })
    }

    /// Founded, all admitted, all actors created and saved, everything applied everywhere.
    pub fn start(&self, skew: u8) -> World {
        let mut state = State::default();
        let settings = Settings { lease_ms: LEASE.as_millis() as u64, max_voters: 15 };
        let found = Command::Found { cluster_id: ClusterId([1; 16]), settings };
        state.apply(At { index: 1, term: 1 }, &found, &mut Changes::default());
        let founded = Table::new(1, 1, None, state, BTreeMap::new(), BTreeMap::new());
        let log = Log { tables: vec![Arc::new(founded)], config: Config::default() };
        let mut world = World {
            tick: 0,
            skew,
            term: 1,
            elected: 0,
            log: Arc::new(log),
            disks: vec![],
            processes: vec![],
            net: Arc::default(),
            left: self.bounds,
            broken: BTreeSet::new(),
        };
        for node in 0..self.bounds.peers {
            world.disks.push(Arc::new(Disk { node, ..Disk::default() }));
            world.processes.push(Arc::new(Process::new(node, node)));
            let disk = (node == 0).then_some(RaftId(0));
            self.append(&mut world, 1, &Wish::Admit { process: node, replaces: None, disk, term: 1 });
            let offer = world.processes[usize::from(node)].offer;
            world.process(node).place = offer;
            let disk = world.disk(node);
            disk.raft_id = offer.map(|offer| offer.raft_id);
            disk.incarnation = offer.map(|offer| offer.incarnation);
            disk.vote = (1, 0);
        }
        for actor in 0..self.bounds.actors {
            self.create(&mut world, actor);
        }
        self.lead(&mut world);
        world
    }

    fn create(&self, world: &mut World, actor: Nr) {
        let home = (actor + 1) % self.bounds.peers.max(1);
        let Some(by) = world.processes[usize::from(home)].place.map(|place| place.incarnation) else {
            return;
        };
        self.append(world, 1, &Wish::Create { by, actor });
        let epoch = world.newest().state.actors.get(&self.actors[usize::from(actor)]).map(|line| line.epoch);
        let Some(epoch) = epoch else { return };
        let copy = Copy { actor, epoch, seq: 0, activation: 1 };
        let mut holders = Disks::new();
        for disk in [home, (home + 1) % self.bounds.peers] {
            world.disk(disk).copies.insert(copy);
            holders.extend(world.disks[usize::from(disk)].raft_id);
        }
        let required = holders.len().saturating_sub(1) as u8;
        self.append(world, 1, &Wish::Commit { by, copy, holders, required });
    }

    fn lead(&self, world: &mut World) {
        let voters: BTreeSet<RaftId> = world.disks.iter().filter_map(|disk| disk.raft_id).collect();
        let config = Config { voters: vec![voters], learners: BTreeSet::new() };
        self.append(world, 1, &Wish::Voters(config.clone()));
        let index = world.last_index();
        for nr in 0..self.bounds.peers {
            world.process(nr).applied = index;
            self.follow(world, nr);
        }
        let log = Arc::make_mut(&mut world.log);
        log.tables.retain(|table| table.index == index);
        world.process(0).leading =
            Some(Leading { term: 1, next: index + 1, tail: vec![], config, probed: None, round: None });
        self.tell(world, 0);
    }
}
