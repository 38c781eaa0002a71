//! Raft as far as the rest can see it: votes rise, a majority commits, a new leader has all that was
//! committed and perhaps some of what was not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use standin::core::lease::{Flight, Granter, Input, MemberView};
use standin::core::probe::is_quorum;
use standin::core::state::{State, Status};
use standin::core::voters::{self, Health, Member, Situation, Step};
use standin::id::{NodeId, RaftId};

use super::parts::{Config, Leading, Nr, Process, Wish, World};
use super::{Cluster, LEASE};

impl Cluster {
    /// The living process that runs Raft on the disk of this id.
    pub fn runner<'a>(&self, world: &'a World, id: RaftId) -> Option<(Nr, &'a Process)> {
        let disk = world.disk_of(id)?;
        let mut numbered = (0..).zip(&world.processes);
        let runs = |process: &Process| process.place.is_some() || process.claim.is_some();
        numbered
            .find(|(_, process)| process.is_alive && process.disk == disk && runs(process))
            .map(|(nr, process)| (nr, process.as_ref()))
    }

    /// The majorities, each as small as can be, that a candidate can win with.
    pub fn majorities(&self, world: &World, config: &Config, candidate: RaftId) -> Vec<BTreeSet<RaftId>> {
        let voters: BTreeSet<RaftId> = config.voters.iter().flatten().copied().collect();
        let able: Vec<RaftId> = voters.into_iter().filter(|id| self.runner(world, *id).is_some()).collect();
        let subset = |bits: u32| -> BTreeSet<RaftId> {
            able.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, id)| *id).collect()
        };
        let wins = |set: &BTreeSet<RaftId>| set.contains(&candidate) && is_quorum(&config.voters, set);
        let is_least = |set: &BTreeSet<RaftId>| {
            set.iter().all(|out| !wins(&set.iter().filter(|id| *id != out).copied().collect()))
        };
        (0..1 << able.len()).map(subset).filter(|set| wins(set) && is_least(set)).collect()
    }

    /// All candidates, majorities and leftovers of older leaders.
    pub fn elections(&self, world: &World) -> Vec<(Nr, BTreeSet<RaftId>, Option<(Nr, usize)>)> {
        let mut found = vec![];
        let leftovers = |(nr, process): (Nr, &Arc<Process>)| {
            let leading = process.leading.as_ref().filter(|leading| leading.next == world.last_index() + 1);
            (1..=leading.map_or(0, |leading| leading.tail.len())).map(move |count| (nr, count))
        };
        let leftovers: Vec<(Nr, usize)> = (0..).zip(&world.processes).flat_map(leftovers).collect();
        for (nr, process) in (0..).zip(&world.processes) {
            let Some(id) = world.disks[usize::from(process.disk)].raft_id else { continue };
            if self.runner(world, id).map(|(runner, _)| runner) != Some(nr) {
                continue;
            }
            for leftover in [None].into_iter().chain(leftovers.iter().copied().map(Some)) {
                let config = self.config_with(world, leftover);
                let majorities = self.majorities(world, &config, id);
                found.extend(majorities.into_iter().map(|majority| (nr, majority, leftover)));
            }
        }
        found
    }

    fn inherited<'a>(&self, world: &'a World, leftover: Option<(Nr, usize)>) -> &'a [(u64, Wish)] {
        let from = leftover.and_then(|(from, count)| {
            world.processes[usize::from(from)].leading.as_ref().map(|leading| &leading.tail[..count])
        });
        from.unwrap_or_default()
    }

    fn config_with(&self, world: &World, leftover: Option<(Nr, usize)>) -> Config {
        newest_config(self.inherited(world, leftover)).unwrap_or_else(|| world.log.config.clone())
    }

    pub fn elect(
        &self,
        world: &World,
        who: Nr,
        majority: &BTreeSet<RaftId>,
        leftover: Option<(Nr, usize)>,
    ) -> Option<World> {
        let mut next = world.clone();
        next.left.elections = next.left.elections.checked_sub(1)?;
        next.term += 1;
        next.elected = world.tick;
        let term = next.term;
        for disk in majority.iter().filter_map(|id| world.disk_of(*id)) {
            next.disk(disk).vote = (term, who);
        }
        let mut tail = self.inherited(world, leftover).to_vec();
        tail.push((term, Wish::Blank));
        let config = self.config_with(world, leftover);
        let next_index = world.last_index() + 1;
        next.process(who).leading =
            Some(Leading { term, next: next_index, tail, config, probed: None, round: None });
        self.tell(&mut next, who);
        Some(next)
    }

    /// A leader learns that there is a newer term.
    pub fn depose(&self, world: &World, who: Nr) -> Option<World> {
        let leading = world.processes[usize::from(who)].leading.as_ref()?;
        if leading.term == world.term {
            return None;
        }
        let mut next = world.clone();
        let now = self.now(world, who);
        let process = next.process(who);
        process.leading = None;
        if let Some(granter) = &mut process.granter {
            granter.step(Input::LostLeadership, now);
        }
        Some(next)
    }

    /// Whether a leader could still write to its own log: its own disk has voted for nobody else.
    pub fn can_append(&self, world: &World, who: Nr) -> bool {
        let process = &world.processes[usize::from(who)];
        let vote = world.disks[usize::from(process.disk)].vote;
        process.is_alive && process.leading.as_ref().is_some_and(|leading| vote == (leading.term, who))
    }

    pub fn commit(&self, world: &World, who: Nr, behind: &BTreeSet<Nr>) -> Option<World> {
        let leading = world.processes[usize::from(who)].leading.as_ref()?;
        // An entry of an older term commits only together with one of the leader's own.
        let own = leading.tail.iter().position(|(term, _)| *term == leading.term)?;
        let follows = |id: &RaftId| {
            let vote = world.disk_of(*id).map(|disk| world.disks[usize::from(disk)].vote);
            vote == Some((leading.term, who)) && self.runner(world, *id).is_some()
        };
        let voters = leading.config.voters.iter().flatten().copied();
        if !self.can_append(world, who)
            || !is_quorum(&leading.config.voters, &voters.filter(follows).collect())
        {
            return None;
        }
        let mut next = world.clone();
        next.left.lags = next.left.lags.checked_sub(behind.len() as u8)?;
        let leading = next.process(who).leading.as_mut()?;
        let entries: Vec<(u64, Wish)> = leading.tail.drain(..=own).collect();
        leading.next += entries.len() as u64;
        for (term, wish) in entries {
            self.append(&mut next, term, &wish);
        }
        for nr in self.up_to_date(world, world.last_index()).difference(behind) {
            self.catch_up(&mut next, *nr);
        }
        Some(next)
    }

    /// A decision reaches Raft, or turns out never to get there.
    pub fn hand(&self, world: &mut World, who: Nr, wish: Wish) {
        let flight = match &wish {
            Wish::MarkDown { node, term, .. } => Some((*node, Flight::MarkDown, *term)),
            Wish::Admit { process, term, .. } => {
                Some((world.processes[usize::from(*process)].node, Flight::Admit, *term))
            }
            _ => None,
        };
        let can_append = self.can_append(world, who);
        let now = self.now(world, who);
        let process = world.process(who);
        match (can_append, &mut process.leading, &mut process.granter, flight) {
            (true, Some(leading), ..) => {
                if let Wish::Voters(config) = &wish {
                    leading.config = config.clone();
                }
                leading.tail.push((leading.term, wish));
            }
            (_, _, Some(granter), Some((node, what, term))) => {
                let node = self.nodes[usize::from(node)].clone();
                granter.step(Input::End { node, what, term, at: None }, now);
            }
            _ => {}
        }
        self.tell(world, who);
    }

    /// A process applies all that is committed. That it lags is that it does so later.
    pub fn apply(&self, world: &World, who: Nr) -> Option<World> {
        let process = &world.processes[usize::from(who)];
        let runs = process.is_alive && (process.place.is_some() || process.claim.is_some());
        if !runs || process.applied >= world.last_index() {
            return None;
        }
        let mut next = world.clone();
        self.catch_up(&mut next, who);
        Some(next)
    }

    fn catch_up(&self, world: &mut World, who: Nr) {
        let (now, newest) = (self.now(world, who), world.last_index());
        let log = world.log.clone();
        let process = world.process(who);
        let unseen = log.tables.iter().filter(|table| table.index > process.applied);
        for (table, (node, what, term)) in unseen.filter_map(|table| Some((table, table.ends?))) {
            let node = self.nodes[usize::from(node)].clone();
            if let Some(granter) = &mut process.granter {
                granter.step(Input::End { node, what, term, at: Some(table.index) }, now);
            }
        }
        process.applied = newest;
        self.tell(world, who);
        self.follow(world, who);
        let oldest = self.oldest_applied(world);
        Arc::make_mut(&mut world.log).tables.retain(|table| table.index >= oldest);
    }

    fn up_to_date(&self, world: &World, index: u64) -> BTreeSet<Nr> {
        let is = |process: &Process| process.is_alive && process.applied == index;
        (0..).zip(&world.processes).filter(|(_, process)| is(process)).map(|(nr, _)| nr).collect()
    }

    /// Who may fall behind together when something is committed. Who is behind stays there, until it applies.
    pub fn laggards(&self, world: &World) -> Vec<BTreeSet<Nr>> {
        let mut found: Vec<BTreeSet<Nr>> = vec![BTreeSet::new()];
        for nr in self.up_to_date(world, world.last_index()) {
            let more = found.iter().filter(|set| set.len() < usize::from(world.left.lags));
            let more: Vec<_> = more.map(|set| set.iter().copied().chain([nr]).collect()).collect();
            found.extend(more);
        }
        found
    }

    /// Brings the lease core of a leader up to date with what consensus says.
    pub fn tell(&self, world: &mut World, who: Nr) {
        let process = &world.processes[usize::from(who)];
        let Some((term, voters)) =
            process.leading.as_ref().map(|leading| (leading.term, leading.config.voters.clone()))
        else {
            return;
        };
        let table = world.applied(process).map(|table| (table.index, table.term, members_of(&table.state)));
        let Some(own) = world.disks[usize::from(process.disk)].raft_id else { return };
        let now = self.now(world, who);
        let granter = world.process(who).granter.get_or_insert_with(|| {
            let mut granter = Granter::new(own, LEASE);
            granter.step(Input::RaftStarted, now);
            granter
        });
        granter.step(Input::Voters(voters), now);
        granter.step(Input::BecameLeader { term }, now);
        let Some((index, applied_term, members)) = table else { return };
        granter.step(Input::MembersApplied { index, members }, now);
        if applied_term == term {
            granter.step(Input::AppliedTerm { term, index }, now);
        }
    }

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
        let owner =
            |disk: &super::parts::Disk| Some((disk.raft_id?, self.nodes[usize::from(disk.node)].clone()));
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
            Step::Nothing => return None,
        }
        Some(Config { voters, learners })
    }
}

fn newest_config(entries: &[(u64, Wish)]) -> Option<Config> {
    entries.iter().rev().find_map(|(_, wish)| match wish {
        Wish::Voters(config) => Some(config.clone()),
        _ => None,
    })
}

fn members_of(state: &State) -> BTreeMap<NodeId, MemberView> {
    let view =
        |m: &standin::core::state::Member| MemberView { incarnation: m.incarnation, status: m.standing };
    state.members.iter().map(|(node, m)| (node.clone(), view(m))).collect()
}
