//! Raft as far as the rest can see it: votes rise, a majority commits, a new leader has all that was
//! committed and perhaps some of what was not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use standin::core::lease::{Flight, Granter, Input, MemberView};
use standin::core::probe::is_quorum;
use standin::core::state::State;
use standin::id::{NodeId, RaftId};

use super::parts::{Nr, Process, Wish, World};
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
}

fn members_of(state: &State) -> BTreeMap<NodeId, MemberView> {
    let view =
        |m: &standin::core::state::Member| MemberView { incarnation: m.incarnation, status: m.standing };
    state.members.iter().map(|(node, m)| (node.clone(), view(m))).collect()
}
