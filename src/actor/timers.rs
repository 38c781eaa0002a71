//! Messages that an actor sends to itself later.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mono;
use crate::limits::{MAX_TIMER_BYTES, MAX_TIMERS};

/// Names one timer of one actor, as long as it has not fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId(u64);

/// Why a timer was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The actor has [`MAX_TIMERS`] timers, or theirs and this message take more than [`MAX_TIMER_BYTES`].
    #[error("too many timers; wait for some, or cancel them")]
    Full,
    /// The kind keeps no checkpoints, so that nothing could make the timer survive.
    #[error("the kind keeps no checkpoints")]
    NoCheckpoints,
    /// The kind was registered without this message: a restored timer could not be read.
    #[error("the kind handles no message {0}; register it with the kind")]
    NotHandled(&'static str),
    /// The message cannot be encoded.
    #[error("encoding: {0}")]
    Codec(String),
}

/// A message and its moment.
#[derive(Debug, Clone)]
struct Timer {
    at: Mono,
    name: String,
    payload: Vec<u8>,
    durable: bool,
}

/// What a checkpoint holds of a timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedTimer {
    id: u64,
    left: Duration,
    name: String,
    payload: ByteBuf,
}

/// The timers that a checkpoint holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedTimers {
    newest: u64,
    timers: Vec<SavedTimer>,
}

/// The timers of one activation.
#[derive(Debug, Default)]
pub(super) struct Timers {
    newest: u64,
    timers: BTreeMap<u64, Timer>,
    /// The first that fires.
    next: Option<(Mono, u64)>,
    bytes: usize,
}

impl Timers {
    /// Those that a checkpoint held; the time in which the actor ran nowhere does not count.
    pub(super) fn restored(saved: SavedTimers, now: Mono) -> Self {
        let mut timers = Self { newest: saved.newest, ..Self::default() };
        for SavedTimer { id, left, name, payload } in saved.timers {
            timers.insert(id, Timer { at: now + left, name, payload: payload.into_vec(), durable: true });
        }
        timers
    }

    pub(super) fn set(
        &mut self,
        at: Mono,
        name: &str,
        payload: Vec<u8>,
        durable: bool,
    ) -> Result<TimerId, ScheduleError> {
        let bytes = self.bytes.saturating_add(payload.len());
        if self.timers.len() >= MAX_TIMERS || bytes > MAX_TIMER_BYTES {
            return Err(ScheduleError::Full);
        }
        self.newest += 1;
        self.insert(self.newest, Timer { at, name: name.to_owned(), payload, durable });
        Ok(TimerId(self.newest))
    }

    fn insert(&mut self, id: u64, timer: Timer) {
        self.next = self.next.into_iter().chain([(timer.at, id)]).min();
        self.bytes = self.bytes.saturating_add(timer.payload.len());
        self.timers.insert(id, timer);
    }

    /// Whether it had not fired yet.
    pub(super) fn cancel(&mut self, TimerId(id): TimerId) -> bool {
        let Some(timer) = self.timers.remove(&id) else { return false };
        self.bytes = self.bytes.saturating_sub(timer.payload.len());
        if self.next.is_some_and(|(_, first)| first == id) {
            self.next = self.timers.iter().map(|(id, timer)| (timer.at, *id)).min();
        }
        true
    }

    pub(super) fn fires_at(&self) -> Option<Mono> {
        self.next.map(|(at, _)| at)
    }

    /// The first message whose time has come: its name, what it says.
    pub(super) fn fire(&mut self, now: Mono) -> Option<(String, Vec<u8>)> {
        let (_, id) = self.next.filter(|(at, _)| *at <= now)?;
        let timer = self.timers.get(&id).cloned()?;
        self.cancel(TimerId(id));
        Some((timer.name, timer.payload))
    }

    /// Whether a checkpoint has nothing to hold.
    pub(super) fn is_empty(&self) -> bool {
        self.newest == 0
    }

    pub(super) fn save(&self, now: Mono) -> SavedTimers {
        let durable = self.timers.iter().filter(|(_, timer)| timer.durable);
        let timers = durable.map(|(id, timer)| SavedTimer {
            id: *id,
            left: timer.at.since(now),
            name: timer.name.clone(),
            payload: ByteBuf::from(timer.payload.clone()),
        });
        SavedTimers { newest: self.newest, timers: timers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn set(timers: &mut Timers, at: Mono, name: &str, durable: bool) -> TimerId {
        timers.set(at, name, vec![7], durable).unwrap()
    }

    #[test]
    fn timers_fire_in_the_order_of_their_moments_and_cancelled_ones_do_not() {
        let (mut timers, now) = (Timers::default(), Mono(1 << 40));
        set(&mut timers, now + SECOND * 3, "c", false);
        let early = set(&mut timers, now + SECOND, "a", true);
        set(&mut timers, now + SECOND * 2, "b", false);
        assert_eq!(timers.fires_at(), Some(now + SECOND));
        assert!(timers.cancel(early) && !timers.cancel(early));
        assert_eq!(timers.fires_at(), Some(now + SECOND * 2));
        assert_eq!(timers.fire(now + SECOND), None);
        let late = now + SECOND * 9;
        assert_eq!(timers.fire(late).unwrap().0, "b");
        assert_eq!(timers.fire(late).unwrap().0, "c");
        assert_eq!((timers.fire(late), timers.fires_at()), (None, None));
    }

    #[test]
    fn a_checkpoint_holds_durable_ones_with_the_time_that_was_left() {
        let (mut timers, now) = (Timers::default(), Mono(1 << 40));
        assert!(timers.is_empty());
        set(&mut timers, now + SECOND * 3, "durable", true);
        set(&mut timers, now + SECOND, "not", false);
        let saved = rmp_serde::to_vec(&timers.save(now + SECOND)).unwrap();
        let later = Mono(5);
        let mut again = Timers::restored(rmp_serde::from_slice(&saved).unwrap(), later);
        assert_eq!(again.fires_at(), Some(later + SECOND * 2));
        let new = set(&mut again, later, "new", true);
        assert_ne!(new, TimerId(2), "a name of the old activation is not given again");
        assert_eq!(again.fire(later + SECOND * 2).unwrap(), ("new".to_owned(), vec![7]));
        assert_eq!(again.fire(later + SECOND * 2).unwrap().0, "durable");
    }

    #[test]
    fn there_are_never_more_than_the_bounds_allow() {
        let mut timers = Timers::default();
        for _ in 0..MAX_TIMERS {
            set(&mut timers, Mono(9), "x", true);
        }
        assert_eq!(timers.set(Mono(9), "x", vec![], true), Err(ScheduleError::Full));
        while timers.fire(Mono(9)).is_some() {}
        let large = vec![0; MAX_TIMER_BYTES];
        timers.set(Mono(9), "x", large, true).unwrap();
        assert_eq!(timers.set(Mono(9), "x", vec![1], true), Err(ScheduleError::Full));
    }
}
