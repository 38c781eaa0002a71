//! Explores a model and says what was found.

use stateright::{Checker, Model};
use std::time::Duration;

use standin::canary::Mistake;

use super::{Bounds, Cluster};

/// How a model is explored.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub threads: usize,
    pub max_states: usize,
    /// Breadth first, for the shortest way to a counterexample; it needs more memory.
    pub is_shortest: bool,
}

/// What an exploration came to.
pub struct Outcome {
    pub states: usize,
    pub unique: usize,
    pub depth: usize,
    pub took: Duration,
    /// Whether all states were seen.
    pub is_whole: bool,
    /// The broken promises, and the steps to each.
    pub broken: Vec<(&'static str, Vec<String>)>,
    pub counts: String,
}

pub fn explore(bounds: Bounds, mistake: Option<Mistake>, limits: Limits) -> Option<Outcome> {
    // Tokio's clock: a wall clock may jump.
    let begun = tokio::time::Instant::now();
    let cluster = Cluster::new(bounds, mistake)?;
    let checker = cluster
        .checker()
        .threads(limits.threads)
        .target_state_count(limits.max_states)
        .finish_when(stateright::HasDiscoveries::AnyFailures);
    Some(if limits.is_shortest {
        outcome(checker.spawn_bfs().join(), begun, limits)
    } else {
        outcome(checker.spawn_dfs().join(), begun, limits)
    })
}

fn outcome(checker: impl Checker<Cluster>, begun: tokio::time::Instant, limits: Limits) -> Outcome {
    let steps = |path: stateright::Path<_, super::Action>| {
        path.into_actions().into_iter().map(|action| format!("{action:?}")).collect()
    };
    Outcome {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        is_whole: checker.state_count() < limits.max_states,
        broken: checker.discoveries().into_iter().map(|(name, path)| (name, steps(path))).collect(),
        counts: checker.model().counts.to_string(),
    }
}
