//! Elections, as far as the rest can see them: a majority's votes move to a newer term.

use std::collections::BTreeSet;
use std::sync::Arc;

use standin::core::lease::Input;
use standin::core::probe::is_quorum;
use standin::id::RaftId;

use super::Cluster;
use super::action::Action;
use super::parts::{Config, Leading, Nr, Process, Wish, World};

impl Cluster {
    /// The majorities, each as small as can be, that a candidate can win with.
    fn majorities(&self, world: &World, config: &Config, candidate: RaftId) -> Vec<BTreeSet<RaftId>> {
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
    pub fn elections(&self, world: &World) -> Vec<Action> {
        let mut found = vec![];
        let leftovers = |(nr, process): (Nr, &Arc<Process>)| {
            let leading = process.leading.as_ref().filter(|leading| leading.next == world.last_index() + 1);
            (1..=leading.map_or(0, |leading| leading.tail.len())).map(move |count| (nr, count))
        };
        let leftovers: Vec<(Nr, usize)> = (0..).zip(&world.processes).flat_map(leftovers).collect();
        for (who, process) in (0..).zip(&world.processes) {
            let Some(id) = world.disks[usize::from(process.disk)].raft_id else { continue };
            if self.runner(world, id).map(|(runner, _)| runner) != Some(who) {
                continue;
            }
            for leftover in [None].into_iter().chain(leftovers.iter().copied().map(Some)) {
                let config = self.config_with(world, leftover);
                let majorities = self.majorities(world, &config, id).into_iter();
                found.extend(majorities.map(|majority| Action::Elected { who, majority, leftover }));
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
}

fn newest_config(entries: &[(u64, Wish)]) -> Option<Config> {
    entries.iter().rev().find_map(|(_, wish)| match wish {
        Wish::Voters(config) => Some(config.clone()),
        _ => None,
    })
}
