//! Which copies on this disk nothing can name any more, known without looking at the disk.
//!
//! A checkpoint that is committed after another replaces that one. Where the log says that this disk holds it, its name
//! is known from there. A copy that came here is remembered until the log has said so, too: it may never.

use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};

use crate::core::apply::Saved;
use crate::core::command::Checkpoint;
use crate::id::{ActorId, Epoch, RaftId};
use crate::limits::{MAX_SAVES_NOTED, MAX_VERSIONS_NOTED};
use crate::store::CopyKey;

/// What tells a copy from others of its actor.
type Version = (Epoch, u64, [u8; 32]);
/// Each once, in order. Of most actors there is one.
type Versions = SmallVec<[Version; 1]>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outdated {
    /// Copies that came here, and that the log does not name as here yet.
    unconfirmed: HashMap<ActorId, Versions>,
    /// How many those are.
    count: usize,
    /// Copies to be removed.
    dead: VecDeque<CopyKey>,
    /// There was too much to remember, of all or of some.
    is_unsure: bool,
    crowded: BTreeSet<ActorId>,
}

impl Outdated {
    /// Copies are about to be written here.
    pub(super) fn arrive<'a>(&mut self, keys: impl Iterator<Item = &'a CopyKey>) {
        for key in keys {
            let version = (key.epoch, key.seq, key.digest);
            let versions = self.unconfirmed.entry(key.actor.clone()).or_default();
            if let Err(at) = versions.binary_search(&version) {
                versions.insert(at, version);
                self.count += 1;
            }
            if versions.len() > MAX_VERSIONS_NOTED {
                self.count -= versions.len();
                self.unconfirmed.remove(&key.actor);
                self.crowded.insert(key.actor.clone());
            }
            if self.count > MAX_SAVES_NOTED {
                *self = Self { is_unsure: true, ..Self::default() };
            }
        }
    }

    /// A copy was removed, or the log knows of it.
    pub(super) fn forget(&mut self, key: &CopyKey) {
        self.keep(&key.actor, |version| version != (key.epoch, key.seq, key.digest));
    }

    /// A copy is here, and live. If the log names it as here, that is enough.
    pub(super) fn found(&mut self, key: &CopyKey, is_confirmed: bool) {
        if is_confirmed { self.forget(key) } else { self.arrive(std::iter::once(key)) }
    }

    /// An actor's checkpoint was replaced by a newer one; `disk` is this one.
    pub(super) fn replaced(&mut self, Saved { actor, before: (epoch, c), now }: Saved, disk: RaftId) {
        self.settle(&actor, now, disk);
        if c.holders.contains(disk) {
            self.dead.push_back(CopyKey { actor, epoch, seq: c.seq, digest: c.digest });
        }
    }

    /// Of the copies that came here, those older than the newest checkpoint are dead, and that one is confirmed once
    /// the log names this disk.
    fn settle(&mut self, actor: &ActorId, (written, c): (Epoch, Checkpoint), disk: RaftId) {
        let newest = (written, c.seq, c.digest);
        let mut dead = vec![];
        self.keep(actor, |version| {
            if version == newest {
                return !c.holders.contains(disk);
            }
            let (epoch, seq, digest) = version;
            let is_dead = (epoch, seq) <= (written, c.seq);
            if is_dead {
                dead.push(CopyKey { actor: actor.clone(), epoch, seq, digest });
            }
            !is_dead
        });
        self.dead.extend(dead);
    }

    /// Keeps some of the copies of an actor in mind.
    fn keep(&mut self, actor: &ActorId, mut which: impl FnMut(Version) -> bool) {
        let Some(versions) = self.unconfirmed.get_mut(actor) else { return };
        let before = versions.len();
        versions.retain(|version| which(*version));
        self.count -= before - versions.len();
        if versions.is_empty() {
            self.unconfirmed.remove(actor);
        } else if versions.len() < before && versions.spilled() {
            versions.shrink_to_fit();
        }
    }

    /// Takes some of those that are to be removed.
    pub(super) fn take_dead(&mut self, at_most: usize) -> Vec<CopyKey> {
        let some = self.dead.len().min(at_most);
        self.dead.drain(..some).collect()
    }

    /// Actors of which all that is on the disk must be looked at, for once.
    pub(super) fn take_crowded(&mut self) -> BTreeSet<ActorId> {
        std::mem::take(&mut self.crowded)
    }

    /// Whether all that is on the disk must be looked at, for once.
    pub(super) fn take_unsure(&mut self) -> bool {
        std::mem::take(&mut self.is_unsure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::core::disks::Disks;

    const DISK: RaftId = RaftId(7);

    fn id() -> ActorId {
        ActorId::new("k", "a").unwrap()
    }

    fn copy(seq: u64) -> CopyKey {
        CopyKey { actor: id(), epoch: Epoch(1), seq, digest: [seq as u8; 32] }
    }

    fn checkpoint(seq: u64, on: &[u64]) -> Checkpoint {
        let holders: Disks = on.iter().copied().map(RaftId).collect();
        Checkpoint { seq, digest: [seq as u8; 32], length: 10, copies: 2, holders }
    }

    fn replaced(before: u64, on: &[u64], now: u64, now_on: &[u64]) -> Saved {
        let [before, now] = [(before, on), (now, now_on)].map(|(seq, on)| (Epoch(1), checkpoint(seq, on)));
        Saved { actor: id(), before, now }
    }

    fn dead(outdated: &mut Outdated) -> Vec<u64> {
        outdated.take_dead(100).into_iter().map(|key| key.seq).collect()
    }

    #[test]
    fn a_replaced_copy_that_the_log_names_here_is_dead() {
        let mut outdated = Outdated::default();
        outdated.arrive([copy(1), copy(2)].iter());
        outdated.replaced(replaced(0, &[3], 1, &[3, 7]), DISK);
        assert_eq!(
            dead(&mut outdated),
            [0; 0],
            "the old one is on another disk, and the new one is confirmed"
        );
        outdated.replaced(replaced(1, &[3, 7], 2, &[3, 7]), DISK);
        assert_eq!(dead(&mut outdated), [1]);
        assert!(outdated.unconfirmed.is_empty(), "nothing is remembered of what the log knows");
    }

    #[test]
    fn a_copy_that_was_never_confirmed_is_dead_once_a_newer_one_counts() {
        let mut outdated = Outdated::default();
        outdated.arrive([copy(1), copy(2), copy(5)].iter());
        // The log does not know that number 2 is here as well: the answer was lost.
        outdated.replaced(replaced(0, &[3], 2, &[3]), DISK);
        assert_eq!(dead(&mut outdated), [1], "5 may count yet");
        outdated.replaced(replaced(2, &[3], 3, &[3]), DISK);
        assert_eq!(dead(&mut outdated), [2]);
    }

    #[test]
    fn two_copies_of_one_number_are_told_apart_by_their_digests() {
        let mut outdated = Outdated::default();
        let twin = CopyKey { digest: [9; 32], ..copy(1) };
        outdated.arrive([copy(1), twin.clone()].iter());
        outdated.replaced(replaced(0, &[], 1, &[7]), DISK);
        assert_eq!(outdated.take_dead(100), [twin]);
    }

    #[test]
    fn what_is_too_much_to_remember_is_looked_for_on_the_disk() {
        let mut outdated = Outdated::default();
        let many = |n: usize| CopyKey { actor: ActorId::new("k", n.to_string()).unwrap(), ..copy(1) };
        (0..=MAX_SAVES_NOTED).for_each(|n| outdated.arrive([many(n)].iter()));
        assert!(outdated.take_unsure() && !outdated.take_unsure());
        assert!(outdated.unconfirmed.is_empty());
        let mut of_one: Vec<CopyKey> = (0..=MAX_VERSIONS_NOTED as u64).map(copy).collect();
        outdated.arrive(of_one.iter());
        assert!(!outdated.take_unsure() && outdated.count == 0, "one actor has more than its share");
        assert_eq!(outdated.take_crowded(), BTreeSet::from([id()]), "and is looked at alone");
        of_one.pop();
        outdated.arrive(of_one.iter().rev());
        of_one.iter().for_each(|key| outdated.forget(key));
        assert!(outdated.count == 0 && !outdated.take_unsure());
    }
}
