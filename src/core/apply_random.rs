//! Random logs: every peer that applies one reaches the same state, whether from its begin or from a
//! snapshot somewhere in it; and after every entry the state keeps the invariants of the design.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{At, Changes};
use super::command::{Admit, Checkpoint, Command, Commit, Create, HandOver, Held, Response, Settings};
use super::disks::Disks;
use super::event::Event;
use super::state::{Actor, State, Status};
use crate::id::{ActorId, ClusterId, Epoch, Incarnation, NodeId, RaftId};
use crate::prng::Prng;

const SEEDS: u64 = 300;
const ENTRIES: u64 = 250;

/// Draws commands that mostly make sense in a state, and sometimes none.
struct Author {
    rng: Prng,
    nonce: u128,
}

impl Author {
    fn node(&mut self) -> NodeId {
        NodeId::new(*self.rng.pick(&["a", "b", "c", "d"])).unwrap()
    }

    fn actor(&mut self) -> ActorId {
        ActorId::new("k", *self.rng.pick(&["1", "2", "3", "4", "5"])).unwrap()
    }

    /// A number near one that the state knows: the right one mostly.
    fn near(&mut self, right: Option<u64>, at: u64) -> u64 {
        match right {
            Some(right) if self.rng.chance(80) => right,
            _ => self.rng.below(at + 2),
        }
    }

    fn life(&mut self, state: &State, at: u64) -> (NodeId, Incarnation) {
        let node = self.node();
        let right = state.members.get(&node).map(|m| m.incarnation.0);
        let incarnation = Incarnation(self.near(right, at));
        (node, incarnation)
    }

    fn disks(&mut self, state: &State, at: u64) -> Disks {
        let known: Vec<RaftId> = state.members.values().map(|m| m.raft_id).collect();
        let mut disks = Disks::new();
        for _ in 0..self.rng.below(4) {
            let right = (!known.is_empty()).then(|| self.rng.pick(&known).0);
            disks.insert(RaftId(self.near(right, at)));
        }
        disks
    }

    fn admit(&mut self, state: &State, term: u64, at: u64) -> Command {
        let node = self.node();
        let old = state.members.get(&node);
        let right = old.map(|m| m.raft_id.0).or(state.members.is_empty().then_some(0));
        self.nonce += 1;
        Command::Admit(Admit {
            raft_id: self.rng.chance(60).then(|| RaftId(self.near(right, at))),
            replaces: if self.rng.chance(85) { old.map(|m| m.incarnation) } else { Some(Incarnation(1)) },
            nonce: old.filter(|_| self.rng.chance(20)).map_or(self.nonce, |m| m.nonce),
            node,
            addr: ([127, 0, 0, 1], 1).into(),
            kinds: if self.rng.chance(90) { BTreeSet::from(["k".to_owned()]) } else { BTreeSet::new() },
            labels: BTreeMap::new(),
            term: self.near(Some(term), at),
            silent_ms: 0,
        })
    }

    fn commit(&mut self, state: &State, at: u64) -> Commit {
        let actor = self.actor();
        let line = state.actors.get(&actor);
        let seq = line.as_ref().and_then(|a| a.checkpoint.as_ref()).map(|(_, c)| c.seq + self.rng.below(3));
        let checkpoint = Checkpoint {
            seq: self.near(seq, at),
            digest: [self.rng.below(2) as u8; 32],
            length: 1,
            copies: 2,
            holders: self.disks(state, at),
        };
        let epoch = Epoch(self.near(line.map(|a| a.epoch.0), at));
        Commit { actor, epoch, checkpoint, required: self.rng.below(3) as u8 }
    }

    fn held(&mut self, state: &State, at: u64) -> Held {
        let actor = self.actor();
        let newest = state.actors.get(&actor).and_then(|a| a.checkpoint);
        let newest = newest.as_ref();
        let (epoch, seq) = (newest.map(|(epoch, _)| epoch.0), newest.map(|(_, c)| c.seq));
        let held = newest.and_then(|(_, c)| c.holders.first()).filter(|_| self.rng.chance(50));
        let holder = held.or_else(|| self.disks(state, at).first()).unwrap_or(RaftId(at));
        Held { actor, epoch: Epoch(self.near(epoch, at)), seq: self.near(seq, at), holder }
    }

    fn hand_over(&mut self, state: &State, at: u64) -> HandOver {
        let actor = self.actor();
        let epoch = Epoch(self.near(state.actors.get(&actor).map(|a| a.epoch.0), at));
        HandOver { actor, epoch, to: self.node(), by_hand: self.rng.chance(50) }
    }

    /// Whoever hosts an actor, mostly.
    fn by(&mut self, state: &State, actor: &ActorId, at: u64) -> Incarnation {
        let host = state.actors.get(actor).and_then(|a| a.host).map(|host| host.0);
        Incarnation(self.near(host, at))
    }

    fn command(&mut self, state: &State, term: u64, at: u64) -> Command {
        match self.rng.below(100) {
            0..10 => self.admit(state, term, at),
            10..16 => {
                let (node, incarnation) = self.life(state, at);
                Command::MarkDown { node, incarnation, term: self.near(Some(term), at), silent_ms: 0 }
            }
            16..20 => {
                let (node, incarnation) = self.life(state, at);
                Command::MarkUp { node, incarnation, term: self.near(Some(term), at) }
            }
            20..22 => {
                let (node, incarnation) = self.life(state, at);
                Command::Leave { node, incarnation }
            }
            22..34 => {
                let items = (0..=self.rng.below(2))
                    .map(|_| Create {
                        actor: self.actor(),
                        nonce: self.rng.below(5).into(),
                        stand_in_ms: self.rng.chance(60).then(|| self.rng.below(4) as u32),
                    })
                    .collect();
                Command::Create { by: self.life(state, at).1, items }
            }
            34..64 => {
                let items: Vec<Commit> = (0..=self.rng.below(2)).map(|_| self.commit(state, at)).collect();
                Command::Commit { by: self.by(state, &items[0].actor, at), items }
            }
            64..70 => {
                let actor = self.actor();
                let epoch = Epoch(self.near(state.actors.get(&actor).map(|a| a.epoch.0), at));
                let gives_up = self.rng.chance(30);
                Command::Restart { by: self.by(state, &actor, at), actor, epoch, gives_up }
            }
            70..72 => {
                let failed = state.actors.iter().find(|a| a.failed()).map(|line| line.id());
                let actor = failed.unwrap_or_else(|| self.actor());
                let life = self.near(state.actors.get(&actor).map(|a| a.life), at);
                Command::Revive { actor, life }
            }
            72..74 => {
                let actor = self.actor();
                let life = self.near(state.actors.get(&actor).map(|a| a.life), at);
                let by = self.rng.chance(50).then(|| self.by(state, &actor, at));
                Command::Stop { actor, life, by }
            }
            74..80 => {
                let away = state.members.iter().find(|(_, m)| m.standing != Status::Up);
                let away =
                    away.map(|(node, m)| (node.clone(), m.incarnation)).filter(|_| self.rng.chance(80));
                let (node, incarnation) = away.unwrap_or_else(|| self.life(state, at));
                let term = self.near(Some(term), at);
                Command::TakeOver { node, incarnation, term, away_ms: 1 + self.rng.below(3) }
            }
            80..84 => {
                let items: Vec<HandOver> =
                    (0..=self.rng.below(2)).map(|_| self.hand_over(state, at)).collect();
                Command::HandOver { by: self.by(state, &items[0].actor, at), items }
            }
            84..88 => {
                let items = (0..=self.rng.below(2)).map(|_| self.held(state, at)).collect();
                Command::AddHolders { items, repair: self.rng.chance(50) }
            }
            88..96 => Command::DropHolders {
                items: (0..=self.rng.below(2)).map(|_| self.held(state, at)).collect(),
            },
            96..99 => {
                let known = state.sessions.keys().next().copied();
                let resume = self.rng.chance(50).then(|| self.near(known, at));
                let nonce = self.rng.below(5).into();
                Command::OpenSession { by: self.life(state, at).1, nonce, resume }
            }
            _ => Command::CloseSessions {
                sessions: vec![self.near(state.sessions.keys().next().copied(), at)],
            },
        }
    }
}

/// A log of one seed, with the terms of its entries.
fn log(seed: u64) -> Vec<(At, Command)> {
    let (mut author, mut state, mut term) =
        (Author { rng: Prng::new(seed), nonce: 100 }, State::default(), 1);
    let settings = Settings { lease_ms: 1000, max_voters: 15 };
    let mut log = vec![(At { index: 1, term }, Command::Found { cluster_id: ClusterId([1; 16]), settings })];
    state.apply(log[0].0, &log[0].1, &mut Changes::default());
    for index in 2..ENTRIES {
        term += u64::from(author.rng.chance(4));
        let (at, command) = (At { index, term }, author.command(&state, term, index));
        state.apply(at, &command, &mut Changes::default());
        log.push((at, command));
    }
    log
}

/// An epoch, and the newest committed checkpoint.
type Progress = (Epoch, Option<(Epoch, u64)>);

/// What was ever true of this history.
#[derive(Default)]
struct History {
    /// Invariant 2: whose a disk is, for ever.
    disks: BTreeMap<RaftId, NodeId>,
    incarnations: BTreeMap<NodeId, Incarnation>,
    /// Invariants 3 and 5, per life of an actor.
    newest: BTreeMap<(ActorId, u64), Progress>,
}

impl History {
    fn check(&mut self, state: &State) {
        let mut current = BTreeSet::new();
        for (node, m) in &state.members {
            assert!(current.insert(m.raft_id), "two members on disk {}", m.raft_id);
            assert_eq!(self.disks.entry(m.raft_id).or_insert_with(|| node.clone()), node, "a disk moved");
            let before = self.incarnations.insert(node.clone(), m.incarnation);
            assert!(before <= Some(m.incarnation), "an incarnation came back");
        }
        for line in state.actors.iter() {
            let (id, a) = (&line.id(), &line.actor());
            let newest = a.checkpoint.as_ref().map(|(epoch, c)| (*epoch, c.seq));
            let before = self.newest.insert((id.clone(), a.life), (a.epoch, newest));
            if let Some((epoch, seq)) = before {
                assert!(epoch <= a.epoch && seq <= newest, "{id} went back");
            }
            assert!(newest.is_none_or(|(epoch, _)| epoch <= a.epoch), "{id}: a checkpoint of the future");
            let holders = a.checkpoint.as_ref().map(|(_, c)| &c.holders);
            assert!(
                holders.is_none_or(|disks| disks.iter().all(|disk| current.contains(&disk))),
                "{id}: a retired disk holds it"
            );
            assert_eq!(a.lost, holders.is_some_and(Disks::is_empty), "{id}: lost or not");
            assert!(
                a.host.is_none_or(|host| state.member_of(host).is_some()),
                "{id} runs on a retired process"
            );
            let home_is_up = state.able_host(id, &a.home).is_some();
            assert!(
                !home_is_up || a.host.is_some_and(|host| state.is_up(host)),
                "{id} runs nowhere although its home is up"
            );
            let strange = a.host.is_some_and(|host| state.members[&a.home].incarnation != host);
            assert!(!a.is_unborn() || !strange, "{id} was never created and runs elsewhere");
        }
    }
}

fn apply(
    state: &mut State,
    (at, command): &(At, Command),
) -> (Response, Vec<Event>, BTreeSet<ActorId>, Vec<ActorId>, bool) {
    let mut changes = Changes::default();
    let response = state.apply(*at, command, &mut changes);
    let saved = changes.saved.into_iter().map(|saved| saved.actor).collect();
    (response, changes.events, changes.actors, saved, changes.members)
}

fn after_snapshot(state: &State) -> State {
    rmp_serde::from_slice(&rmp_serde::to_vec(state).unwrap()).unwrap()
}

/// The name of a command.
fn kind(command: &Command) -> String {
    format!("{command:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[test]
fn random_logs_lead_every_peer_to_the_same_state_also_from_a_snapshot() {
    let mut done = BTreeMap::new();
    for seed in 0..SEEDS {
        let log = log(seed);
        let cut = (Prng::new(seed).below(log.len() as u64)) as usize;
        let (mut one, mut other, mut history) = (State::default(), State::default(), History::default());
        for (i, entry) in log.iter().enumerate() {
            if i == cut {
                other = after_snapshot(&other);
            }
            let before = one.clone();
            let said = apply(&mut one, entry);
            assert_eq!(said, apply(&mut other, entry), "seed {seed}, entry {i}");
            history.check(&one);
            let refused = matches!(said.0, Response::Refused(_));
            assert!(!refused || one == before, "seed {seed}, entry {i}: refused, and yet something changed");
            let told: BTreeSet<&ActorId> = said.2.iter().chain(&said.3).collect();
            let silent = |id: &&ActorId| one.actors.get(id) != before.actors.get(id) && !told.contains(id);
            let unseen = before.actors.ids().chain(one.actors.ids()).find(|id| silent(&id));
            assert_eq!(unseen, None, "seed {seed}, entry {i}: changed, and nobody is told to look");
            assert!(
                said.4 || one.members == before.members,
                "seed {seed}, entry {i}: members changed unseen"
            );
            for id in said.3.iter().filter(|id| !said.2.contains(*id)) {
                let only_saved = one.actors.get(id).zip(before.actors.get(id)).map(|(now, before)| {
                    let (checkpoint, saved_at) = (before.checkpoint.clone(), before.saved_at);
                    Actor { checkpoint, saved_at, ..now } == before && !before.is_unborn()
                });
                assert_eq!(
                    only_saved,
                    Some(true),
                    "seed {seed}, entry {i}: more of {id} changed than was said"
                );
            }
            *done.entry(kind(&entry.1)).or_insert(0) += u32::from(one != before);
        }
        assert_eq!(one, other, "seed {seed}");
    }
    assert!(
        done.len() == 16 && done.values().all(|count| *count >= 100 || *count == SEEDS as u32),
        "{done:?}"
    );
}
