//! All that can happen next.

use std::collections::BTreeSet;

use standin::id::RaftId;

use super::Cluster;
use super::parts::{Message, Nr, World};

/// One step. What follows from it is in the core, or in the file that its function is in.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    TimePasses,
    Elected {
        who: Nr,
        majority: BTreeSet<RaftId>,
        leftover: Option<(Nr, usize)>,
    },
    LearnsOfNewerTerm {
        who: Nr,
    },
    /// `behind` do not apply it at once.
    Commits {
        who: Nr,
        behind: BTreeSet<Nr>,
    },
    Applies {
        who: Nr,
    },
    /// The answers come at once, or are under way.
    Probes {
        who: Nr,
        is_answered: bool,
    },
    Beats {
        who: Nr,
        leader: Nr,
        is_slow: bool,
    },
    BeatsSlowly {
        who: Nr,
    },
    Arrives {
        at: Nr,
        message: Message,
        is_late: bool,
    },
    LooksForLapses {
        who: Nr,
        is_late: bool,
    },
    HandsOver {
        who: Nr,
    },
    Replaced {
        node: Nr,
        leader: Nr,
        is_late: bool,
    },
    Restarts {
        who: Nr,
    },
    AsksToJoin {
        who: Nr,
        leader: Nr,
        is_late: bool,
    },
    LearnsItsPlace {
        who: Nr,
    },
    Saves {
        who: Nr,
        actor: Nr,
    },
    Panics {
        who: Nr,
        actor: Nr,
    },
    Leaves {
        who: Nr,
    },
    /// What a node ran that is away.
    TakesOver {
        who: Nr,
        node: Nr,
        is_late: bool,
    },
    GivesAway {
        who: Nr,
        actor: Nr,
        to: Nr,
    },
    Repairs {
        leader: Nr,
        actor: Nr,
    },
    Recreated {
        actor: Nr,
        at: Nr,
    },
    Reconfigures {
        who: Nr,
    },
}

impl Cluster {
    /// Candidates; those that cannot happen come to nothing in [`Cluster::step`].
    pub fn candidates(&self, world: &World, found: &mut Vec<Action>) {
        let left = &world.left;
        if left.ticks > 0 {
            found.push(Action::TimePasses);
        }
        if left.elections > 0 {
            found.extend(self.elections(world));
        }
        for who in (0..).take(world.processes.len()) {
            self.by_process(world, who, found);
        }
    }

    fn by_process(&self, world: &World, who: Nr, found: &mut Vec<Action>) {
        let process = &world.processes[usize::from(who)];
        if !process.is_alive {
            return;
        }
        let left = &world.left;
        let mut within = |budget: u8, action: Action| {
            if budget > 0 {
                found.push(action);
            }
        };
        within(1, Action::Applies { who });
        within(left.beats.min(left.delays), Action::BeatsSlowly { who });
        within(left.replacements, Action::Restarts { who });
        within(left.leaves, Action::Leaves { who });
        within(u8::from(process.place.is_none()), Action::LearnsItsPlace { who });
        for actor in 0..left.actors {
            within(left.saves, Action::Saves { who, actor });
            within(left.panics, Action::Panics { who, actor });
            within(left.recreations, Action::Recreated { actor, at: who });
            for to in 0..left.peers {
                within(left.hand_overs, Action::GivesAway { who, actor, to });
            }
        }
        let to_it = |message: &&Message| match message {
            Message::Granted { to, .. } | Message::Ack { to, .. } => *to == who,
            Message::Beat { .. } => process.leading.is_some(),
            Message::Wish(_) => left.wishes > 0 && process.leading.is_some(),
        };
        for message in world.net.iter().filter(to_it) {
            found.extend(choices(left.late).iter().map(|is_late| Action::Arrives {
                at: who,
                message: message.clone(),
                is_late: *is_late,
            }));
        }
        if process.leading.is_some() {
            self.by_leader(world, who, found);
        }
        if !process.late.is_empty() {
            found.push(Action::HandsOver { who });
        }
    }

    fn by_leader(&self, world: &World, who: Nr, found: &mut Vec<Action>) {
        let left = &world.left;
        found.extend((left.elections > 0).then_some(Action::LearnsOfNewerTerm { who }));
        let behind = self.laggards(world).into_iter();
        found.extend(behind.map(|behind| Action::Commits { who, behind }));
        if left.probes > 0 {
            let answered = choices(left.slow).iter();
            found.extend(answered.map(|is_slow| Action::Probes { who, is_answered: !is_slow }));
        }
        found.extend((left.reconfigurations > 0).then_some(Action::Reconfigures { who }));
        for is_slow in choices(left.delays) {
            let is_slow = *is_slow;
            let beats = (0..).take(world.processes.len()).filter(|_| left.beats > 0);
            found.extend(beats.map(|beater| Action::Beats { who: beater, leader: who, is_slow }));
        }
        for actor in 0..left.actors {
            found.extend((left.repairs > 0).then_some(Action::Repairs { leader: who, actor }));
        }
        for is_late in choices(left.late) {
            let is_late = *is_late;
            found.push(Action::LooksForLapses { who, is_late });
            let joins = (0..).zip(&world.processes).filter(|(_, process)| process.place.is_none());
            found.extend(joins.map(|(joiner, _)| Action::AsksToJoin { who: joiner, leader: who, is_late }));
            let nodes = (0..left.peers).filter(|_| left.replacements > 0);
            found.extend(nodes.map(|node| Action::Replaced { node, leader: who, is_late }));
            let nodes = (0..left.peers).filter(|_| left.take_overs > 0);
            found.extend(nodes.map(|node| Action::TakesOver { who, node, is_late }));
        }
    }

    /// What follows from an action, or nothing if it cannot happen.
    pub fn step(&self, world: &World, action: &Action) -> Option<World> {
        match action {
            Action::TimePasses => {
                let mut next = world.clone();
                next.left.ticks = next.left.ticks.checked_sub(1)?;
                next.tick += 1;
                Some(next)
            }
            Action::Elected { who, majority, leftover } => self.elect(world, *who, majority, *leftover),
            Action::LearnsOfNewerTerm { who } => self.depose(world, *who),
            Action::Commits { who, behind } => self.commit(world, *who, behind),
            Action::Applies { who } => self.apply(world, *who),
            Action::Probes { who, is_answered } => self.probe(world, *who, *is_answered),
            Action::Beats { who, leader, is_slow } => self.beat_to(world, *who, *leader, *is_slow),
            Action::BeatsSlowly { who } => self.beat_slowly(world, *who),
            Action::Arrives { at, message, is_late } => self.deliver(world, message, *at, *is_late),
            Action::LooksForLapses { who, is_late } => self.lapse(world, *who, *is_late),
            Action::HandsOver { who } => self.hand_late(world, *who),
            Action::Replaced { node, leader, is_late } => self.replace(world, *node, *leader, *is_late),
            Action::Restarts { who } => self.restart(world, *who),
            Action::AsksToJoin { who, leader, is_late } => self.ask(world, *who, *leader, *is_late),
            Action::LearnsItsPlace { who } => self.settle(world, *who),
            Action::Saves { who, actor } => self.save(world, *who, *actor),
            Action::Panics { who, actor } => self.panic(world, *who, *actor),
            Action::Leaves { who } => self.leave(world, *who),
            Action::TakesOver { who, node, is_late } => self.take_over(world, *who, *node, *is_late),
            Action::GivesAway { who, actor, to } => self.give_away(world, *who, *actor, *to),
            Action::Repairs { leader, actor } => self.repair(world, *leader, *actor),
            Action::Recreated { actor, at } => self.recreate(world, *actor, *at),
            Action::Reconfigures { who } => self.reconfigure(world, *who),
        }
    }
}

/// Both ways, if the second may still be chosen.
fn choices(budget: u8) -> &'static [bool] {
    if budget > 0 { &[false, true] } else { &[false] }
}
