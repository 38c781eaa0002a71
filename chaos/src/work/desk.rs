//! Where clients find the peers that run, and the moments of what they do.

use standin::testing::Prng;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use super::request::Site;

/// Where the running peers are to be found.
pub struct Desk<S> {
    sites: Arc<Mutex<Vec<Option<S>>>>,
    closed: Arc<AtomicBool>,
}

impl<S> Default for Desk<S> {
    fn default() -> Self {
        Self { sites: Arc::default(), closed: Arc::default() }
    }
}

impl<S> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self { sites: Arc::clone(&self.sites), closed: Arc::clone(&self.closed) }
    }
}

impl<S: Site> Desk<S> {
    /// Says who runs now.
    pub fn set(&self, at: usize, who: Option<S>) {
        let mut desk = lock(&self.sites);
        if desk.len() <= at {
            desk.resize_with(at + 1, || None);
        }
        desk[at] = who;
    }

    /// Lets clients find nobody for a while.
    pub fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// One of them.
    pub fn any(&self, random: &mut Prng) -> Option<S> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let desk = lock(&self.sites);
        let running: Vec<_> = desk.iter().flatten().filter(|site| site.is_there()).collect();
        if running.is_empty() { None } else { Some((*random.pick(&running)).clone()) }
    }
}

/// Gives every call and every answer its moment: a number that only rises.
#[derive(Clone)]
pub struct Ticks {
    last: Arc<AtomicU64>,
    /// A clock that the moments keep up with; without one they are mere numbers.
    now: fn() -> u64,
}

impl Ticks {
    /// Ticks that follow a clock.
    pub fn follow(now: fn() -> u64) -> Self {
        Self { last: Arc::default(), now }
    }

    /// The next one.
    pub fn next(&self) -> u64 {
        let now = (self.now)();
        let later = |last: u64| now.max(last + 1);
        let before = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last)));
        before.map_or(now, later)
    }
}

impl Default for Ticks {
    fn default() -> Self {
        Self::follow(|| 0)
    }
}
