//! Explores models and says what was found.

use stateright::{Checker, HasDiscoveries, Model, Path};
use std::process::ExitCode;
use std::time::Duration;

use standin::canary::Mistake;

use super::bounds::{Bounds, Changes};
use super::scopes::{LARGE, SMALL, Scope};
use super::{Action, Cluster, check};

const MOST_STATES: usize = 100_000_000;

/// What to explore.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this scope, of those that are listed with the results.
    #[arg(long)]
    scope: Option<String>,
    /// The scopes for every day.
    #[arg(long)]
    small: bool,
    /// With this mistake in the protocol, in the small scope where it shows, and with the way to it.
    #[arg(long)]
    mistake: Option<String>,
    /// Makes one known mistake after another, and says which the model notices.
    #[arg(long)]
    mistakes: bool,
    /// Stops a scope after so many states, seen again or not.
    #[arg(long, default_value_t = MOST_STATES)]
    max_states: usize,
    #[command(flatten)]
    changes: Changes,
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
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// What happened on the way.
    pub counts: String,
}

pub fn run(arguments: Arguments) -> ExitCode {
    if arguments.mistakes {
        return catch_all(arguments.max_states);
    }
    let mistake = match arguments.mistake.as_deref().map(|name| crate::canary::named(name).ok_or(name)) {
        None => None,
        Some(Ok(mistake)) => Some(mistake),
        Some(Err(name)) => {
            eprintln!("there is no mistake {name}; those there are: {:?}", Mistake::ALL);
            return ExitCode::from(2);
        }
    };
    let all = if arguments.small || mistake.is_some() { SMALL } else { LARGE };
    let is_chosen = |scope: &&Scope| match &arguments.scope {
        Some(name) => scope.name == name,
        None => mistake.is_none_or(|mistake| scope.mistakes.contains(&mistake)),
    };
    let chosen: Vec<&Scope> = all.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|scope| scope.name).collect();
        eprintln!("no scope for that; those there are: {names:?}");
        return ExitCode::from(2);
    }
    let mut is_good = true;
    for scope in chosen {
        let bounds = arguments.changes.of(scope.bounds);
        println!("{}: {bounds}", scope.name);
        let Some(outcome) = explore(bounds, mistake, arguments.max_states) else { return ExitCode::from(2) };
        print(&outcome);
        is_good &= outcome.is_whole && outcome.broken.is_empty();
    }
    ExitCode::from(u8::from(!is_good))
}

/// Sees all states within the bounds, unless a promise is broken or there are too many. With a mistake, the
/// shortest way to a broken promise is looked for. `None` if the bounds name no cluster.
pub fn explore(bounds: Bounds, mistake: Option<Mistake>, max_states: usize) -> Option<Outcome> {
    // Tokio's clock: a wall clock may jump.
    let begun = tokio::time::Instant::now();
    let cluster = Cluster::new(bounds, mistake)?;
    let checker = cluster.checker().target_state_count(max_states).finish_when(HasDiscoveries::AnyFailures);
    Some(match mistake {
        Some(_) => outcome(checker.spawn_bfs().join(), begun, max_states),
        // Needs far less memory.
        None => outcome(checker.spawn_dfs().join(), begun, max_states),
    })
}

fn outcome(checker: impl Checker<Cluster>, begun: tokio::time::Instant, max_states: usize) -> Outcome {
    Outcome {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        is_whole: checker.state_count() < max_states,
        broken: checker
            .discoveries()
            .into_iter()
            .map(|(name, path)| (name, Path::into_actions(path)))
            .collect(),
        counts: checker.model().counts.to_string(),
    }
}

fn print(outcome: &Outcome) {
    println!(
        "  {} states, {} unique, depth {}, {:.1} s{}",
        outcome.states,
        outcome.unique,
        outcome.depth,
        outcome.took.as_secs_f64(),
        if outcome.is_whole { "" } else { ": NOT ALL OF THEM" }
    );
    println!("  on the way: {}", outcome.counts);
    for property in check::properties() {
        match outcome.broken.iter().find(|(name, _)| *name == property.name) {
            None => println!("  holds   {}", property.name),
            Some((name, steps)) => {
                println!("  BROKEN  {name}");
                steps.iter().for_each(|step| println!("            {step:?}"));
            }
        }
    }
}

/// How a mistake was looked for.
pub struct Hunt {
    scope: &'static str,
    /// The promise that was broken.
    pub caught_by: Option<&'static str>,
    pub states: usize,
}

/// Looks for a mistake where it should show; `None` if it is outside of what is modelled.
pub fn hunt(mistake: Mistake) -> Option<Hunt> {
    hunt_within(mistake, MOST_STATES)
}

fn hunt_within(mistake: Mistake, max_states: usize) -> Option<Hunt> {
    let scope = SMALL.iter().find(|scope| scope.mistakes.contains(&mistake))?;
    let outcome = explore(scope.bounds, Some(mistake), max_states)?;
    let caught_by = outcome.broken.iter().map(|(name, _)| *name).min();
    Some(Hunt { scope: scope.name, caught_by, states: outcome.unique })
}

fn catch_all(max_states: usize) -> ExitCode {
    println!("{:<30} {:<18} {:<58} {:>9}", "mistake", "scope", "caught by", "states");
    let mut missed = 0;
    for mistake in Mistake::ALL {
        let name = format!("{mistake:?}");
        let Some(Hunt { scope, caught_by, states }) = hunt_within(*mistake, max_states) else {
            println!("{name:<30} outside of what is modelled");
            continue;
        };
        println!("{name:<30} {scope:<18} {:<58} {states:>9}", caught_by.unwrap_or("NOT CAUGHT"));
        missed += u32::from(caught_by.is_none());
    }
    ExitCode::from(u8::from(missed > 0))
}
