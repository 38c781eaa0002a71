//! Who runs an actor when its host goes, or when its home comes.
//!
//! Its home, whenever that is up: at once if nobody else runs it, and else when whoever does hands it over. While its
//! home is away it waits, or others stand in: as many as there are, so that none has to run all.

use std::collections::BTreeMap;

use super::apply::{At, Changes};
use super::command::{HandOver, Refused, Response};
use super::event::Event;
use super::line::Line;
use super::placement;
use super::state::{Member, State, Status};
use crate::canary::{Mistake, made};
use crate::id::{ActorId, Epoch, Incarnation, NodeId};

/// The living members that may stand in, with what each runs; better ones first.
struct Crew<'a> {
    members: Vec<(&'a NodeId, &'a Member, u64)>,
    by_kind: BTreeMap<String, Vec<usize>>,
}

impl<'a> Crew<'a> {
    /// All but a node.
    fn of(state: &'a State, node: &NodeId) -> Self {
        let mut runs: BTreeMap<Incarnation, u64> = BTreeMap::new();
        for host in state.actors.iter().filter_map(|a| a.host) {
            *runs.entry(host).or_default() += 1;
        }
        let others = state.living().filter(|(other, _)| *other != node);
        let living = placement::stand_ins(node, others.map(|(n, m)| (n, m.zone().unwrap_or_default())));
        let members = living.into_iter().filter_map(|n| Some((n, state.members.get(n)?)));
        let members = members.map(|(n, m)| (n, m, runs.get(&m.incarnation).copied().unwrap_or(0))).collect();
        Self { members, by_kind: BTreeMap::new() }
    }

    /// The one that runs the fewest actors of those that know the kind.
    fn next(&mut self, kind: &str) -> Option<(&'a NodeId, Incarnation)> {
        if !self.by_kind.contains_key(kind) {
            let knows = |(at, (_, m, _)): (usize, &(_, &Member, _))| m.kinds.contains(kind).then_some(at);
            let all = self.members.iter().enumerate().filter_map(knows).collect();
            self.by_kind.insert(kind.to_owned(), all);
        }
        let best =
            self.by_kind.get(kind)?.iter().copied().min_by_key(|at| self.members.get(*at).map(|m| m.2))?;
        let (node, member, runs) = self.members.get_mut(best)?;
        *runs += 1;
        Some((*node, member.incarnation))
    }
}

impl State {
    /// A node is up: what nobody runs of its actors begins there. Those that others run are handed back by them.
    pub(super) fn come_home(&mut self, node: &NodeId, at: At, changes: &mut Changes) {
        let Some(host) = self.members.get(node).map(|m| m.incarnation) else { return };
        let waits = |a: &Line<'_>| {
            a.home == node.as_str() && a.host != Some(host) && !a.host.is_some_and(|other| self.is_up(other))
        };
        let homeward = self.actors.iter().filter(waits).map(|line| (line.id(), host)).collect();
        self.begin_anew(homeward, at, changes);
    }

    /// The process of a node was replaced: what it ran goes home if it can, and to the new process if not.
    pub(super) fn inherit(&mut self, old: Incarnation, node: &NodeId, at: At, changes: &mut Changes) {
        // Nobody was told of the ones, nobody waits for the others.
        let ends = |a: &Line<'_>| a.is_unborn() || a.stopping();
        self.drop_actors(changes, |a| {
            ends(a) && (a.host == Some(old) || (a.host.is_none() && a.home == node.as_str()))
        });
        let Some(new) = self.members.get(node).map(|m| m.incarnation) else { return };
        let left = self.actors.iter().filter(|a| a.host == Some(old));
        let left = left.map(|a| (a.id(), self.home_of(&a).unwrap_or(new))).collect();
        self.begin_anew(left, at, changes);
    }

    /// A node is away, and holds no lease: what it ran goes home if it can, and to others where it may.
    pub(super) fn take_over(&mut self, node: &NodeId, away_ms: u64, at: At, changes: &mut Changes) {
        let mut crew = None;
        let mut moves = vec![];
        let mut stand_ins = 0;
        let mut left: Vec<_> = self.left_at(node).collect();
        // By name, whatever order the directory is in: who gets what is decided by every peer for itself.
        left.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for actor in left {
            if let Some(home) = self.home_of(&actor).filter(|_| actor.home != node.as_str()) {
                moves.push((actor.id(), home));
            } else if !actor.lost() && actor.stand_in_ms.is_some_and(|after| u64::from(after) <= away_ms) {
                let crew = crew.get_or_insert_with(|| Crew::of(self, node));
                let Some((_, host)) = crew.next(actor.name.kind) else { continue };
                moves.push((actor.id(), host));
                stand_ins += 1;
            }
        }
        self.begin_anew(moves, at, changes);
        if stand_ins > 0 {
            changes.events.push(Event::TakenOver { node: node.clone(), actors: stand_ins });
        }
    }

    /// After how many milliseconds away, at the earliest, others may take over one of a node's actors that nobody
    /// has taken over yet.
    pub fn next_take_over(&self, node: &NodeId) -> Option<u32> {
        let knows = |kind: &str| self.living().any(|(_, m)| m.kinds.contains(kind));
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        let mut earliest = None;
        for actor in self.left_at(node).filter(|a| !a.lost()) {
            let Some(after) = actor.stand_in_ms.filter(|after| earliest.is_none_or(|e| *after < e)) else {
                continue;
            };
            let kind = actor.name.kind;
            if *known.entry(kind).or_insert_with(|| knows(kind)) {
                earliest = Some(after);
            }
        }
        earliest
    }

    /// Where an actor runs that is not at its home although that is up and can run it, and nobody wished so.
    pub fn homesick(&self, actor: &Line<'_>) -> Option<Incarnation> {
        let home = self.home_of(actor)?;
        let host = actor.host.filter(|host| *host != home && self.is_up(*host))?;
        let stays =
            actor.by_hand() || actor.stopping() || actor.lost() || actor.failed() || actor.is_unborn();
        (!stays).then_some(host)
    }

    /// The process of a node that can run an actor now, if it can.
    pub fn able_host(&self, id: &ActorId, node: &NodeId) -> Option<Incarnation> {
        self.members.get(node).filter(|m| is_able(m, id.kind())).map(|m| m.incarnation)
    }

    /// Where the actors that a node runs may go, so that it runs none: to their homes, or to those who run the fewest.
    pub fn evacuation(&self, node: &NodeId) -> Vec<HandOver> {
        let mut crew = Crew::of(self, node);
        let ours =
            self.left_at(node).filter(|a| a.host.is_some() && !(a.stopping() || a.lost() || a.failed()));
        let place = |actor: Line<'_>| {
            // One at home here comes back when this node does, another when its own home does.
            let by_hand = actor.home == node.as_str();
            let home = self.home_of(&actor).filter(|_| !by_hand).map(|_| NodeId::of(actor.home));
            let to = home.or_else(|| crew.next(actor.name.kind).map(|(to, _)| to.clone()))?;
            Some(HandOver { actor: actor.id(), epoch: actor.epoch, to, by_hand })
        };
        ours.filter_map(place).collect()
    }

    /// See [`Command::TakeOver`](super::command::Command::TakeOver).
    pub(super) fn stand_in(
        &mut self,
        at: At,
        (node, incarnation, term): (&NodeId, Incarnation, u64),
        away_ms: u64,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        if term != at.term {
            return Err(Refused::OtherTerm);
        }
        let member = self.members.get(node).filter(|m| m.incarnation == incarnation);
        // One that is up may hold a lease.
        if member.ok_or(Refused::NoSuchMember)?.standing != Status::Up || made(Mistake::TakenOverWhileUp) {
            self.take_over(node, away_ms, at, changes);
        }
        Ok(Response::Done)
    }

    /// See [`Command::HandOver`](super::command::Command::HandOver).
    pub(super) fn hand_over(
        &mut self,
        at: At,
        by: Incarnation,
        items: &[HandOver],
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let from = self.member_of(by).ok_or(Refused::NewerIncarnation)?.0.clone();
        let mut answers = vec![];
        let mut moved: BTreeMap<NodeId, u64> = BTreeMap::new();
        for HandOver { actor: id, epoch, to, by_hand } in items {
            let able = self.able_host(id, to);
            let Some(mut actor) = self.actors.get(id).filter(|a| !a.is_unborn()) else {
                answers.push(Err(Refused::NoSuchActor));
                continue;
            };
            if actor.host != Some(by) || actor.epoch != *epoch {
                answers.push(Err(Refused::StaleEpoch));
                continue;
            }
            // Its old activation is over in any case.
            (actor.epoch, actor.whole) = (Epoch(at.index), true);
            if let Some(host) = able.filter(|_| !actor.stopping) {
                actor.host = Some(host);
                actor.by_hand = *by_hand && actor.home != *to;
                if host != by {
                    *moved.entry(to.clone()).or_default() += 1;
                }
            }
            self.actors.insert(id, &actor);
            changes.actors.insert(id.clone());
            answers.push(Ok(Epoch(at.index)));
        }
        let handed = |(to, actors)| Event::HandedOver { from: from.clone(), to, actors };
        changes.events.extend(moved.into_iter().map(handed));
        Ok(Response::Items(answers))
    }

    /// What a node runs, or ran when it left.
    fn left_at<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = Line<'a>> {
        let host = self.members.get(node).map(|m| m.incarnation);
        let is_its =
            move |a: &Line<'_>| if a.host.is_some() { a.host == host } else { a.home == node.as_str() };
        self.actors.iter().filter(move |a| is_its(a) && !a.is_unborn())
    }

    /// The process of an actor's home, if that is up and knows the kind.
    fn home_of(&self, actor: &Line<'_>) -> Option<Incarnation> {
        let home = self.members.get(actor.home)?;
        is_able(home, actor.name.kind).then_some(home.incarnation)
    }

    fn begin_anew(&mut self, moves: Vec<(ActorId, Incarnation)>, at: At, changes: &mut Changes) {
        for (id, host) in moves {
            let begun = self.actors.update(&id, |actor| {
                (actor.host, actor.epoch) = (Some(host), Epoch(at.index));
                (actor.by_hand, actor.whole) = (false, false);
            });
            if begun.is_some() {
                changes.actors.insert(id);
            }
        }
    }
}

fn is_able(member: &Member, kind: &str) -> bool {
    member.standing == Status::Up && member.kinds.contains(kind)
}
