//! When log entries were applied, about: how old a checkpoint is, with no clock that two machines would have to share.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Mono;
use crate::limits::MAX_MOMENTS;

/// Entries that follow each other more closely are remembered as one.
const SPACING: Duration = Duration::from_millis(50);

/// How long ago entries were applied, oldest first, in milliseconds: what a peer tells another of its [`History`].
pub type Told = Vec<(u64, u64)>;

/// Moments of a peer's log, dense where they are new and sparse where they are old.
#[derive(Debug, Default)]
pub struct History {
    is_member: bool,
    /// A log index and when it was applied, on this machine's clock in milliseconds. Negative: before it was started.
    moments: VecDeque<(u64, i64)>,
}

fn millis(at: Mono) -> i64 {
    i64::try_from(at.0 / 1_000_000).unwrap_or(i64::MAX)
}

impl History {
    /// This process is a member since log index `since`. What was before it only knows from who let it in.
    pub fn begin(&mut self, since: u64, told: &[(u64, u64)], now: Mono) {
        self.is_member = true;
        let now = millis(now);
        let ago = |(index, ago): &(u64, u64)| (*index, now.saturating_sub_unsigned(*ago));
        self.moments = told.iter().take(MAX_MOMENTS).map(ago).collect();
        if !self.moments.iter().is_sorted() {
            self.moments.clear();
        }
        self.push(since, now);
    }

    /// All entries up to this one are applied. Before it is a member, a process applies what is old.
    pub fn note(&mut self, index: u64, now: Mono) {
        if self.is_member {
            self.push(index, millis(now));
        }
    }

    fn push(&mut self, index: u64, at: i64) {
        let (newest, before) = (self.moments.back().copied(), self.moments.iter().nth_back(1).copied());
        if newest.is_some_and(|(newest, _)| newest >= index) {
            return;
        }
        // The newest one of all is kept in any case, so it may be close to the one before.
        let is_close = |(_, then): (u64, i64)| at.saturating_sub(then) < SPACING.as_millis() as i64;
        if newest.is_some() && before.is_some_and(is_close) {
            self.moments.pop_back();
        }
        self.moments.push_back((index, at));
        if self.moments.len() > MAX_MOMENTS {
            self.thin();
        }
    }

    /// The moment goes without which the error, as a part of the age, grows the least.
    fn thin(&mut self) {
        let now = self.moments.back().map_or(0, |(_, at)| *at);
        let error = |place: &usize| {
            let moment = |place: usize| self.moments.get(place).map_or(now, |(_, at)| *at);
            let (before, after) = (moment(place - 1), moment(place + 1));
            i128::from(after.saturating_sub(before)) * (1 << 40)
                / i128::from(now.saturating_sub(before).max(1))
        };
        let inner = 1..self.moments.len().saturating_sub(1);
        if let Some(place) = inner.min_by_key(error) {
            self.moments.remove(place);
        }
    }

    /// How long ago an entry was applied, as far as that is known: a little less than in truth.
    pub fn age(&self, index: u64, now: Mono) -> Option<Duration> {
        let after = self.moments.partition_point(|(known, _)| *known < index);
        // Of entries before the first moment nothing is known but that they are older.
        let (_, at) = self.moments.get(after).filter(|_| after > 0)?;
        Some(Duration::from_millis(millis(now).saturating_sub(*at).try_into().unwrap_or(0)))
    }

    /// For a process that becomes a member now.
    pub fn tell(&self, now: Mono) -> Told {
        let ago =
            |(index, at): &(u64, i64)| (*index, millis(now).saturating_sub(*at).try_into().unwrap_or(0));
        self.moments.iter().map(ago).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn ms(age: Option<Duration>) -> Option<u64> {
        age.map(|age| u64::try_from(age.as_millis()).unwrap())
    }

    /// An entry each `step` milliseconds, from 1 on.
    fn steady(entries: u64, step: u64) -> History {
        let mut history = History::default();
        history.begin(0, &[], at(0));
        (1..=entries).for_each(|index| history.note(index, at(index * step)));
        history
    }

    #[test]
    fn ages_are_right_within_a_twentieth_after_hours_and_memory_is_bounded() {
        let (entries, step) = (100_000, 400);
        let history = steady(entries, step);
        assert!(history.moments.len() <= MAX_MOMENTS);
        for index in (1..=entries).step_by(37) {
            let age = ms(history.age(index, at(entries * step))).unwrap();
            let truth = (entries - index) * step;
            assert!(age <= truth && truth - age <= 100 + truth / 20, "{index}: {age} ms instead of {truth}");
        }
    }

    #[test]
    fn the_newest_entry_of_all_grows_old_although_nothing_follows() {
        let history = steady(100, 1);
        assert_eq!(ms(history.age(100, at(3_600_000))), Some(3_600_000 - 100));
        assert_eq!(history.age(101, at(3_600_000)), None, "it is not applied yet");
    }

    #[test]
    fn a_new_member_knows_what_it_is_told_and_nothing_of_what_was_before() {
        let leader = steady(1000, 100);
        let mut joiner = History::default();
        // Its machine was started a moment ago, and it has applied the whole log at once.
        joiner.note(1000, at(7));
        joiner.begin(1001, &leader.tell(at(200_000)), at(10));
        assert_eq!(ms(joiner.age(500, at(20))), ms(leader.age(500, at(200_010))));
        let mut alone = History::default();
        alone.begin(1001, &[], at(10));
        assert_eq!(alone.age(500, at(20)), None);
        alone.note(1002, at(30));
        assert_eq!(ms(alone.age(1002, at(50))), Some(20));
    }

    #[test]
    fn nonsense_is_not_believed() {
        let mut history = History::default();
        history.begin(9, &[(5, 10), (4, 20), (u64::MAX, u64::MAX)], at(10));
        assert_eq!(history.moments.len(), 1);
    }
}
