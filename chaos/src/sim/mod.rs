//! One run in simulated time: a cluster, its clients, and the faults of a plan.

mod disown;
mod echo;
mod links;
mod machines;
mod moments;
mod notes;
mod promises;
mod relapse;
mod stage;
mod strike;
mod versions;

use serde::{Deserialize, Serialize};

use standin::canary::Mistake;
use standin::testing::Traffic;
use std::time::{Duration, Instant};

use crate::fate;
use crate::plan::Plan;
use crate::report::{self, Entry, Timeline};
use crate::trace::{self, Trace};
use crate::work::History;
pub use promises::verdicts;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub invariant: String,
    pub what: String,
}

impl Violation {
    pub fn new(invariant: impl Into<String>, what: impl std::fmt::Display) -> Self {
        Self { invariant: invariant.into(), what: what.to_string() }
    }
}

impl From<standin::testing::Violation> for Violation {
    fn from(broken: standin::testing::Violation) -> Self {
        Self::new(broken.invariant, broken.what)
    }
}

/// How a run went.
pub struct Report {
    pub plan: Plan,
    pub violation: Option<Violation>,
    pub lines: Vec<String>,
    pub entries: Vec<Entry>,
    pub history: History,
    /// Faults that struck.
    pub struck: u64,
    pub simulated: Duration,
    pub took: Duration,
}

/// Whether a promise was broken, what the clients did, how many faults struck, and what the network carried.
type Outcome = (Option<Violation>, History, u64, Traffic);

/// Runs a plan on a thread of its own, on which all chance follows from the plan's seed; with a mistake in
/// the protocol, if one is named.
pub fn run(plan: &Plan, mistake: Option<Mistake>) -> Report {
    let plan = plan.clone();
    let name = format!("sim-{}", plan.seed);
    let begun =
        std::thread::Builder::new().name(name).stack_size(16 << 20).spawn(move || simulate(plan, mistake));
    match begun.map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) | Err(_) => unreachable!("a run catches its panics"),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is a wall-clock question")]
fn simulate(plan: Plan, mistake: Option<Mistake>) -> Report {
    fate::follows(plan.seed);
    standin::canary::make(mistake);
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { unreachable!("a runtime without threads and I/O needs nothing") };
    let trace = runtime.block_on(async { Trace::new() });
    let scene = stage::play(&plan, &trace);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(scene)));
    let (violation, history, struck, traffic): Outcome = ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let violation = Violation::new("no_panic", text.unwrap_or_default());
        (Some(violation), History::default(), 0, Traffic::default())
    });
    let simulated = runtime.block_on(async {
        if let Some(Violation { invariant, what }) = &violation {
            trace.say(format_args!("VIOLATION {invariant}: {what}"));
        }
        trace.say(format_args!("end: {traffic:?}"));
        trace::elapsed()
    });
    let took = begun.elapsed();
    let (lines, entries) = (trace.lines(), trace.entries());
    Report { plan, violation, lines, entries, history, struck, simulated, took }
}

/// A run as it is drawn.
pub fn timeline(report: &Report) -> Timeline {
    let names: Vec<String> = (1..=report.plan.peers).map(|number| format!("peer-{number}")).collect();
    let end_ms = u64::try_from(report.simulated.as_millis()).unwrap_or(u64::MAX);
    report::build(&report.entries, &names, end_ms)
}
