//! Who votes: as the leader drives it, one entry after another.

use std::collections::{BTreeMap, BTreeSet};

use standin::core::state::{State, Status};
use standin::core::voters::{self, Health, Member, Situation, Step};
use standin::id::RaftId;

use super::Cluster;
use super::parts::{Config, Disk, Leading, Nr, Process, Wish, World};

impl Cluster {
    /// The next step from the voters that are to those that should be.
    pub fn reconfigure(&self, world: &World, who: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let leading = process.leading.as_ref()?;
        let is_changing = leading.tail.iter().any(|(_, wish)| matches!(wish, Wish::Voters(_)));
        let (table, false, true) = (world.applied(process)?, is_changing, self.can_append(world, who)) else {
            return None;
        };
        let config = self.change(world, process, leading, &table.state)?;
        let mut next = world.clone();
        next.left.reconfigurations = next.left.reconfigurations.checked_sub(1)?;
        self.hand(&mut next, who, Wish::Voters(config));
        Some(next)
    }

    fn change(&self, world: &World, process: &Process, leading: &Leading, state: &State) -> Option<Config> {
        let mut members = BTreeMap::new();
        for (node, m) in &state.members {
            let health = match m.standing {
                Status::Left => continue,
                Status::Up => Health::Up,
                Status::Down => Health::Down,
            };
            members.insert(node.clone(), Member { raft_id: m.raft_id, zone: String::new(), health });
        }
        let owner = |disk: &Disk| Some((disk.raft_id?, self.nodes[usize::from(disk.node)].clone()));
        let config = voters::Config {
            voters: leading.config.voters.clone(),
            learners: leading.config.learners.clone(),
            owners: world.disks.iter().filter_map(|disk| owner(disk)).collect(),
        };
        let able = |id: &&RaftId| self.runner(world, **id).is_some_and(|(_, process)| process.applied > 0);
        let caught_up = config.learners.iter().filter(able).copied().collect();
        let leader = world.disks[usize::from(process.disk)].raft_id?;
        let situation =
            Situation { members: &members, config: &config, caught_up: &caught_up, leader, max_voters: 15 };
        let Config { mut voters, mut learners } = leading.config.clone();
        match voters::desired(situation) {
            Step::FinishJoint => voters = voters.split_off(1),
            Step::AddLearner(id) => {
                learners.insert(id);
            }
            Step::Swap { add, remove } => {
                let new: BTreeSet<RaftId> = voters[0].union(&add).copied().collect();
                voters.push(new.difference(&remove).copied().collect());
                learners.retain(|id| !add.contains(id));
            }
            Step::RemoveLearner(id) => {
                learners.remove(&id);
            }
            // Elections are steps of their own here.
            Step::HandOver(_) | Step::Nothing => return None,
        }
        Some(Config { voters, learners })
    }
}
