//! Tries smaller plans, several side by side, until none fails any more or the bounds are reached.

use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

use super::ddmin::ddmin;
use super::simpler::simpler;
use crate::plan::{Plan, Step};

/// How much may be spent.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub jobs: usize,
    pub tries: usize,
    pub wall: Duration,
}

/// Which promise a plan breaks, if any.
type Breaks<'a> = &'a (dyn Fn(&Plan) -> Option<String> + Sync);

/// A search for the smallest plan that breaks one promise.
pub struct Search<'a, Say> {
    invariant: String,
    bounds: Bounds,
    breaks: Breaks<'a>,
    say: Say,
    begun: Instant,
    tries: usize,
    /// Plans that did not break it, as text. Bounded by the number of tries.
    in_vain: BTreeSet<String>,
}

impl<'a, Say: Fn(String)> Search<'a, Say> {
    pub fn new(invariant: &str, bounds: Bounds, breaks: Breaks<'a>, say: Say) -> Self {
        let invariant = invariant.to_owned();
        Self { invariant, bounds, breaks, say, begun: Instant::now(), tries: 0, in_vain: BTreeSet::new() }
    }

    pub fn tries(&self) -> usize {
        self.tries
    }

    pub fn why_it_ended(&self) -> &'static str {
        if self.is_spent() { "as many or as long as allowed" } else { "and nothing more can be left out" }
    }

    fn is_spent(&self) -> bool {
        self.tries >= self.bounds.tries || self.begun.elapsed() >= self.bounds.wall
    }

    /// The smallest plan that was found.
    pub fn least(&mut self, mut plan: Plan) -> Plan {
        let mut parts = 2;
        loop {
            plan = self.fewer_steps(plan, parts);
            let before = plan.clone();
            plan = self.simpler(plan);
            if plan == before || self.is_spent() {
                return plan;
            }
            // What is simpler may need fewer steps still: one by one now.
            parts = plan.steps.len();
        }
    }

    fn fewer_steps(&mut self, plan: Plan, parts: usize) -> Plan {
        let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
        let steps = ddmin(plan.steps.clone(), parts, &mut |lists| {
            let found = self.first_failing(&lists.iter().cloned().map(with).collect::<Vec<_>>())?;
            self.tell(&format!("{} steps", lists[found].len()));
            Some(found)
        });
        with(steps)
    }

    fn simpler(&mut self, mut plan: Plan) -> Plan {
        loop {
            let (names, plans): (Vec<_>, Vec<_>) = simpler(&plan).into_iter().unzip();
            let Some(found) = self.first_failing(&plans) else { return plan };
            self.tell(&names[found]);
            plan = plans[found].clone();
        }
    }

    fn tell(&self, what: &str) {
        (self.say)(format!("{:>4} tries, {:>4} s: {what}", self.tries, self.begun.elapsed().as_secs()));
    }

    /// The first of some plans that breaks the promise.
    fn first_failing(&mut self, plans: &[Plan]) -> Option<usize> {
        let text = |plan: &Plan| serde_json::to_string(plan).unwrap_or_default();
        let open: Vec<usize> =
            (0..plans.len()).filter(|at| !self.in_vain.contains(&text(&plans[*at]))).collect();
        for batch in open.chunks(self.bounds.jobs.max(1)) {
            if self.is_spent() {
                return None;
            }
            self.tries += batch.len();
            let broken = self.side_by_side(batch.iter().map(|at| &plans[*at]));
            let same = |broken: &Option<String>| broken.as_ref() == Some(&self.invariant);
            if let Some(first) = broken.iter().position(same) {
                return Some(batch[first]);
            }
            self.in_vain.extend(batch.iter().map(|at| text(&plans[*at])));
        }
        None
    }

    fn side_by_side<'p>(&self, plans: impl Iterator<Item = &'p Plan>) -> Vec<Option<String>> {
        let breaks = self.breaks;
        std::thread::scope(|scope| {
            let tries: Vec<_> = plans.map(|plan| scope.spawn(move || breaks(plan))).collect();
            tries.into_iter().map(|one| one.join().ok().flatten()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Fault;
    use crate::profile::Profile;

    const FREE: Bounds = Bounds { jobs: 3, tries: 10_000, wall: Duration::from_secs(600) };

    /// Breaks it if two kills and a client are there; something else if there are no kills at all.
    fn breaks(plan: &Plan) -> Option<String> {
        let kills = plan.steps.iter().filter(|step| matches!(step.fault, Fault::Kill { .. })).count();
        match kills {
            0 => Some("another".into()),
            _ => (kills >= 2 && plan.clients > 0).then(|| "this".into()),
        }
    }

    fn plan() -> Plan {
        let mut plans = (0..).map(|seed| Plan::draw(seed, Some(7), 120, Profile::Crash));
        plans.find(|plan| breaks(plan).as_deref() == Some("this")).unwrap()
    }

    #[test]
    fn what_is_left_breaks_the_same_promise_and_is_small() {
        let least = Search::new("this", FREE, &breaks, |_| {}).least(plan());
        assert_eq!(breaks(&least).as_deref(), Some("this"));
        assert_eq!((least.steps.len(), least.clients, least.peers), (2, 1, 3));
    }

    #[test]
    fn it_stops_at_its_bounds() {
        let few = Bounds { tries: 4, ..FREE };
        let mut search = Search::new("this", few, &breaks, |_| {});
        let least = search.least(plan());
        assert_eq!(breaks(&least).as_deref(), Some("this"));
        assert!(search.tries() <= 4 + few.jobs && search.is_spent());
        let no_time = Bounds { wall: Duration::ZERO, ..FREE };
        assert_eq!(Search::new("this", no_time, &breaks, |_| {}).least(plan()), plan());
    }
}
