//! What else of a plan can be made smaller, besides leaving steps out.

use crate::plan::{Plan, Step};

/// Plans that are a little simpler than this one, boldest first, each with what is simpler about it.
pub fn simpler(plan: &Plan) -> Vec<(String, Plan)> {
    let mut all = vec![];
    for peers in [3, 5, plan.peers / 2].into_iter().filter(|peers| (3..plan.peers).contains(peers)) {
        all.push((format!("{peers} peers"), Plan { peers, ..plan.clone() }));
    }
    if plan.wide {
        all.push(("timing of a data centre".into(), Plan { wide: false, ..plan.clone() }));
    }
    for clients in less(plan.clients, 0) {
        all.push((format!("{clients} clients"), Plan { clients, ..plan.clone() }));
    }
    for actors in less(plan.actors, 1) {
        all.push((format!("{actors} actors of each kind"), Plan { actors, ..plan.clone() }));
    }
    for parts in less(plan.parts, 0) {
        all.push((format!("a graph in {parts} parts"), Plan { parts, ..plan.clone() }));
    }
    let last_s = plan.steps.last().map_or(0, |step| step.at_ms / 1000) + 1;
    for seconds in [last_s, last_s.midpoint(plan.seconds)] {
        if seconds < plan.seconds {
            all.push((format!("{seconds} s"), Plan { seconds, ..plan.clone() }));
        }
    }
    let sooner = |step: &Step| Step { at_ms: step.at_ms / 2, ..step.clone() };
    if plan.steps.last().is_some_and(|step| step.at_ms > 1000) {
        let steps = plan.steps.iter().map(sooner).collect();
        all.push(("all steps in half the time".into(), Plan { steps, ..plan.clone() }));
    }
    let briefer = |step: &Step| step.fault.briefer().map(|fault| Step { fault, ..step.clone() });
    if plan.steps.iter().filter(|step| briefer(step).is_some()).count() > 1 {
        let steps = plan.steps.iter().map(|step| briefer(step).unwrap_or(step.clone())).collect();
        all.push(("all faults in half the time".into(), Plan { steps, ..plan.clone() }));
    }
    for (at, step) in plan.steps.iter().enumerate() {
        if let Some(step) = briefer(step) {
            let what = format!("step {at}, {:?}", step.fault);
            let mut plan = plan.clone();
            plan.steps[at] = step;
            all.push((what, plan));
        }
    }
    all
}

/// Smaller numbers to try: the least, the half, one less.
fn less(number: u32, least: u32) -> Vec<u32> {
    let mut all = vec![least, number / 2, number.saturating_sub(1)];
    all.retain(|candidate| (least..number).contains(candidate));
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    /// Goes down as far as `fails` allows.
    fn descend(mut plan: Plan, fails: impl Fn(&Plan) -> bool) -> (Plan, u32) {
        let mut rounds = 0;
        while let Some((_, next)) = simpler(&plan).into_iter().find(|(_, next)| fails(next)) {
            plan = next;
            rounds += 1;
            assert!(rounds < 5000, "it never ends");
        }
        (plan, rounds)
    }

    #[test]
    fn it_comes_to_an_end_at_the_smallest_plan() {
        for seed in 0..10 {
            let (least, _) = descend(Plan::draw(seed, None, 60, Profile::Default), |_| true);
            assert!(least.peers <= 5 && least.clients == 0 && least.actors == 1 && !least.wide);
            assert!(least.seconds <= 1, "{} s", least.seconds);
        }
    }

    #[test]
    fn it_keeps_what_is_needed() {
        let plan = Plan::draw(4, Some(21), 60, Profile::Default);
        let needs = |plan: &Plan| plan.clients >= 2 && plan.peers >= 5 && plan.seconds >= 30;
        let (least, _) = descend(plan, needs);
        assert_eq!((least.clients, least.peers, least.actors), (2, 5, 1));
        assert!(needs(&least));
    }
}
