//! What happens to links.

use standin::testing::Prng;

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

    /// An old machine, whose place was taken, is heard again.
    pub(super) fn cut_host(&self, host: std::net::IpAddr) {
        for at in 0..self.plan.peers {
            let other = self.cluster.host(at);
            self.world.network().cut(host, other);
            self.world.network().cut(other, host);
        }
    }

    pub(super) fn hear_host(&self, host: std::net::IpAddr) {
        self.trace.say(format_args!("{host} is heard again"));
        for at in 0..self.plan.peers {
            let other = self.cluster.host(at);
            self.world.network().heal(host, other);
            self.world.network().heal(other, host);
        }
    }
}
