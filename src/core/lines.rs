//! The lines of all actors, in an order of its own that is the same everywhere. There may be millions: each takes about
//! as many bytes as its numbers have, and is made readable when somebody looks.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use super::command::Checkpoint;
pub use super::line::Line;
use super::line::{Packed, Place};
use super::state::Actor;
use crate::id::{ActorId, Epoch};

/// Actors by name.
#[derive(Clone, Default)]
pub struct Lines {
    packed: BTreeMap<Place, Packed>,
    /// How long all of those are.
    bytes: usize,
}

impl Lines {
    fn packed(&self, id: &ActorId) -> Option<&Packed> {
        self.packed.get(&Place::of(id.name()))
    }

    /// One line, to look at.
    pub fn line(&self, id: &ActorId) -> Option<Line<'_>> {
        self.packed(id).map(Packed::line)
    }

    /// One line, to keep.
    pub fn get(&self, id: &ActorId) -> Option<Actor> {
        self.line(id).map(|line| line.actor())
    }

    /// Whether there is such an actor.
    pub fn contains(&self, id: &ActorId) -> bool {
        self.packed(id).is_some()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// What they take in memory, but for what the map itself needs. Snapshots of them are at most
    /// [half as long again](crate::limits::MAX_DIRECTORY_BYTES).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// All of them, to look at.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> + Clone {
        self.packed.values().map(Packed::line)
    }

    /// Those that come after the one of a name, or all.
    pub fn after(&self, id: Option<&ActorId>) -> impl Iterator<Item = Line<'_>> {
        let from = id.map_or(Bound::Unbounded, |id| Bound::Excluded(Place::of(id.name())));
        self.packed.range((from, Bound::Unbounded)).map(|(_, packed)| packed.line())
    }

    /// All names.
    pub fn ids(&self) -> impl Iterator<Item = ActorId> {
        self.iter().map(|line| line.id())
    }

    /// Writes a line, in the place of the one of that name.
    pub fn insert(&mut self, id: &ActorId, actor: &Actor) {
        let packed = Packed::new(id.name(), actor);
        self.bytes += packed.bytes().len();
        let old = self.packed.insert(Place::of(id.name()), packed);
        self.bytes -= old.map_or(0, |old| old.bytes().len());
    }

    /// Writes another checkpoint into a line, which is not lost then; nothing if there is none, or `may` answers with
    /// nothing or an error. Of all changes this one happens most often.
    pub fn save<T, E>(
        &mut self,
        id: &ActorId,
        (epoch, checkpoint): (Epoch, &Checkpoint),
        saved_at: u64,
        may: impl FnOnce(Line<'_>) -> Result<Option<T>, E>,
    ) -> Option<Result<Option<T>, E>> {
        let packed = self.packed.get_mut(&Place::of(id.name()))?;
        let line = packed.line();
        let answer = may(line);
        if let Ok(Some(_)) = answer {
            let saved = packed.saved(&line, (epoch, checkpoint), saved_at);
            replace(packed, saved, &mut self.bytes);
        }
        Some(answer)
    }

    /// Changes a line, if there is one.
    pub fn update<T>(&mut self, id: &ActorId, change: impl FnOnce(&mut Actor) -> T) -> Option<T> {
        let packed = self.packed.get_mut(&Place::of(id.name()))?;
        let mut actor = packed.line().actor();
        let answer = change(&mut actor);
        replace(packed, Packed::new(id.name(), &actor), &mut self.bytes);
        Some(answer)
    }

    /// Removes a line. Whether there was one.
    pub fn remove(&mut self, id: &ActorId) -> bool {
        let removed = self.packed.remove(&Place::of(id.name()));
        self.bytes -= removed.as_ref().map_or(0, |packed| packed.bytes().len());
        removed.is_some()
    }
}

/// Writes a line in the place of another, and keeps count of how long all of them are.
fn replace(old: &mut Packed, new: Packed, bytes: &mut usize) {
    *bytes = *bytes + new.bytes().len() - old.bytes().len();
    *old = new;
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        self.packed.len() == other.packed.len()
            && self.packed.values().zip(other.packed.values()).all(|(a, b)| a.bytes() == b.bytes())
    }
}

impl Eq for Lines {}

impl Hash for Lines {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packed.len().hash(state);
        self.packed.values().for_each(|packed| packed.bytes().hash(state));
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|line| (line.id(), line.actor()))).finish()
    }
}

/// As a map of whole lines: how they lie in memory is nobody else's business.
impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        self.iter().try_for_each(|line| map.serialize_entry(&line.id(), &line.actor()))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WholeLines)
    }
}

struct WholeLines;

impl<'de> Visitor<'de> for WholeLines {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("actors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut lines = vec![];
        while let Some((id, actor)) = map.next_entry::<ActorId, Actor>()? {
            lines.push((Place::of(id.name()), Packed::new(id.name(), &actor)));
        }
        // All at once: no place is left free between them.
        let packed: BTreeMap<_, _> = lines.into_iter().collect();
        let bytes = packed.values().map(|packed| packed.bytes().len()).sum();
        Ok(Lines { packed, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::{At, Changes};
    use crate::core::command::{Checkpoint, Command, Create, Response};
    use crate::core::state::{Member, State, Status};
    use crate::id::{Epoch, Incarnation, NodeId, RaftId};
    use crate::limits::MAX_DIRECTORY_BYTES;
    use crate::prng::Prng;
    use std::collections::BTreeSet;

    fn any(rng: &mut Prng) -> (ActorId, Actor) {
        // Names that are not in the order of all their letters one after the other.
        let part = |rng: &mut Prng| "\0ab".chars().filter(|_| rng.chance(50)).collect::<String>();
        let name = ActorId::new(format!("k{}", part(rng)), part(rng).repeat(rng.below(80) as usize)).unwrap();
        let number = |rng: &mut Prng| rng.any() >> rng.below(64);
        let checkpoint = Checkpoint {
            seq: number(rng),
            digest: [rng.any() as u8; 32],
            length: number(rng),
            copies: rng.any() as u8,
            holders: (0..rng.below(5)).map(|_| RaftId(number(rng))).collect(),
        };
        let actor = Actor {
            home: NodeId::new(["a", "a-longer_one.7"][rng.below(2) as usize]).unwrap(),
            host: rng.chance(50).then(|| Incarnation(number(rng))),
            epoch: Epoch(number(rng)),
            life: number(rng),
            nonce: u128::from(rng.any()) << 64 | u128::from(number(rng)),
            checkpoint: rng.chance(70).then(|| (Epoch(number(rng)), checkpoint)),
            saved_at: number(rng),
            lost: rng.chance(50),
            stopping: rng.chance(50),
            failed: rng.chance(50),
            stand_in_ms: rng.chance(50).then(|| number(rng) as u32),
            by_hand: rng.chance(50),
            whole: rng.chance(50),
        };
        (name, actor)
    }

    fn checkpoint(seq: u64) -> Checkpoint {
        Checkpoint { seq, digest: [7; 32], length: 20_000, copies: 2, holders: [1, 2].map(RaftId).into() }
    }

    #[test]
    fn packed_lines_are_what_a_map_of_whole_ones_is_also_as_bytes() {
        let mut rng = Prng::new(7);
        let (mut plain, mut packed) = (BTreeMap::new(), Lines::default());
        for _ in 0..5_000 {
            let (id, actor) = any(&mut rng);
            match rng.below(5) {
                4 => {
                    let newer =
                        (Epoch(rng.any()), any(&mut rng).1.checkpoint.map_or(checkpoint(7), |(_, c)| c));
                    let may = rng.chance(80).then_some(());
                    let at = rng.any();
                    let saved = packed.save(&id, (newer.0, &newer.1), at, |_| Ok::<_, ()>(may));
                    assert_eq!(saved, plain.contains_key(&id).then_some(Ok(may)));
                    let line: Option<&mut Actor> = plain.get_mut(&id);
                    if let Some(line) = line.filter(|_| may.is_some()) {
                        (line.checkpoint, line.saved_at, line.lost) = (Some(newer), at, false);
                    }
                }
                0 => assert_eq!(packed.remove(&id), plain.remove(&id).is_some()),
                1 => {
                    let epoch = packed.update(&id, |line| std::mem::replace(&mut line.epoch, actor.epoch));
                    let line = plain.get_mut(&id);
                    assert_eq!(
                        epoch,
                        line.map(|line: &mut Actor| std::mem::replace(&mut line.epoch, actor.epoch))
                    );
                }
                _ => {
                    packed.insert(&id, &actor);
                    plain.insert(id.clone(), actor);
                }
            }
            assert_eq!(packed.get(&id).as_ref(), plain.get(&id));
            assert_eq!(packed.contains(&id), plain.contains_key(&id));
        }
        assert!(plain.len() > 50, "{}", plain.len());
        let all: BTreeMap<_, _> = packed.iter().map(|line| (line.id(), line.actor())).collect();
        assert_eq!(all, plain);
        let order: Vec<_> = packed.ids().collect();
        for (id, actor) in &plain {
            let line = packed.line(id).unwrap();
            let (copies, holders) = line.copies();
            let checkpoint = actor.checkpoint.as_ref().map(|(_, c)| (c.copies, c.holders.clone()));
            assert_eq!((copies, holders.collect()), checkpoint.unwrap_or_default());
            let at = order.iter().position(|other| other == id).unwrap();
            assert!(packed.after(Some(id)).map(|l| l.id()).eq(order[at + 1..].iter().cloned()));
        }
        let bytes = rmp_serde::to_vec(&packed).unwrap();
        let as_a_map: BTreeMap<ActorId, Actor> = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(as_a_map, plain, "another format of snapshots");
        for bytes in [bytes, rmp_serde::to_vec(&plain).unwrap()] {
            let read = rmp_serde::from_slice::<Lines>(&bytes).unwrap();
            assert!(read == packed && read.bytes() == packed.bytes());
        }
        let all: usize = packed.packed.values().map(|line| line.bytes().len()).sum();
        assert_eq!(packed.bytes(), all);
        for (id, actor) in &plain {
            let (short, long) = (Packed::new(id.name(), actor), rmp_serde::to_vec(&(id, actor)).unwrap());
            assert!(
                long.len() * 2 <= short.bytes().len() * 3,
                "{} {}: {actor:?}",
                short.bytes().len(),
                long.len()
            );
        }
    }

    #[test]
    fn a_usual_line_takes_about_a_hundred_bytes() {
        let holders = [71_001, 71_002, 71_003].map(RaftId).into();
        let checkpoint = Checkpoint { seq: 900, digest: [7; 32], length: 20_000, copies: 2, holders };
        let born =
            Actor::new(NodeId::new("worker-17").unwrap(), Incarnation(71_001), 90_000_000, u128::MAX, None);
        let checkpoint = Some((Epoch(90_000_000), checkpoint));
        let actor = Actor { checkpoint, saved_at: 99_000_000, ..born };
        let id = ActorId::new("account", "customer-1234567").unwrap();
        let packed = Packed::new(id.name(), &actor).bytes().len();
        assert!(packed < 130, "{packed}");
    }

    #[test]
    fn a_full_directory_takes_no_more_actors_until_some_are_gone() {
        let names = ["a", "b", "c"].map(|key| ActorId::new("k", key).unwrap());
        let (node, by) = (NodeId::new("n").unwrap(), Incarnation(1));
        let mut state = State::default();
        let run = Member {
            incarnation: by,
            raft_id: RaftId(1),
            nonce: 1,
            addr: ([127, 0, 0, 1], 1).into(),
            standing: Status::Up,
            kinds: BTreeSet::from(["k".to_owned()]),
            labels: BTreeMap::new(),
            silent_ms: 0,
        };
        state.members.insert(node, run);
        let mut index = 10;
        let mut create = |state: &mut State, name: usize| {
            index += 1;
            let items = vec![Create { actor: names[name].clone(), nonce: 1, stand_in_ms: None }];
            let response =
                state.apply(At { index, term: 1 }, &Command::Create { by, items }, &mut Changes::default());
            matches!(response, Response::Items(items) if matches!(items[..], [Ok(_)]))
        };
        assert!(create(&mut state, 0) && create(&mut state, 1));
        let pretended = MAX_DIRECTORY_BYTES - state.actors.bytes;
        state.actors.bytes += pretended;
        assert!(!create(&mut state, 2), "it is full");
        assert!(create(&mut state, 0), "who began a creation may end it");
        state.actors.remove(&names[1]);
        assert!(create(&mut state, 2));
        state.actors.bytes -= pretended;
        assert!(state.actors.contains(&names[2]) && state.actors.ids().count() == 2);
    }
}
