//! Where short copies lie, and which bundles hold few that still count. In memory: it is made anew when the store is
//! opened.

use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use crate::id::ActorId;
use crate::limits::{BUNDLE_WASTE, BUNDLE_WASTE_BYTES};
use crate::store::CopyKey;

/// A copy in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) bundle: u64,
    pub(super) slot: u16,
}

/// What tells a copy from others of its actor: epoch, number, and the first bytes of the digest.
type Version = (u64, u64, u64);

fn version(key: &CopyKey) -> Version {
    let [a, b, c, d, e, f, g, h, ..] = key.digest;
    (key.epoch.0, key.seq, u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// Which copy it is, and where.
#[derive(Clone, Copy)]
struct Found {
    version: Version,
    place: Place,
    length: u16,
}

/// How much a bundle holds, and how much of that counts.
#[derive(Default)]
struct Filling {
    bytes: u32,
    live: u32,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    hasher: RandomState,
    /// By a hash of the actor's name.
    copies: HashMap<u64, SmallVec<[Found; 1]>>,
    bundles: HashMap<u64, Filling>,
    /// Of all bundles.
    total: (u64, u64),
    /// Those of which little counts, and those of which nothing does.
    sparse: BTreeSet<u64>,
    empty: Vec<u64>,
    next: u64,
    /// Some bundles could not be read.
    pub(super) is_torn: bool,
}

impl Index {
    /// Numbers for so many new bundles.
    pub(super) fn take_numbers(&mut self, count: u64) -> Range<u64> {
        let first = self.next;
        self.next += count;
        first..self.next
    }

    /// Does not use a number, nor any before it, for a new bundle.
    pub(super) fn is_used(&mut self, number: u64) {
        self.next = self.next.max(number.saturating_add(1));
    }

    /// A copy is in this place, and counts no more where it was before.
    pub(super) fn insert(&mut self, key: &CopyKey, place: Place, length: u32) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let found = Found { version: version(key), place, length };
        let filling = self.bundles.entry(place.bundle).or_default();
        filling.bytes += u32::from(found.length);
        filling.live += u32::from(found.length);
        self.total.0 += u64::from(found.length);
        self.total.1 += u64::from(found.length);
        let hash = self.hasher.hash_one(&key.actor);
        let versions = self.copies.entry(hash).or_default();
        match versions.iter_mut().find(|other| other.version == found.version) {
            Some(other) => {
                let before = std::mem::replace(other, found);
                self.release(before);
            }
            None => versions.push(found),
        }
    }

    /// A copy counts no more. Whether it was in a bundle.
    pub(super) fn remove(&mut self, key: &CopyKey) -> bool {
        let wanted = version(key);
        let hash = self.hasher.hash_one(&key.actor);
        let Some(versions) = self.copies.get_mut(&hash) else { return false };
        let Some(at) = versions.iter().position(|found| found.version == wanted) else { return false };
        let before = versions.swap_remove(at);
        if versions.is_empty() {
            self.copies.remove(&hash);
        } else if versions.len() == 1 {
            versions.shrink_to_fit();
        }
        self.release(before);
        true
    }

    fn release(&mut self, Found { place: Place { bundle, .. }, length, .. }: Found) {
        let Some(filling) = self.bundles.get_mut(&bundle) else { return };
        filling.live -= u32::from(length);
        self.total.1 -= u64::from(length);
        if filling.live == 0 {
            self.total.0 -= u64::from(filling.bytes);
            self.bundles.remove(&bundle);
            self.sparse.remove(&bundle);
            self.empty.push(bundle);
        } else if filling.live * BUNDLE_WASTE <= filling.bytes {
            self.sparse.insert(bundle);
        }
    }

    /// Where a copy is.
    pub(super) fn place(&self, key: &CopyKey) -> Option<Place> {
        let wanted = version(key);
        let versions = self.copies.get(&self.hasher.hash_one(&key.actor))?;
        versions.iter().find(|found| found.version == wanted).map(|found| found.place)
    }

    /// In which bundles the copies of some actors are, or all copies, and where there. Some may be others' of the same
    /// hash.
    pub(super) fn slots_of(&self, actors: Option<&[&ActorId]>) -> BTreeMap<u64, BTreeSet<u16>> {
        let mut slots: BTreeMap<u64, BTreeSet<u16>> = BTreeMap::new();
        let mut add = |found: &Found| {
            slots.entry(found.place.bundle).or_default().insert(found.place.slot);
        };
        match actors {
            None => self.copies.values().flatten().for_each(&mut add),
            Some(actors) => {
                let versions = |actor: &&ActorId| self.copies.get(&self.hasher.hash_one(*actor));
                actors.iter().filter_map(versions).flatten().for_each(&mut add);
            }
        }
        slots
    }

    /// Bundles that hold nothing any more, to be removed. Each is named once.
    pub(super) fn take_empty(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.empty)
    }

    /// Some bundles of which so little counts that the rest of them is to be written again, elsewhere: if all of them
    /// together hold much more than counts.
    pub(super) fn take_sparse(&mut self, at_most: usize) -> Vec<u64> {
        let (bytes, live) = self.total;
        let mut taken = vec![];
        if bytes > live.saturating_mul(u64::from(BUNDLE_WASTE)).saturating_add(BUNDLE_WASTE_BYTES) {
            while taken.len() < at_most
                && let Some(number) = self.sparse.pop_first()
            {
                taken.push(number);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::copy;

    fn at(bundle: u64, slot: u16) -> Place {
        Place { bundle, slot }
    }

    #[test]
    fn a_copy_is_where_it_was_put_last_and_nowhere_once_it_is_removed() {
        let mut index = Index::default();
        let twin = CopyKey { digest: [9; 32], ..copy("a", 1) };
        index.insert(&copy("a", 1), at(0, 0), 100);
        index.insert(&twin, at(0, 1), 100);
        index.insert(&copy("b", 1), at(0, 2), 100);
        index.insert(&copy("a", 1), at(1, 0), 100);
        assert_eq!(
            [copy("a", 1), twin.clone()].map(|key| index.place(&key)),
            [Some(at(1, 0)), Some(at(0, 1))]
        );
        let (a, c) = (copy("a", 0).actor, copy("c", 0).actor);
        assert_eq!(index.slots_of(Some(&[&a, &c])), BTreeMap::from([(0, [1].into()), (1, [0].into())]));
        assert_eq!(index.slots_of(None).values().map(BTreeSet::len).sum::<usize>(), 3);
        assert!(index.remove(&twin) && !index.remove(&twin) && !index.remove(&copy("a", 2)));
        assert_eq!((index.place(&twin), index.take_empty()), (None, vec![]));
        assert!(index.remove(&copy("b", 1)));
        assert_eq!((index.take_empty(), index.take_empty()), (vec![0], vec![]));
        assert!(index.remove(&copy("a", 1)));
        assert_eq!((index.take_empty(), index.total, index.copies.len()), (vec![1], (0, 0), 0));
    }

    #[test]
    fn sparse_bundles_are_named_only_when_all_of_them_together_hold_too_much_that_does_not_count() {
        let mut index = Index::default();
        let bundles = 2 * BUNDLE_WASTE_BYTES / 4000;
        let key = |bundle: u64, slot: u64| copy(&format!("{bundle}"), slot);
        for bundle in 0..bundles {
            (0..4).for_each(|slot| index.insert(&key(bundle, slot), at(bundle, slot as u16), 1000));
        }
        let mut named = vec![];
        for bundle in 0..bundles {
            let kept = if bundle % 2 == 0 { 0 } else { 1 };
            (kept..4).for_each(|slot| assert!(index.remove(&key(bundle, slot))));
            named.extend(index.take_sparse(2));
        }
        assert_eq!(named, [], "the empty ones are gone, and the others hold four times as much as counts");
        let mut index = Index::default();
        for bundle in 0..bundles {
            (0..9).for_each(|slot| index.insert(&key(bundle, slot), at(bundle, slot as u16), 1000));
            (1..9).for_each(|slot| assert!(index.remove(&key(bundle, slot))));
            for number in index.take_sparse(2) {
                index.insert(&key(number, 0), at(bundles, 0), 1000);
                named.push(number);
            }
            let (bytes, live) = index.total;
            assert!(bytes <= live * u64::from(BUNDLE_WASTE) + BUNDLE_WASTE_BYTES);
        }
        assert!(!named.is_empty() && named.len() < bundles as usize, "{} of {bundles}", named.len());
        assert!(index.take_empty() == named && named.is_sorted(), "the oldest first, and each once");
    }

    #[test]
    fn a_number_is_used_once() {
        let mut index = Index::default();
        index.is_used(7);
        index.is_used(3);
        assert_eq!((index.take_numbers(2), index.take_numbers(1)), (8..10, 10..11));
    }
}
