//! In which order actors are restored: those that somebody waits for come first, and no more than so many at once,
//! of which long ones count as several short ones.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::Mono;
use crate::id::{ActorId, Epoch};

/// One restore to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Of which actor.
    pub actor: ActorId,
    /// Under which activation.
    pub epoch: Epoch,
    /// Since when it is wanted.
    pub since: Mono,
    /// How much room it takes among those that run at once.
    pub weight: usize,
    /// How often it was tried before.
    pub failures: u32,
}

/// All that are wanted, each once: the newest activation of an actor takes an older one's place.
#[derive(Debug)]
pub struct Restores {
    wanted: BTreeMap<ActorId, Wanted>,
    /// May hold names that are not to be begun any more; bounded by what was ever wanted at once.
    hurried: VecDeque<ActorId>,
    others: VecDeque<ActorId>,
    /// The weight of those that run, and how much of it there may be.
    running: usize,
    most: usize,
}

#[derive(Debug)]
struct Wanted {
    restore: Restore,
    is_hurried: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Running,
    /// It failed, and waits before it is tried again.
    Resting,
}

impl Restores {
    /// None so far, and never of more weight than `most` at once, but that one always may run.
    pub fn new(most: usize) -> Self {
        Self { wanted: BTreeMap::new(), hurried: VecDeque::new(), others: VecDeque::new(), running: 0, most }
    }

    /// An actor is to be restored, unless this or a newer activation of it is wanted already.
    pub fn add(&mut self, actor: &ActorId, epoch: Epoch, weight: usize, now: Mono) {
        let before = self.wanted.get(actor);
        if before.is_some_and(|before| before.restore.epoch >= epoch) {
            return;
        }
        let is_hurried = before.is_some_and(|before| before.is_hurried);
        let restore = Restore { actor: actor.clone(), epoch, since: now, weight, failures: 0 };
        self.wanted.insert(actor.clone(), Wanted { restore, is_hurried, stage: Stage::Queued });
        self.queue(actor.clone(), is_hurried);
    }

    /// Whether an actor is to be restored, and is not back yet.
    pub fn is_wanted(&self, actor: &ActorId) -> bool {
        self.wanted.contains_key(actor)
    }

    fn queue(&mut self, actor: ActorId, is_hurried: bool) {
        if is_hurried { &mut self.hurried } else { &mut self.others }.push_back(actor);
    }

    /// Somebody waits for an actor.
    pub fn hurry(&mut self, actor: &ActorId) {
        let Some(wanted) = self.wanted.get_mut(actor).filter(|wanted| !wanted.is_hurried) else { return };
        wanted.is_hurried = true;
        if wanted.stage == Stage::Queued {
            self.hurried.push_back(actor.clone());
        }
    }

    /// The next one to begin, if there is room for it.
    pub fn begin(&mut self) -> Option<Restore> {
        loop {
            let queue = if self.hurried.is_empty() { &mut self.others } else { &mut self.hurried };
            // One that was hurried is in both queues; another may be over.
            let Some(wanted) = self.wanted.get_mut(queue.front()?).filter(|w| w.stage == Stage::Queued)
            else {
                queue.pop_front();
                continue;
            };
            let weight = self.running.saturating_add(wanted.restore.weight);
            if weight > self.most && self.running > 0 {
                return None;
            }
            queue.pop_front();
            wanted.stage = Stage::Running;
            self.running = weight;
            return Some(wanted.restore.clone());
        }
    }

    /// One has ended: it runs, or is not wanted any more.
    pub fn done(&mut self, ended: &Restore) {
        self.running = self.running.saturating_sub(ended.weight);
        if self.wanted.get(&ended.actor).is_some_and(|wanted| wanted.restore.epoch == ended.epoch) {
            self.wanted.remove(&ended.actor);
        }
    }

    /// One has failed, and gives way to others until [`Restores::again`].
    pub fn failed(&mut self, ended: &Restore) {
        self.running = self.running.saturating_sub(ended.weight);
        if let Some(wanted) = self.resting_or_running(ended) {
            wanted.stage = Stage::Resting;
        }
    }

    /// One that has failed is to be tried again.
    pub fn again(&mut self, ended: &Restore) {
        let Some(wanted) = self.resting_or_running(ended) else { return };
        wanted.stage = Stage::Queued;
        wanted.restore.failures = wanted.restore.failures.saturating_add(1);
        let is_hurried = wanted.is_hurried;
        self.queue(ended.actor.clone(), is_hurried);
    }

    fn resting_or_running(&mut self, ended: &Restore) -> Option<&mut Wanted> {
        let wanted = self.wanted.get_mut(&ended.actor);
        wanted.filter(|wanted| wanted.restore.epoch == ended.epoch && wanted.stage != Stage::Queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &str) -> ActorId {
        ActorId::new("k", key).unwrap()
    }

    fn restores(most: usize, keys: &[&str]) -> Restores {
        let mut restores = Restores::new(most);
        keys.iter().for_each(|key| restores.add(&id(key), Epoch(1), 1, Mono(1)));
        restores
    }

    fn begun(restores: &mut Restores) -> Vec<Restore> {
        std::iter::from_fn(|| restores.begin()).collect()
    }

    fn keys(some: &[Restore]) -> Vec<&str> {
        some.iter().map(|restore| restore.actor.key()).collect()
    }

    #[test]
    fn those_that_somebody_waits_for_come_first_and_no_more_than_so_many_at_once() {
        let mut restores = restores(2, &["a", "b", "c", "d", "e"]);
        restores.hurry(&id("d"));
        restores.hurry(&id("d"));
        restores.hurry(&id("unknown"));
        let first = begun(&mut restores);
        assert_eq!(keys(&first), ["d", "a"]);
        restores.hurry(&id("e"));
        assert!(["a", "b"].iter().all(|key| restores.is_wanted(&id(key))));
        restores.done(&first[1]);
        assert!(!restores.is_wanted(&id("a")) && restores.is_wanted(&id("b")));
        let second = begun(&mut restores);
        assert_eq!(keys(&second), ["e"]);
        restores.done(&first[0]);
        restores.done(&second[0]);
        let rest = begun(&mut restores);
        assert_eq!(keys(&rest), ["b", "c"], "nothing is begun twice");
        rest.iter().for_each(|restore| restores.done(restore));
        assert!(begun(&mut restores).is_empty() && restores.wanted.is_empty());
    }

    #[test]
    fn long_ones_count_as_several_short_ones_and_one_that_is_longer_than_all_room_runs_alone() {
        let mut restores = Restores::new(4);
        for (key, weight) in [("a", 1), ("b", 3), ("c", 2), ("d", 1), ("e", 9), ("f", 1)] {
            restores.add(&id(key), Epoch(1), weight, Mono(1));
        }
        let first = begun(&mut restores);
        assert_eq!(keys(&first), ["a", "b"]);
        restores.done(&first[0]);
        assert!(
            begun(&mut restores).is_empty(),
            "a short one behind a long one waits: else that would for ever"
        );
        restores.failed(&first[1]);
        let second = begun(&mut restores);
        assert_eq!(keys(&second), ["c", "d"]);
        second.iter().for_each(|restore| restores.done(restore));
        let third = begun(&mut restores);
        assert_eq!(keys(&third), ["e"]);
        restores.done(&third[0]);
        assert_eq!(keys(&begun(&mut restores)), ["f"]);
    }

    #[test]
    fn one_that_fails_gives_way_and_keeps_its_turn_and_how_often_it_failed() {
        let mut restores = restores(1, &["a", "b"]);
        restores.hurry(&id("a"));
        let a = restores.begin().unwrap();
        restores.failed(&a);
        let b = restores.begin().unwrap();
        restores.again(&a);
        restores.again(&a);
        restores.add(&id("c"), Epoch(1), 1, Mono(2));
        restores.done(&b);
        let a = restores.begin().unwrap();
        assert_eq!((a.actor.key(), a.failures, a.since), ("a", 1, Mono(1)), "it is still waited for");
        restores.done(&a);
        assert_eq!(keys(&begun(&mut restores)), ["c"]);
    }

    #[test]
    fn a_newer_activation_takes_an_older_ones_place() {
        let mut restores = restores(1, &["a"]);
        let old = restores.begin().unwrap();
        restores.add(&id("a"), Epoch(3), 1, Mono(5));
        restores.add(&id("a"), Epoch(2), 1, Mono(6));
        assert_eq!(restores.begin(), None, "one at a time");
        restores.failed(&old);
        restores.again(&old);
        let new = restores.begin().unwrap();
        assert_eq!((new.epoch, new.since, new.failures), (Epoch(3), Mono(5), 0));
        restores.done(&old);
        assert_eq!(restores.wanted.len(), 1, "the end of the old one ends nothing else");
    }
}
