//! Tests of the voter reconciler: one situation each, then random histories.

use super::*;
use crate::prng::Prng;

fn set(ids: &[u64]) -> BTreeSet<RaftId> {
    ids.iter().copied().map(RaftId).collect()
}

fn node(name: u64) -> NodeId {
    NodeId::new(format!("n{name}")).unwrap()
}

/// A cluster on paper. Node `n` begins with the disk `n`.
#[derive(Clone, Debug)]
struct World {
    members: BTreeMap<NodeId, Member>,
    config: Config,
    caught_up: BTreeSet<RaftId>,
    max_voters: usize,
    leader: RaftId,
}

impl World {
    fn voting(ids: &[u64]) -> Self {
        let mut world = Self {
            members: BTreeMap::new(),
            config: Config { voters: vec![set(ids)], ..Config::default() },
            caught_up: set(ids),
            max_voters: 15,
            leader: RaftId(ids[0]),
        };
        ids.iter().for_each(|id| world.member(*id, *id, Health::Up));
        world
    }

    fn member(&mut self, name: u64, disk: u64, health: Health) {
        let zone = self.members.get(&node(name)).map_or(String::new(), |old| old.zone.clone());
        self.members.insert(node(name), Member { raft_id: RaftId(disk), zone, health });
        self.config.owners.insert(RaftId(disk), node(name));
    }

    fn zone(&mut self, name: u64, zone: &str) {
        self.members.get_mut(&node(name)).unwrap().zone = zone.to_owned();
    }

    fn learner(&mut self, name: u64, disk: u64) {
        self.member(name, disk, Health::Up);
        self.config.learners.insert(RaftId(disk));
        self.caught_up.insert(RaftId(disk));
    }

    fn health(&mut self, name: u64, health: Health) {
        self.members.get_mut(&node(name)).unwrap().health = health;
    }

    fn next(&self) -> Step {
        desired(Situation {
            members: &self.members,
            config: &self.config,
            caught_up: &self.caught_up,
            leader: self.leader,
            max_voters: self.max_voters,
        })
    }

    /// What Raft would do. `keep` says whether removed voters stay as learners.
    fn apply(&mut self, step: &Step, keep: bool) {
        match step {
            Step::FinishJoint => {
                let (old, new) = (self.config.voters[0].clone(), self.config.voters[1].clone());
                if keep {
                    self.config.learners.extend(old.difference(&new));
                }
                self.config.voters.remove(0);
            }
            Step::AddLearner(id) => drop(self.config.learners.insert(*id)),
            Step::Swap { add, remove } => {
                let old = &self.config.voters[0];
                let new = old.difference(remove).chain(add).copied().collect();
                self.config.learners.retain(|id| !add.contains(id));
                self.config.voters.push(new);
            }
            Step::HandOver(id) => self.leader = *id,
            Step::RemoveLearner(id) => drop(self.config.learners.remove(id)),
            Step::Nothing => {}
        }
    }

    fn run(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let step = self.next();
            if step == Step::Nothing {
                return steps;
            }
            assert!(steps.len() < 200, "does not converge: {steps:?}");
            self.apply(&step, true);
            steps.push(step);
        }
    }

    fn is_living(&self, id: &RaftId) -> bool {
        self.members.values().any(|member| member.raft_id == *id && member.health == Health::Up)
    }

    fn has_living_quorum(&self) -> bool {
        let living = |set: &BTreeSet<RaftId>| set.iter().filter(|id| self.is_living(id)).count();
        self.config.voters.iter().all(|set| living(set) * 2 > set.len())
    }
}

fn swap(add: &[u64], remove: &[u64]) -> Step {
    Step::Swap { add: set(add), remove: set(remove) }
}

#[test]
fn a_founder_is_joined_by_all_peers_that_have_caught_up_at_once() {
    let mut world = World::voting(&[1]);
    world.member(2, 2, Health::Up);
    world.member(3, 3, Health::Up);
    assert_eq!(world.next(), Step::AddLearner(RaftId(2)));
    world.apply(&Step::AddLearner(RaftId(2)), true);
    world.apply(&Step::AddLearner(RaftId(3)), true);
    assert_eq!(world.next(), Step::Nothing, "nobody has caught up");
    world.caught_up = set(&[2, 3]);
    assert_eq!(world.run(), [swap(&[2, 3], &[]), Step::FinishJoint]);
}

#[test]
fn a_leader_that_has_left_lets_another_lead_before_it_loses_its_vote() {
    let mut world = World::voting(&[1, 2, 3]);
    let leader = world.leader;
    world.members.retain(|_, member| member.raft_id != leader);
    assert_eq!(
        world.run(),
        [Step::HandOver(RaftId(2)), swap(&[], &[1]), Step::FinishJoint, Step::RemoveLearner(RaftId(1))]
    );
}

#[test]
fn a_joint_configuration_that_a_dead_leader_left_is_finished_first() {
    let mut world = World::voting(&[1, 2, 3]);
    world.config.voters.push(set(&[1, 2, 4]));
    world.member(4, 4, Health::Up);
    world.member(5, 5, Health::Up);
    assert_eq!(world.next(), Step::FinishJoint);
}

#[test]
fn a_replaced_disk_leaves_in_the_change_in_which_its_successor_enters() {
    let mut world = World::voting(&[1, 2, 3, 4, 5]);
    world.member(3, 30, Health::Up);
    assert_eq!(world.next(), Step::AddLearner(RaftId(30)));
    world.config.learners.insert(RaftId(30));
    assert_eq!(world.next(), Step::Nothing, "the successor has not caught up");
    world.caught_up.insert(RaftId(30));
    assert_eq!(world.run(), [swap(&[30], &[3]), Step::FinishJoint, Step::RemoveLearner(RaftId(3))]);
    assert_eq!(world.config.voters, [set(&[1, 2, 4, 5, 30])]);
    assert!(world.config.learners.is_empty());
}

#[test]
fn of_two_replaced_each_leaves_with_its_own_successor() {
    let mut world = World::voting(&[1, 2, 3, 4, 5, 6, 7]);
    world.member(6, 60, Health::Up);
    world.learner(7, 70);
    world.config.learners.insert(RaftId(60));
    assert_eq!(world.next(), swap(&[70], &[7]));
    world.caught_up.insert(RaftId(60));
    assert_eq!(world.next(), swap(&[60, 70], &[6, 7]));
}

#[test]
fn the_gone_leave_ahead_when_not_one_more_voter_may_die_and_that_helps() {
    let mut world = World::voting(&[1, 2, 3, 4, 5]);
    world.member(4, 40, Health::Up);
    world.member(5, 50, Health::Up);
    world.config.learners = set(&[40, 50]);
    assert_eq!(world.next(), swap(&[], &[4, 5]), "3 of 5 live: 3 of 3 are better");
    let mut world = World::voting(&[1, 2, 3]);
    world.member(3, 30, Health::Up);
    world.config.learners = set(&[30]);
    assert_eq!(world.next(), Step::Nothing, "2 of 2 bear no more than 2 of 3");
}

#[test]
fn who_left_is_removed_at_once() {
    let mut world = World::voting(&[1, 2, 3]);
    world.members.remove(&node(2));
    assert_eq!(world.next(), swap(&[], &[2]));
    world.members.remove(&node(3));
    assert_eq!(world.next(), swap(&[], &[2, 3]), "also when only one stays");
}

#[test]
fn a_gone_disk_whose_successor_stays_down_waits_no_longer() {
    let mut world = World::voting(&[1, 2, 3, 4, 5]);
    world.member(5, 50, Health::Down);
    assert_eq!(world.next(), Step::Nothing);
    world.health(5, Health::DownLong);
    assert_eq!(world.next(), swap(&[], &[5]));
}

#[test]
fn a_down_voter_without_a_stand_by_keeps_its_vote() {
    let mut world = World::voting(&[1, 2, 3]);
    world.health(2, Health::DownLong);
    assert_eq!(world.next(), Step::Nothing);
}

#[test]
fn past_the_most_voters_peers_are_learners_until_one_is_needed() {
    let mut world = World::voting(&[1, 2, 3]);
    world.max_voters = 3;
    world.learner(4, 4);
    assert_eq!(world.next(), Step::Nothing);
    world.health(2, Health::Down);
    assert_eq!(world.next(), Step::Nothing, "it may be back soon");
    world.health(2, Health::DownLong);
    assert_eq!(world.next(), swap(&[4], &[2]));
}

#[test]
fn a_learner_that_has_not_caught_up_is_never_promoted() {
    let mut world = World::voting(&[1, 2, 3]);
    world.max_voters = 3;
    world.learner(4, 4);
    world.caught_up.remove(&RaftId(4));
    world.health(2, Health::DownLong);
    assert_eq!(world.next(), Step::Nothing);
}

#[test]
fn a_stand_by_of_the_same_zone_takes_the_place() {
    let mut world = World::voting(&[1, 2, 3]);
    world.max_voters = 3;
    world.learner(4, 4);
    world.learner(5, 5);
    [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "b")]
        .iter()
        .for_each(|(name, zone)| world.zone(*name, zone));
    world.health(2, Health::DownLong);
    assert_eq!(world.next(), swap(&[5], &[2]));
}

#[test]
fn votes_are_spread_over_zones_but_the_leader_keeps_its_own() {
    let mut world = World::voting(&[1, 2, 3]);
    world.max_voters = 3;
    ["a", "a", "a"].iter().zip(1..).for_each(|(zone, name)| world.zone(name, zone));
    world.learner(4, 4);
    world.zone(4, "b");
    world.leader = RaftId(3);
    assert_eq!(world.run(), [swap(&[4], &[2]), Step::FinishJoint]);
}

#[test]
fn too_many_voters_shrink_to_the_living_first() {
    let mut world = World::voting(&[1, 2, 3, 4, 5]);
    world.max_voters = 3;
    world.health(2, Health::Down);
    world.health(4, Health::Down);
    assert_eq!(world.next(), swap(&[], &[2, 4]));
}

#[test]
fn no_change_is_chosen_that_leaves_no_living_majority() {
    let mut world = World::voting(&[1, 2, 3, 4]);
    [2, 3, 4].iter().for_each(|name| world.health(*name, Health::Down));
    world.learner(5, 5);
    assert_eq!(world.next(), Step::Nothing, "2 of 5 would live");
    world.health(2, Health::Up);
    assert_eq!(world.next(), swap(&[5], &[]));
}

#[test]
fn a_disk_that_belongs_to_nobody_is_removed() {
    let mut world = World::voting(&[1, 2, 3]);
    world.config.learners.insert(RaftId(9));
    assert_eq!(world.next(), Step::RemoveLearner(RaftId(9)));
    world.config = Config { voters: vec![set(&[1, 2, 3, 9])], ..world.config.clone() };
    assert_eq!(world.next(), swap(&[], &[9]));
}

#[test]
fn without_a_configuration_there_is_nothing_to_do() {
    let mut world = World::voting(&[1]);
    world.config.voters.clear();
    assert_eq!(world.next(), Step::Nothing);
}

/// One thing that happens to a cluster. It never takes the last quorum.
fn happen(world: &mut World, rng: &mut Prng, fresh: &mut u64) {
    let before = world.clone();
    let name = rng.below(9) + 1;
    let is_member = world.members.contains_key(&node(name));
    *fresh += 1;
    match rng.below(6) {
        0 => {
            world.member(name, *fresh, Health::Up);
            let zone = rng.pick(&["a", "b", "c"]).to_string();
            world.zone(name, &zone);
        }
        1 if is_member => world.health(name, Health::Down),
        2 if is_member => world.health(name, Health::DownLong),
        3 | 4 if is_member => world.health(name, Health::Up),
        5 if is_member => drop(world.members.remove(&node(name))),
        _ => {}
    }
    if !world.has_living_quorum() {
        *world = before;
    }
    let up: Vec<RaftId> = world.config.learners.iter().filter(|id| world.is_living(id)).copied().collect();
    world.caught_up.extend(up.into_iter().filter(|_| rng.chance(30)));
}

fn elect(world: &mut World) {
    let voters = world.config.voters.iter().flatten().copied().find(|id| world.is_living(id));
    world.leader = voters.unwrap();
}

/// What must hold where nothing more is to be done.
fn assert_settled(world: &World, seed: u64) {
    let [voters] = world.config.voters.as_slice() else { panic!("seed {seed}: joint") };
    let disks: BTreeSet<RaftId> = world.members.values().map(|member| member.raft_id).collect();
    assert_eq!(voters.len(), world.max_voters.min(disks.len()), "seed {seed}: {world:?}");
    assert!(voters.is_subset(&disks), "seed {seed}: {world:?}");
    assert!(world.config.learners.is_subset(&disks), "seed {seed}: {world:?}");
    let zone_of = |id: &RaftId| &world.members.values().find(|one| one.raft_id == *id).unwrap().zone;
    let votes = |zone: &String| voters.iter().filter(|id| zone_of(id) == zone).count();
    for learner in disks.difference(voters) {
        for voter in voters.iter().filter(|id| **id != world.leader) {
            let (more, fewer) = (votes(zone_of(voter)), votes(zone_of(learner)));
            assert!(more <= fewer + 1, "seed {seed}: {world:?}");
        }
    }
}

#[test]
fn random_histories_keep_a_living_quorum_and_converge() {
    for seed in 0..400 {
        let (mut rng, mut fresh) = (Prng::new(seed), 100);
        let mut world = World::voting(&[1, 2, 3]);
        world.max_voters = *rng.pick(&[1, 3, 5, 15]);
        for _ in 0..150 {
            for _ in 0..rng.below(3) {
                happen(&mut world, &mut rng, &mut fresh);
            }
            elect(&mut world);
            let step = world.next();
            if let Step::Swap { add, .. } = &step {
                assert!(add.is_subset(&world.caught_up), "seed {seed}");
                assert!(add.iter().all(|id| world.is_living(id)), "seed {seed}");
            }
            world.apply(&step, rng.chance(50));
            assert!(world.has_living_quorum(), "seed {seed}: {step:?} in {world:?}");
        }
        let names: Vec<NodeId> = world.members.keys().cloned().collect();
        for name in names {
            world.members.get_mut(&name).unwrap().health = Health::Up;
        }
        world.caught_up.extend(world.members.values().map(|member| member.raft_id));
        elect(&mut world);
        world.run();
        assert_settled(&world, seed);
    }
}
