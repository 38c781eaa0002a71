//! What happens to links.

use standin::testing::{Prng, Weather};
use std::net::IpAddr;

use super::stage::{Act, Stage};
use crate::plan::Way;

impl Stage {
    pub(super) fn one_way(&self, from: usize, to: usize, cut: bool) {
        let (from, to) = (self.cluster.host(from), self.cluster.host(to));
        let network = self.world.network();
        if cut { network.cut(from, to) } else { network.heal(from, to) }
    }

    pub(super) fn links_of(&self, at: usize) -> Vec<(usize, usize)> {
        let others = (0..self.plan.peers).filter(|other| *other != at);
        others.flat_map(|other| [(at, other), (other, at)]).collect()
    }

    pub(super) fn cut_off(&self, at: usize, way: Way) {
        for (from, to) in self.links_of(at) {
            if way == Way::Both || (way == Way::Out) == (from == at) {
                self.one_way(from, to, true);
            }
        }
    }

    pub(super) fn cut_where(&mut self, for_ms: u64, cut: impl Fn(usize, usize) -> bool) {
        let peers = self.plan.peers;
        let pairs = (0..peers).flat_map(|from| (0..peers).map(move |to| (from, to)));
        let links: Vec<_> = pairs.filter(|(from, to)| from != to && cut(*from, *to)).collect();
        links.iter().for_each(|(from, to)| self.one_way(*from, *to, true));
        self.later(for_ms, Act::Hear(links));
    }

    /// Cuts some peers off one by one, and lets them come back in another order (FoundationDB's name for it).
    pub(super) fn swizzle(&mut self, draw: u64, for_ms: u64) {
        let mut random = Prng::new(draw);
        let some: Vec<usize> = (0..self.plan.peers).filter(|_| random.chance(50)).collect();
        for at in some {
            self.notes.hit(at);
            self.later(random.below(for_ms / 2), Act::CutOff(at));
            let links = self.links_of(at);
            self.later(for_ms / 2 + random.below(for_ms / 2), Act::Hear(links));
        }
    }

    /// An old machine, whose place was taken, is cut off, or heard again.
    pub(super) fn whole_host(&self, host: IpAddr, cut: bool) {
        let network = self.world.network();
        for at in 0..self.plan.peers {
            let other = self.cluster.host(at);
            for (from, to) in [(host, other), (other, host)] {
                if cut { network.cut(from, to) } else { network.heal(from, to) }
            }
        }
    }

    /// Gives one direction of a link a weather of its own for a while.
    pub(super) fn bad_link(&mut self, from: usize, to: usize, weather: Weather, for_ms: u64) {
        self.set_link(from, to, Some(weather));
        self.later(for_ms, Act::FairLink(from, to));
    }

    pub(super) fn set_link(&self, from: usize, to: usize, weather: Option<Weather>) {
        self.world.network().set_link(self.cluster.host(from), self.cluster.host(to), weather);
    }
}
