//! A leader that hears late what it takes for news.

use standin::testing::Weather;
use std::time::Duration;

use super::moments::{Sign, Then};
use super::stage::{Act, Stage};
use crate::plan::Situation;

/// How long the leader's entry may take to everybody, in milliseconds.
const SPREAD_MS: u64 = 30;
/// How much later it hears of each peer than of the one before, in milliseconds.
const STAGGER_MS: u64 = 60;

impl Stage {
    /// The leader writes one entry while the answers of all but one peer are slow. Clients keep still: if it had written
    /// more, no answer could be taken for one to a later message.
    pub(super) fn echo(&mut self, leader: usize, at: usize, delay_ms: u64, for_ms: u64) {
        if leader == at {
            return;
        }
        self.desk.close(true);
        for (number, other) in (0..).zip(self.all_but(leader, at)) {
            let delay = Duration::from_millis(delay_ms + number * STAGGER_MS);
            self.bad_link(other, leader, Weather { delay, ..Weather::fair() }, for_ms + 3000);
        }
        self.cluster.write_nothing(leader);
        self.later(SPREAD_MS, Act::Silence(leader, at, for_ms));
    }

    /// The others hear of neither any more, and the one peer of nobody but the leader.
    pub(super) fn silence(&mut self, leader: usize, at: usize, for_ms: u64) {
        if !self.running[leader] || !self.running[at] {
            self.desk.close(false);
            return;
        }
        for other in self.all_but(leader, at) {
            for (from, to) in [(leader, other), (at, other), (other, at)] {
                self.one_way(from, to, true);
            }
        }
        let links: Vec<_> = self.links_of(at).into_iter().chain(self.links_of(leader)).collect();
        self.later(for_ms + 3000, Act::Hear(links));
        self.later(for_ms, Act::Open);
        self.wait_for(Sign::Is(Situation::NewLeader), Then::Usurp(at, None, for_ms));
    }

    fn all_but(&self, one: usize, other: usize) -> Vec<usize> {
        (0..self.plan.peers).filter(|at| ![one, other].contains(at)).collect()
    }
}
