//! Makes the plan of a run that broke a promise smaller, as long as it breaks the same one.

mod ddmin;
mod search;
mod simpler;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::fleet::{self, Summary, Terms};
use crate::plan::Plan;
pub use search::Bounds;
use search::Search;

/// No run gets less than this, in seconds.
const LEAST_PATIENCE: f64 = 60.0;

/// How long a smaller run may take: ten times as long as the whole one did, if that came to its end.
fn patience(whole: &Summary) -> Duration {
    let ended = whole.took_s > 0.0;
    let seconds = if ended { (whole.took_s * 10.0).max(LEAST_PATIENCE) } else { f64::INFINITY };
    Duration::try_from_secs_f64(seconds).unwrap_or(fleet::DEADLINE).min(fleet::DEADLINE)
}

/// Shrinks the plan of a seed, says how it goes, and writes what is left to a file.
pub fn shrink(seed: u64, terms: &Terms, bounds: Bounds, out: Option<PathBuf>) -> ExitCode {
    let whole = terms.plan(seed);
    let mistake = terms.mistake.as_deref();
    let run = fleet::run_plan(&whole, mistake, fleet::DEADLINE);
    let Some(broken) = run.violation.clone() else {
        println!("seed {seed} keeps every promise: there is nothing to make smaller");
        return ExitCode::from(2);
    };
    println!("seed {seed} breaks {}: {}", broken.invariant, broken.what);
    println!("{}", size(&whole));
    let patience = patience(&run);
    let breaks = |plan: &Plan| fleet::run_plan(plan, mistake, patience).violation.map(|v| v.invariant);
    let mut search = Search::new(&broken.invariant, bounds, &breaks, |line| println!("{line}"));
    let least = search.least(whole);
    println!("{} tries, {}; what is left:", search.tries(), search.why_it_ended());
    println!("{}", size(&least));
    for step in &least.steps {
        println!("  {:>7.3} s  {:?}", step.at_ms as f64 / 1000.0, step.fault);
    }
    let out = out.unwrap_or_else(|| PathBuf::from(format!("plan-{seed}.json")));
    let text = serde_json::to_string_pretty(&least).unwrap_or_default() + "\n";
    if let Err(e) = std::fs::write(&out, text) {
        eprintln!("{}: {e}", out.display());
        return ExitCode::from(2);
    }
    println!("replay: {}", command(&out, mistake));
    ExitCode::SUCCESS
}

/// The command that plays a plan.
pub fn command(path: &Path, mistake: Option<&str>) -> String {
    let mistake = mistake.map(|name| format!(" --mistake {name}")).unwrap_or_default();
    format!("cargo run -p chaos -- replay --plan {}{mistake}", path.display())
}

fn size(plan: &Plan) -> String {
    let Plan { peers, clients, actors, seconds, steps, .. } = plan;
    let steps = steps.len();
    format!("  {steps} steps, {peers} peers, {clients} clients, {actors} actors of each kind, {seconds} s")
}
