//! Deadlines of calls within one peer. Most of them are far away, and never come: setting a timer for each would cost
//! more than the call. So who waits writes itself down, and one task looks now and then whose time is over.

use slab::Slab;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

use super::shared::{Shared, lock};
use crate::limits::{PATIENCE_SHARDS, PATIENCE_TICK};

/// Who waits, in parts that threads do not share.
pub(crate) struct Patience {
    shards: Box<[Shard]>,
    /// How many ticks there have been.
    now: AtomicU64,
    /// Whether the clock stands still, because nobody waits.
    is_idle: AtomicBool,
    wound: Notify,
}

/// Alone in its lines of the cache.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Slab<Waiting>>);

struct Waiting {
    until: u64,
    waker: Waker,
}

impl Default for Patience {
    fn default() -> Self {
        let shards = (0..PATIENCE_SHARDS).map(|_| Shard::default()).collect();
        Self { shards, now: AtomicU64::new(0), is_idle: AtomicBool::new(true), wound: Notify::new() }
    }
}

impl Patience {
    /// Lets something take so long, rounded up to the next tick but one.
    pub(super) fn limit<F: Future + Unpin>(&self, what: F, deadline: Duration) -> Patient<'_, F> {
        let ticks = deadline.as_nanos().div_ceil(PATIENCE_TICK.as_nanos());
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        let until = self.now.load(Ordering::Relaxed).saturating_add(ticks).saturating_add(1);
        Patient { patience: self, what, until, place: None }
    }

    fn enter(&self, until: u64, task: &Context<'_>) -> Place {
        let at = own_number() % self.shards.len();
        let waiting = Waiting { until, waker: task.waker().clone() };
        let key = lock(&self.shards[at].0).insert(waiting);
        // After the entry, so that a clock that is about to stand still sees either this or that.
        if self.is_idle.load(Ordering::SeqCst) {
            self.wound.notify_one();
        }
        Place { at, key }
    }

    fn update(&self, place: &Place, task: &Context<'_>) {
        if let Some(waiting) = lock(&self.shards[place.at].0).get_mut(place.key) {
            waiting.waker.clone_from(task.waker());
        }
    }

    fn leave(&self, place: &Place) {
        drop(lock(&self.shards[place.at].0).try_remove(place.key));
    }

    /// One tick; whether anybody waits.
    fn tick(&self) -> bool {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut over, mut waits) = (Vec::new(), false);
        for shard in &self.shards {
            let shard = lock(&shard.0);
            waits |= !shard.is_empty();
            over.extend(shard.iter().filter(|(_, w)| w.until <= now).map(|(_, w)| w.waker.clone()));
        }
        over.into_iter().for_each(Waker::wake);
        waits
    }

    fn nobody_waits(&self) -> bool {
        self.shards.iter().all(|shard| lock(&shard.0).is_empty())
    }
}

/// Counts the ticks while anybody waits.
pub(crate) async fn keep_time(shared: Arc<Shared>) {
    let patience = &shared.patience;
    loop {
        patience.is_idle.store(true, Ordering::SeqCst);
        if patience.nobody_waits() {
            patience.wound.notified().await;
        }
        patience.is_idle.store(false, Ordering::SeqCst);
        while {
            tokio::time::sleep(PATIENCE_TICK).await;
            patience.tick()
        } {}
    }
}

/// A number of this thread's own.
fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        OWN.set(Some(own));
        own
    })
}

struct Place {
    at: usize,
    key: usize,
}

/// What somebody waits for, for a limited time.
pub(super) struct Patient<'a, F> {
    patience: &'a Patience,
    what: F,
    until: u64,
    place: Option<Place>,
}

impl<F> Patient<'_, F> {
    /// How much time is left.
    pub(super) fn left(&self) -> Duration {
        let ticks = self.until.saturating_sub(self.patience.now.load(Ordering::Relaxed));
        PATIENCE_TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl<F: Future + Unpin> Future for Patient<'_, F> {
    /// None if the time is over.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Poll::Ready(done) = Pin::new(&mut this.what).poll(task) {
            return Poll::Ready(Some(done));
        }
        match &this.place {
            Some(_) if this.patience.now.load(Ordering::Relaxed) >= this.until => return Poll::Ready(None),
            Some(place) => this.patience.update(place, task),
            None => this.place = Some(this.patience.enter(this.until, task)),
        }
        Poll::Pending
    }
}

impl<F> Drop for Patient<'_, F> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.patience.leave(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;
    use std::future::{pending, ready};

    fn poll<F: Future + Unpin>(patient: &mut Patient<'_, F>) -> Poll<Option<F::Output>> {
        Pin::new(patient).poll(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn what_is_there_needs_no_place_and_what_is_done_leaves_none() {
        let patience = Patience::default();
        assert_eq!(poll(&mut patience.limit(ready(7), Duration::ZERO)), Poll::Ready(Some(7)));
        assert!(patience.nobody_waits());
        let mut waits = patience.limit(pending::<()>(), Duration::from_secs(1));
        assert!(poll(&mut waits).is_pending() && poll(&mut waits).is_pending());
        assert!(patience.tick());
        drop(waits);
        assert!(!patience.tick() && patience.nobody_waits());
    }

    #[test]
    fn a_wait_ends_after_its_deadline_and_at_most_two_ticks_later() {
        let patience = Patience::default();
        let mut waits = patience.limit(pending::<()>(), PATIENCE_TICK * 3);
        assert!(poll(&mut waits).is_pending());
        for _ in 0..3 {
            patience.tick();
            assert!(poll(&mut waits).is_pending());
        }
        patience.tick();
        assert_eq!((poll(&mut waits), waits.left()), (Poll::Ready(None), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken() {
        let patience = Patience::default();
        let ticks = async {
            loop {
                tokio::time::sleep(PATIENCE_TICK).await;
                patience.tick();
            }
        };
        tokio::select! {
            over = patience.limit(pending::<()>(), Duration::from_secs(3)) => assert_eq!(over, None),
            () = ticks => {}
            () = tokio::time::sleep(Duration::from_secs(9)) => panic!("it still waits"),
        }
    }
}
