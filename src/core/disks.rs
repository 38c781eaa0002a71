//! A few disks, without a piece of memory of their own: there is a set of them for every checkpoint.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use std::fmt;

use crate::id::RaftId;
use crate::limits::MAX_MEMBERS;

/// More lie elsewhere in memory.
const USUAL: usize = 4;

/// A set of disks, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disks(SmallVec<[RaftId; USUAL]>);

impl Disks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a disk is among them.
    pub fn contains(&self, disk: RaftId) -> bool {
        self.0.contains(&disk)
    }

    /// Adds a disk. Whether it is new.
    pub fn insert(&mut self, disk: RaftId) -> bool {
        match self.0.binary_search(&disk) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, disk);
                true
            }
        }
    }

    /// Takes a disk out. Whether it was there.
    pub fn remove(&mut self, disk: RaftId) -> bool {
        let before = self.len();
        self.retain(|other| other != disk);
        self.len() < before
    }

    /// Keeps some of them.
    pub fn retain(&mut self, which: impl Fn(RaftId) -> bool) {
        self.0.retain(|disk| which(*disk));
    }

    /// The one with the lowest number.
    pub fn first(&self) -> Option<RaftId> {
        self.0.first().copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RaftId> + Clone + '_ {
        self.0.iter().copied()
    }
}

impl Extend<RaftId> for Disks {
    fn extend<I: IntoIterator<Item = RaftId>>(&mut self, disks: I) {
        for disk in disks {
            self.insert(disk);
        }
    }
}

impl FromIterator<RaftId> for Disks {
    fn from_iter<I: IntoIterator<Item = RaftId>>(disks: I) -> Self {
        let mut all = Self::new();
        all.extend(disks);
        all
    }
}

impl IntoIterator for Disks {
    type Item = RaftId;
    type IntoIter = smallvec::IntoIter<[RaftId; USUAL]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<const N: usize> From<[RaftId; N]> for Disks {
    fn from(disks: [RaftId; N]) -> Self {
        disks.into_iter().collect()
    }
}

/// A sequence of numbers.
impl Serialize for Disks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Disks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Numbers)
    }
}

struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = Disks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers of disks")
    }

    /// As many as there are, whatever their announced number is; no more than there can be.
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Disks, A::Error> {
        let mut all = Disks::new();
        while let Some(disk) = numbers.next_element()? {
            all.insert(disk);
            if all.len() > MAX_MEMBERS {
                return Err(A::Error::custom("more disks than a cluster has"));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;
    use std::collections::BTreeSet;

    #[test]
    fn they_are_a_set_in_order_also_as_bytes() {
        let mut rng = Prng::new(3);
        let (mut plain, mut disks) = (BTreeSet::new(), Disks::new());
        for _ in 0..2_000 {
            let disk = RaftId(rng.below(9));
            if rng.chance(55) {
                assert_eq!(disks.insert(disk), plain.insert(disk));
            } else {
                assert_eq!(disks.remove(disk), plain.remove(&disk));
            }
            assert_eq!(disks.contains(RaftId(4)), plain.contains(&RaftId(4)));
            assert_eq!((disks.first(), disks.len()), (plain.first().copied(), plain.len()));
            assert!(disks.iter().eq(plain.iter().copied()));
            let bytes = rmp_serde::to_vec(&disks).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec(&plain).unwrap());
            assert_eq!(rmp_serde::from_slice::<Disks>(&bytes).unwrap(), disks);
        }
    }

    #[test]
    fn what_a_frame_holds_twice_or_in_another_order_is_put_right() {
        let frame = rmp_serde::to_vec(&[5, 1, 5, 3, 9, 1]).unwrap();
        let disks: Disks = rmp_serde::from_slice(&frame).unwrap();
        assert!(disks.iter().eq([1, 3, 5, 9].map(RaftId)));
    }

    #[test]
    fn a_frame_full_of_numbers_leaves_nothing_behind() {
        let same = rmp_serde::to_vec(&vec![7; 100_000]).unwrap();
        let disks: Disks = rmp_serde::from_slice(&same).unwrap();
        assert_eq!((disks.len(), disks.0.spilled()), (1, false));
        let distinct = |n: usize| rmp_serde::to_vec(&(0..n).collect::<Vec<_>>()).unwrap();
        assert_eq!(rmp_serde::from_slice::<Disks>(&distinct(MAX_MEMBERS)).unwrap().len(), MAX_MEMBERS);
        assert!(rmp_serde::from_slice::<Disks>(&distinct(MAX_MEMBERS + 1)).is_err());
    }
}
