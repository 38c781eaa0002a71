//! Cuts between peers, in their shapes.

use standin::testing::Prng;

use super::relay::Link;
use super::stage::{Act, Stage};
use crate::plan::{Fault, Way};

impl Stage {
    /// Cuts links, and puts their mending on the agenda.
    pub fn partition(&mut self, id: u64, fault: Fault, detail: &str) {
        let size = self.fleet.size();
        let (kind, whom, for_ms, links) = match fault {
            Fault::Isolate { who, way, for_ms } => {
                let Some(at) = self.find(who) else { return };
                let kind = if way == Way::Both { "isolation" } else { "one-way isolation" };
                (kind, vec![at], for_ms, self.links_of(at, way))
            }
            Fault::Split { draw, for_ms } => {
                let side = |at: usize| Prng::new(draw ^ at as u64).chance(50);
                let one = (0..size).filter(|at| side(*at)).collect();
                ("split", one, for_ms, self.links_where(|from, to| side(from) != side(to)))
            }
            Fault::Ring { for_ms } => {
                let apart = |from: usize, to: usize| (from + 1) % size != to && (to + 1) % size != from;
                ("ring", vec![], for_ms, self.links_where(apart))
            }
            Fault::Swizzle { draw, for_ms } => return self.swizzle(id, draw, for_ms, detail),
            _ => return,
        };
        if links.is_empty() {
            return;
        }
        self.struck(id, kind, &whom, detail);
        self.act_cut(&links);
        self.later(for_ms, id, Act::Hear(links));
    }

    /// Cuts some peers off one by one, and lets them come back in another order (FoundationDB's name for it).
    fn swizzle(&mut self, id: u64, draw: u64, for_ms: u64, detail: &str) {
        let mut random = Prng::new(draw);
        let some: Vec<usize> = (0..self.fleet.size()).filter(|_| random.chance(50)).collect();
        if some.is_empty() {
            return;
        }
        self.struck(id, "swizzle", &some, detail);
        for at in some {
            let links = self.links_of(at, Way::Both);
            self.later(random.below(for_ms / 2), id, Act::Cut(links.clone()));
            self.later(for_ms / 2 + random.below(for_ms / 2), id, Act::Hear(links));
        }
    }

    fn links_where(&self, cut: impl Fn(usize, usize) -> bool) -> Vec<Link> {
        let size = self.fleet.size();
        let pairs = (0..size).flat_map(|from| (0..size).map(move |to| (from, to)));
        let seats = &self.fleet.seats;
        pairs
            .filter(|(from, to)| from != to && cut(*from, *to))
            .map(|(from, to)| (seats[from].host, seats[to].host))
            .collect()
    }

    pub fn act_cut(&self, links: &[Link]) {
        self.fleet.obeys(self.relay.cut(links));
    }
}
