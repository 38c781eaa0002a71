//! A list of operations that follows from a seed alone, and what a store holds after each.

use standin::id::{ActorId, Epoch};
use standin::store::{CopyKey, Durable, Slot, Store};
use std::collections::BTreeMap;
use std::io;

/// Longest log and most copies before some are removed.
const MAX_LOG: usize = 60;
const MAX_COPIES: usize = 30;

/// Numbers that follow from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// One write to a store. A value is named by the number of the operation that wrote it.
#[derive(Debug, Clone)]
pub enum Operation {
    Append { first: u64, count: u64 },
    Truncate(u64),
    Purge(u64),
    Vote,
    Committed,
    Copies(Vec<(u64, u64)>),
    Forget(Vec<(u64, u64)>),
    Chunks(u64, Vec<u64>),
    ForgetChunks(u64),
    Snapshot,
    Reset,
}

/// What a store holds: for each value, which operation wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    log: BTreeMap<u64, u64>,
    slots: BTreeMap<Slot, u64>,
    snapshot: Option<u64>,
    copies: BTreeMap<(u64, u64), u64>,
    /// By actor and part.
    chunks: BTreeMap<(u64, u64), u64>,
}

/// The bytes of a value. Some are large, so that tables are written and merged as well.
fn value(n: u64, part: u64) -> Vec<u8> {
    let mut dice = Dice::new(n ^ (part << 32));
    let length = if dice.below(20) == 0 { 60_000 } else { 600 };
    let length = 16 + dice.below(length) as usize;
    let mut bytes = [n.to_be_bytes(), part.to_be_bytes()].concat();
    bytes.resize(length, dice.below(256) as u8);
    bytes
}

/// Which operation wrote these bytes.
fn written_by(bytes: &[u8], part: u64) -> io::Result<u64> {
    let n = bytes.first_chunk().map(|n| u64::from_be_bytes(*n));
    n.filter(|n| value(*n, part) == bytes)
        .ok_or_else(|| io::Error::other(format!("{part}: never written like that")))
}

fn copy_key((actor, seq): (u64, u64), n: u64) -> CopyKey {
    CopyKey { actor: self::actor(actor), epoch: Epoch(1), seq, digest: digest(n) }
}

fn actor(number: u64) -> ActorId {
    ActorId::new("actor", number.to_string()).unwrap()
}

/// Whose chunks are large, and no part of the model: their writes have no order among the others.
fn large_actor() -> ActorId {
    ActorId::new("large", "").unwrap()
}

/// So large that it goes round the write-ahead log.
fn large(n: u64) -> Vec<u8> {
    let mut dice = Dice::new(n);
    let bytes = (0..200_000).flat_map(|_| dice.below(u64::MAX).to_be_bytes());
    bytes.collect()
}

pub fn write_large(n: u64, store: &dyn Store, done: Durable) {
    store.chunks_put(&large_actor(), vec![(digest(n), large(n).into())], done);
}

/// Whether all of these large chunks are there.
pub fn check_large(numbers: &[u64], store: &dyn Store) -> Result<(), String> {
    for n in numbers {
        match store.chunk_get(&large_actor(), &digest(*n)).map_err(|e| e.to_string())? {
            Some(found) if found == large(*n) => {}
            Some(_) => return Err(format!("large chunk {n} is spoiled")),
            None => return Err(format!("large chunk {n} is gone")),
        }
    }
    Ok(())
}

/// Removes all large chunks.
pub fn forget_large(store: &dyn Store) -> Result<(), String> {
    let all: Vec<_> = store.chunks_of(&large_actor()).map_err(|e| e.to_string())?.into_iter().collect();
    store.chunks_delete(&large_actor(), &all).map_err(|e| e.to_string())
}

fn digest(part: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&part.to_be_bytes());
    digest
}

impl Model {
    /// The `n`th operation, which depends on what is there.
    pub fn choose(&self, seed: u64, n: u64) -> Operation {
        let mut dice = Dice::new(seed ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (first, last) = (self.log.keys().next().copied(), self.log.keys().next_back().copied());
        let log = first.zip(last);
        match (dice.below(211), log) {
            (_, Some((first, last))) if self.log.len() > MAX_LOG => {
                Operation::Purge(first + dice.below(last - first))
            }
            (_, _) if self.copies.len() > MAX_COPIES => Operation::Forget(self.some_copies(&mut dice)),
            (0..100, _) => Operation::Append { first: last.unwrap_or(n) + 1, count: 1 + dice.below(4) },
            (100..130, _) => Operation::Vote,
            (130..142, Some((_, last))) => Operation::Truncate(last - dice.below(3).min(last)),
            (142..150, Some((first, last))) => Operation::Purge(first + dice.below(last - first + 3)),
            (150..166, _) => Operation::Committed,
            (166..186, _) => {
                Operation::Copies((0..=dice.below(3)).map(|i| (dice.below(5), n * 4 + i)).collect())
            }
            (186..192, _) => Operation::Forget(self.some_copies(&mut dice)),
            (192..198, _) => Operation::Snapshot,
            (198, _) => Operation::Reset,
            (199..206, _) => {
                Operation::Chunks(dice.below(3), (0..=dice.below(4)).map(|i| n * 8 + i).collect())
            }
            (206..210, _) => Operation::ForgetChunks(dice.below(3)),
            _ => Operation::Vote,
        }
    }

    fn some_copies(&self, dice: &mut Dice) -> Vec<(u64, u64)> {
        self.copies.keys().copied().filter(|_| dice.below(2) == 0).collect()
    }

    pub fn apply(&mut self, n: u64, operation: &Operation) {
        match operation {
            Operation::Append { first, count } => self.log.extend((*first..first + count).map(|i| (i, n))),
            Operation::Truncate(from) => self.log.retain(|index, _| index < from),
            Operation::Purge(last) => {
                self.log.retain(|index, _| index > last);
                self.slots.insert(Slot::Purged, n);
            }
            Operation::Vote => self.slots.extend([(Slot::Vote, n)]),
            Operation::Committed => self.slots.extend([(Slot::Committed, n)]),
            Operation::Copies(keys) => self.copies.extend(keys.iter().map(|key| (*key, n))),
            Operation::Forget(keys) => self.copies.retain(|key, _| !keys.contains(key)),
            Operation::Chunks(actor, parts) => self.chunks.extend(parts.iter().map(|p| ((*actor, *p), n))),
            Operation::ForgetChunks(actor) => self.chunks.retain(|(of, _), _| of != actor),
            Operation::Snapshot => self.snapshot = Some(n),
            Operation::Reset => {
                let (copies, chunks) = (std::mem::take(&mut self.copies), std::mem::take(&mut self.chunks));
                let slots = BTreeMap::from([(Slot::Identity, n)]);
                *self = Self { copies, chunks, slots, ..Self::default() };
            }
        }
    }

    /// Does it to a store. `done` comes back from an operation that promises nothing.
    pub fn perform(
        &self,
        n: u64,
        operation: &Operation,
        store: &dyn Store,
        done: Durable,
    ) -> io::Result<Option<Durable>> {
        match operation {
            Operation::Append { first, count } => {
                store.log_append((*first..first + count).map(|i| (i, value(n, i))).collect(), done);
            }
            Operation::Vote => store.put(Slot::Vote, value(n, 0), done),
            Operation::Snapshot => store.put_snapshot(value(n, 1), value(n, 2), done),
            Operation::Reset => store.reset_raft(value(n, 0), done),
            Operation::Copies(keys) => {
                let copies = keys.iter().map(|key| (copy_key(*key, n), value(n, key.1).into()));
                store.copies_put(copies.collect(), done);
            }
            Operation::Chunks(of, parts) => {
                let chunks = parts.iter().map(|part| (digest(*part), value(n, *part).into()));
                store.chunks_put(&actor(*of), chunks.collect(), done);
            }
            Operation::ForgetChunks(of) => {
                let here: Vec<_> = store.chunks_of(&actor(*of))?.into_iter().collect();
                return store.chunks_delete(&actor(*of), &here).map(|()| Some(done));
            }
            Operation::Truncate(from) => return store.log_truncate(*from).map(|()| Some(done)),
            Operation::Purge(last) => {
                return store.log_purge(*last, Slot::Purged, value(n, 0)).map(|()| Some(done));
            }
            Operation::Committed => {
                return store.put_unsynced(Slot::Committed, value(n, 0)).map(|()| Some(done));
            }
            Operation::Forget(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| copy_key(*key, self.copies[key])).collect();
                return store.copies_delete(&keys).map(|()| Some(done));
            }
        }
        Ok(None)
    }

    /// Reads a whole store. Every value must be one that was written there.
    pub fn read(store: &dyn Store) -> io::Result<Self> {
        let mut model = Self::default();
        for (index, bytes) in store.log_read(0..u64::MAX, usize::MAX)? {
            model.log.insert(index, written_by(&bytes, index)?);
        }
        for slot in [Slot::Identity, Slot::Vote, Slot::Committed, Slot::Purged] {
            if let Some(bytes) = store.get(slot)? {
                model.slots.insert(slot, written_by(&bytes, 0)?);
            }
        }
        if let Some((meta, bytes)) = store.snapshot()? {
            let n = written_by(&meta, 1)?;
            model.snapshot = (written_by(&bytes, 2)? == n).then_some(n);
        }
        for key in store.copies_of(None)? {
            let bytes = store.copy_get(&key)?.ok_or_else(|| io::Error::other("a copy has no bytes"))?;
            let n = written_by(&bytes, key.seq)?;
            let actor = key.actor.key().parse().map_err(io::Error::other)?;
            model.copies.insert((actor, key.seq), n);
        }
        for actor in store.chunked_actors()?.into_iter().filter(|actor| *actor != large_actor()) {
            for name in store.chunks_of(&actor)? {
                let bytes = store.chunk_get(&actor, &name)?;
                let bytes = bytes.ok_or_else(|| io::Error::other("a chunk has no bytes"))?;
                let part = name.first_chunk().map_or(0, |part| u64::from_be_bytes(*part));
                let of = actor.key().parse().map_err(io::Error::other)?;
                model.chunks.insert((of, part), written_by(&bytes, part)?);
            }
        }
        Ok(model)
    }

    /// Which prefix of the operations, within bounds, a store holds: exactly, nothing less, and nothing more but copies
    /// that were removed and have come back with their bundles. Those are removed again, as a peer does it.
    pub fn locate(store: &dyn Store, seed: u64, at_least: u64, at_most: u64) -> Result<(u64, Self), String> {
        let found = Self::read(store).map_err(|e| e.to_string())?;
        let (mut model, mut removed) = (Self::default(), BTreeMap::new());
        for n in 0..=at_most {
            if n > 0 {
                let operation = model.choose(seed, n);
                if let Operation::Forget(keys) = &operation {
                    removed.extend(keys.iter().map(|key| (*key, model.copies[key])));
                }
                model.apply(n, &operation);
            }
            if n < at_least {
                continue;
            }
            let is_back = |(key, by): &(&(u64, u64), &u64)| {
                !model.copies.contains_key(*key) && removed.get(*key) == Some(*by)
            };
            let back: Vec<_> = found.copies.iter().filter(is_back).map(|(key, by)| (*key, *by)).collect();
            let mut rest = found.clone();
            rest.copies.retain(|key, _| !back.iter().any(|(back, _)| back == key));
            if rest == model {
                let back: Vec<_> = back.into_iter().map(|(key, by)| copy_key(key, by)).collect();
                store.copies_delete(&back).map_err(|e| e.to_string())?;
                return Ok((n, model));
            }
        }
        Err(format!("not the first {at_least} to {at_most} operations, but {found:?}; at the end {model:?}"))
    }
}
