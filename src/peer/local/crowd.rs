//! Which local actors run, so that there are not too many, and all of them end with the peer.

use slab::Slab;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::AbortHandle;

use super::SpawnError;
use crate::error::Reason;
use crate::limits::{LOCAL_ACTORS_GRANTED, LOCAL_SHARDS, MAX_LOCAL_ACTORS};
use crate::peer::shared::lock;
use crate::task::own_number;

/// Their tasks, in parts that threads do not share.
pub(crate) struct Crowd {
    shards: [Shard; LOCAL_SHARDS],
    /// How many may be in all parts together, as granted to them.
    granted: AtomicUsize,
}

/// Alone in its lines of the cache.
#[repr(align(128))]
struct Shard(Mutex<Tasks>);

struct Tasks {
    /// None once all were ended.
    all: Option<Slab<Task>>,
    /// How many there have been.
    number: u64,
    /// How many more there may be, before more are asked for.
    free: usize,
}

struct Task {
    number: u64,
    /// None until it was begun.
    end: Option<AbortHandle>,
}

/// Where one of them is written down.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    shard: usize,
    key: usize,
    number: u64,
}

impl Default for Crowd {
    fn default() -> Self {
        let shard = |_| Shard(Mutex::new(Tasks { all: Some(Slab::new()), number: 0, free: 0 }));
        Self { shards: std::array::from_fn(shard), granted: AtomicUsize::new(0) }
    }
}

impl Crowd {
    /// Lets one more in, if there is room. It must [leave](Crowd::leave) its seat.
    pub(super) fn enter(&self) -> Result<Seat, SpawnError> {
        let shard = own_number() % LOCAL_SHARDS;
        let tasks = &mut *lock(&self.shards[shard].0);
        tasks.number += 1;
        let number = tasks.number;
        if tasks.free == 0 {
            tasks.free = self.grant().ok_or(SpawnError::TooMany)?;
        }
        let Some(all) = &mut tasks.all else { return Err(SpawnError::Over(Reason::Shutdown)) };
        tasks.free -= 1;
        Ok(Seat { shard, key: all.insert(Task { number, end: None }), number })
    }

    /// Some at a time: threads would wait for each other at a count that all of them change.
    fn grant(&self) -> Option<usize> {
        let more = |granted: usize| {
            let more = granted + LOCAL_ACTORS_GRANTED;
            (more <= MAX_LOCAL_ACTORS).then_some(more)
        };
        let granted = self.granted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        granted.is_ok().then_some(LOCAL_ACTORS_GRANTED)
    }

    /// Nothing was locked while it was begun: a runtime that shuts down lets it leave at once.
    pub(super) fn begun(&self, seat: Seat, end: AbortHandle) {
        let mut tasks = lock(&self.shards[seat.shard].0);
        match &mut tasks.all {
            Some(all) => {
                // It may have left already, and another may sit there.
                if let Some(task) = all.get_mut(seat.key).filter(|task| task.number == seat.number) {
                    task.end = Some(end);
                }
            }
            None => {
                drop(tasks);
                end.abort();
            }
        }
    }

    pub(super) fn leave(&self, seat: Seat) {
        let mut tasks = lock(&self.shards[seat.shard].0);
        tasks.free += 1;
        if tasks.free >= 2 * LOCAL_ACTORS_GRANTED {
            tasks.free -= LOCAL_ACTORS_GRANTED;
            self.granted.fetch_sub(LOCAL_ACTORS_GRANTED, Ordering::Relaxed);
        }
        let left = tasks.all.as_mut().and_then(|all| all.try_remove(seat.key));
        drop(tasks);
        drop(left);
    }

    /// Ends all, in the middle of a message if need be, and lets nobody in again.
    pub(crate) fn end(&self) {
        for shard in &self.shards {
            let all = lock(&shard.0).all.take();
            all.into_iter().flatten().filter_map(|(_, task)| task.end).for_each(|end| end.abort());
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let of = |shard: &Shard| lock(&shard.0).all.as_ref().map_or(0, Slab::len);
        self.shards.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn there_is_an_end_to_how_many_there_are() {
        let crowd = Crowd::default();
        for _ in 0..3 {
            let all: Vec<_> = (0..MAX_LOCAL_ACTORS).map(|_| crowd.enter().unwrap()).collect();
            assert_eq!(crowd.enter().err(), Some(SpawnError::TooMany));
            crowd.leave(all[0]);
            crowd.enter().unwrap();
            assert_eq!(crowd.enter().err(), Some(SpawnError::TooMany));
            all.into_iter().for_each(|seat| crowd.leave(seat));
            assert!(crowd.granted.load(Ordering::Relaxed) <= 2 * LOCAL_ACTORS_GRANTED);
        }
        crowd.end();
        assert_eq!(crowd.enter().err(), Some(SpawnError::Over(Reason::Shutdown)));
    }

    #[tokio::test]
    async fn a_seat_that_was_left_is_not_told_of_who_sat_there() {
        let crowd = Crowd::default();
        let (one, other) =
            (tokio::spawn(std::future::pending::<()>()), tokio::spawn(std::future::pending::<()>()));
        let before = crowd.enter().unwrap();
        crowd.leave(before);
        let seat = crowd.enter().unwrap();
        assert_eq!((seat.shard, seat.key), (before.shard, before.key));
        crowd.begun(seat, other.abort_handle());
        crowd.begun(before, one.abort_handle());
        crowd.end();
        let ended = tokio::time::timeout(Duration::from_secs(20), other).await.expect("it goes on");
        assert!(ended.unwrap_err().is_cancelled() && !one.is_finished());
        // One that is begun while all are ended ends as well.
        crowd.begun(before, one.abort_handle());
        assert!(one.await.unwrap_err().is_cancelled());
    }
}
