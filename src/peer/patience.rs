//! Deadlines of calls within one peer. Most of them are far away, and never come: setting a timer for each would cost
//! more than the call. So who waits writes itself down, and one task looks now and then whose time is over.

use slab::Slab;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

use super::shared::{Shared, lock};
use crate::limits::{PATIENCE_SHARDS, PATIENCE_TICK, PLACES_KEPT};
use crate::task::own_number;

const TICK_NANOS: u64 = PATIENCE_TICK.as_nanos() as u64;
/// `until` of a place where nobody waits.
const NEVER: u64 = u64::MAX;

/// Who waits, in parts that threads do not share.
pub(crate) struct Patience {
    shards: Arc<[Shard]>,
    /// How many ticks there have been.
    now: AtomicU64,
    /// Whether the clock stands still, because nobody waits.
    is_idle: AtomicBool,
    wound: Notify,
}

/// Alone in its lines of the cache.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Slab<Arc<Place>>>);

struct Place {
    /// The tick at which the wait is over.
    until: AtomicU64,
    waker: Mutex<Waker>,
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
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        let ticks = nanos.div_ceil(TICK_NANOS);
        let until = self.now.load(Ordering::Relaxed).saturating_add(ticks).saturating_add(1).min(NEVER - 1);
        Patient { patience: self, what, until, seat: None }
    }

    #[inline]
    fn enter(&self, until: u64, waker: &Waker) -> Box<Seat> {
        let seat = match LEFT.take() {
            Some(mut seat) if seat.is_of(self) => {
                LEFT.set(seat.next.take());
                seat.wake(waker);
                // In one order with what the clock does before it stands still, as below.
                seat.place.until.swap(until, Ordering::SeqCst);
                seat
            }
            _ => Box::new(Seat::new(self, until, waker)),
        };
        // After the entry, so that a clock that is about to stand still sees either this or that.
        if self.is_idle.load(Ordering::SeqCst) {
            self.wound.notify_one();
        }
        seat
    }

    /// One tick; whether anybody waits.
    fn tick(&self) -> bool {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut over, mut waits) = (Vec::new(), false);
        for shard in &*self.shards {
            for (_, place) in &*lock(&shard.0) {
                let until = place.until.load(Ordering::SeqCst);
                waits |= until != NEVER;
                if until <= now {
                    over.push(lock(&place.waker).clone());
                }
            }
        }
        over.into_iter().for_each(Waker::wake);
        waits
    }

    fn nobody_waits(&self) -> bool {
        let is_free = |(_, place): (usize, &Arc<Place>)| place.until.load(Ordering::SeqCst) == NEVER;
        self.shards.iter().all(|shard| lock(&shard.0).iter().all(is_free))
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

thread_local! {
    /// The places that were left last on this thread. Most often the same task waits there next, and nothing has to be
    /// told to others but until when.
    static LEFT: Cell<Option<Box<Seat>>> = const { Cell::new(None) };
}

/// The right to a place. Dropped, it ends that.
struct Seat {
    list: Weak<[Shard]>,
    at: usize,
    key: usize,
    place: Arc<Place>,
    /// Whom it wakes. The place holds that waker, so nobody else comes to have the same address meanwhile.
    wakes: [usize; 2],
    /// Of those that were left on a thread: which one before, and how many with this one.
    next: Option<Box<Seat>>,
    depth: usize,
}

impl Seat {
    fn new(patience: &Patience, until: u64, waker: &Waker) -> Self {
        let at = own_number() % patience.shards.len();
        let place = Place { until: AtomicU64::new(until), waker: Mutex::new(waker.clone()) };
        let place = Arc::new(place);
        let key = lock(&patience.shards[at].0).insert(place.clone());
        Self {
            list: Arc::downgrade(&patience.shards),
            at,
            key,
            place,
            wakes: address(waker),
            next: None,
            depth: 0,
        }
    }

    #[inline]
    fn is_of(&self, patience: &Patience) -> bool {
        std::ptr::addr_eq(self.list.as_ptr(), Arc::as_ptr(&patience.shards))
    }

    fn wake(&mut self, waker: &Waker) {
        let address = address(waker);
        if self.wakes != address {
            self.wakes = address;
            // What ends with the old one ends when nothing is locked any more.
            let old = std::mem::replace(&mut *lock(&self.place.waker), waker.clone());
            drop(old);
        }
    }

    /// Nobody waits here any more.
    #[inline]
    fn leave(mut self: Box<Self>) {
        self.place.until.store(NEVER, Ordering::Release);
        // A thread that ends keeps none.
        drop(LEFT.try_with(|left| {
            self.next = left.take();
            self.depth = self.next.as_ref().map_or(1, |next| next.depth + 1);
            if self.depth > PLACES_KEPT {
                left.set(self.next.take());
                return Some(self);
            }
            left.set(Some(self));
            None
        }));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(list) = self.list.upgrade() {
            drop(lock(&list[self.at].0).try_remove(self.key));
        }
    }
}

/// Two wakers with the same wake the same task.
fn address(waker: &Waker) -> [usize; 2] {
    [waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr()]
}

/// What somebody waits for, for a limited time.
pub(super) struct Patient<'a, F> {
    patience: &'a Patience,
    what: F,
    until: u64,
    seat: Option<Box<Seat>>,
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
        match &mut this.seat {
            Some(_) if this.patience.now.load(Ordering::Relaxed) >= this.until => return Poll::Ready(None),
            Some(seat) => seat.wake(task.waker()),
            None => this.seat = Some(this.patience.enter(this.until, task.waker())),
        }
        Poll::Pending
    }
}

impl<F> Drop for Patient<'_, F> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Woken;
    use futures_util::FutureExt;
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

    fn polls<F: Future + Unpin>(task: &Arc<Woken>, patient: &mut Patient<'_, F>) -> bool {
        Pin::new(patient).poll(&mut Context::from_waker(&task.waker())).is_ready()
    }

    fn places(patience: &Patience) -> usize {
        patience.shards.iter().map(|shard| lock(&shard.0).len()).sum()
    }

    #[test]
    fn a_place_that_was_left_wakes_the_task_that_waits_there_now() {
        let patience = Patience::default();
        let (one, other) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        for _ in 0..3 {
            assert!(!polls(&one, &mut patience.limit(pending::<()>(), PATIENCE_TICK)));
        }
        patience.tick();
        patience.tick();
        assert_eq!((places(&patience), one.take()), (1, 0), "nobody waits any more");
        let mut waits = patience.limit(pending::<()>(), PATIENCE_TICK);
        assert!(!polls(&other, &mut waits));
        patience.tick();
        patience.tick();
        assert_eq!((places(&patience), one.take(), other.take()), (1, 0, 1));
        drop(waits);
        // A wait may go to another task, too.
        let mut waits = patience.limit(pending::<()>(), PATIENCE_TICK);
        assert!(!polls(&one, &mut waits) && !polls(&other, &mut waits));
        patience.tick();
        patience.tick();
        assert_eq!((one.take(), other.take()), (0, 1));
    }

    #[test]
    fn who_takes_a_place_that_was_left_winds_a_clock_that_stands_still() {
        let patience = Patience::default();
        for _ in 0..2 {
            assert!(patience.nobody_waits());
            let mut waits = patience.limit(pending::<()>(), PATIENCE_TICK);
            assert!(poll(&mut waits).is_pending() && !patience.nobody_waits());
            assert!(patience.wound.notified().now_or_never().is_some());
        }
    }

    #[test]
    fn a_thread_keeps_few_places_and_none_when_it_ends_or_for_those_that_call_elsewhere() {
        let (patience, elsewhere) = (Patience::default(), Patience::default());
        let waits = || {
            let mut waits = [(); PLACES_KEPT + 9].map(|()| patience.limit(pending::<()>(), PATIENCE_TICK));
            assert!(waits.iter_mut().all(|waits| poll(waits).is_pending()));
        };
        let calls = || {
            waits();
            let mut kept = vec![places(&patience)];
            assert!(poll(&mut elsewhere.limit(pending::<()>(), PATIENCE_TICK)).is_pending());
            kept.push(places(&patience));
            waits();
            kept.push(places(&elsewhere));
            kept
        };
        // Joined: a scope does not wait for what a thread drops in the end.
        let kept = std::thread::scope(|scope| scope.spawn(calls).join());
        assert_eq!(kept.unwrap(), [PLACES_KEPT, 0, 0]);
        assert_eq!((places(&patience), places(&elsewhere)), (0, 0));
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
