//! One run again, with all that happened in it.

use serde::Serialize;
use standin::canary::Mistake;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::canary;
use crate::fleet::Summary;
use crate::plan::Plan;
use crate::report::{self, Run, Spread};
use crate::sim::{self, Report};
use crate::work::History;

/// What is wanted of a run.
pub struct Wanted {
    pub mistake: Option<String>,
    pub json: bool,
    pub history: Option<PathBuf>,
    pub report: Option<PathBuf>,
    /// The command that makes it again, for its page.
    pub command: String,
}

/// Plays a plan, and shows what is wanted of it.
pub fn replay(plan: &Plan, wanted: &Wanted) -> ExitCode {
    match play(plan, wanted) {
        Ok(report) => ExitCode::from(u8::from(report.violation.is_some())),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn mistake(name: &str) -> Result<Mistake, String> {
    let all = Mistake::ALL;
    canary::named(name).ok_or_else(|| format!("there is no mistake {name}; those there are: {all:?}"))
}

fn play(plan: &Plan, wanted: &Wanted) -> Result<Report, String> {
    let mistake = wanted.mistake.as_deref().map(mistake).transpose()?;
    let report = sim::run(plan, mistake);
    if wanted.json {
        println!("{}", serde_json::to_string(&Summary::of(&report)).unwrap_or_default());
    } else {
        report.lines.iter().for_each(|line| println!("{line}"));
    }
    if let Some(path) = &wanted.history {
        write(path, &history(&report.history))?;
    }
    if let Some(path) = &wanted.report {
        write(path, &page(&report, &wanted.command, wanted.mistake.as_deref()).html())?;
    }
    Ok(report)
}

/// Writes a file that the user asked for.
///
/// # Errors
/// A sentence for the user.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes the page of a run with real processes, from the directory that it left.
pub fn page_of(dir: &Path, out: &Path) -> ExitCode {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let written = read("events.jsonl").and_then(|events| {
        // A run without clients has no such file.
        let calls = read("history.jsonl").unwrap_or_default();
        let run = report::run_of_events("A run of real processes under faults", &events, &calls);
        write(out, &run.map_err(|e| format!("events.jsonl, {e}"))?.html())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// A call, and what kind of actor it went to.
#[derive(Serialize)]
struct Line<'a, T> {
    to: &'static str,
    #[serde(flatten)]
    call: &'a T,
}

/// All calls in the order in which they were made, and then the transfers, each a JSON object on a line of its own.
fn history(history: &History) -> String {
    fn line<T: Serialize>(to: &'static str, call: &T) -> String {
        serde_json::to_string(&Line { to, call }).unwrap_or_default()
    }
    // By name, so that a new list cannot be forgotten here.
    let History { accesses, orders, names, transfers, payments } = history;
    let accesses = accesses.iter().map(|call| (call.called, line("register", call)));
    let orders = orders.iter().map(|call| (call.called, line("ledger", call)));
    let names = names.iter().map(|call| (call.called, line("name", call)));
    let payments = payments.iter().map(|call| (call.called, line("purse", call)));
    let mut all: Vec<(u64, String)> = accesses.chain(orders).chain(names).chain(payments).collect();
    all.sort_by_key(|(called, _)| *called);
    let transfers = transfers.iter().map(|transfer| line("bank", transfer));
    all.into_iter().map(|(_, line)| line).chain(transfers).map(|line| line + "\n").collect()
}

/// The page of a run in simulated time.
fn page(report: &Report, command: &str, mistake: Option<&str>) -> Run {
    let plan = &report.plan;
    let timeline = sim::timeline(report);
    let recoveries = Spread::of(timeline.recoveries().map(|ms| ms as f64));
    let (simulated, took) = (report.simulated.as_secs_f64(), report.took.as_secs_f64());
    let network = if plan.wide { "wide-area timing" } else { "data-centre timing" };
    let with = mistake.map(|name| format!(", with the mistake {name}")).unwrap_or_default();
    let Plan { peers, clients, actors, seconds, .. } = plan;
    let mut run = Run {
        title: format!("Simulated run, seed {}", plan.seed),
        subtitle: format!(
            "{peers} peers, {clients} clients, {} actors, {network}; faults for {seconds} s{with}",
            actors * 2
        ),
        version: report::version(),
        replay: vec![command.into()],
        figures: vec![
            ("simulated".into(), format!("{simulated:.1} s")),
            ("in".into(), format!("{took:.1} s, {:.0} times as fast", simulated / took)),
            ("faults".into(), report.struck.to_string()),
            ("calls".into(), report.history.len().to_string()),
        ],
        verdicts: sim::verdicts(report),
        timeline,
        recoveries,
        trace: vec![],
        left_out: 0,
    };
    run.tell(&report.lines);
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn every_call_is_one_line_of_json() {
        let report = sim::run(&Plan::draw(1, Some(3), 5, Profile::Calm), None);
        let text = history(&report.history);
        let calls = report.history.len();
        assert!(calls > 0 && report.violation.is_none(), "{:?}", report.violation);
        assert_eq!(text.lines().count(), calls);
        for line in text.lines() {
            let call: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(call["to"].is_string(), "{line}");
            let told = call["called"].is_u64() && !call["end"].is_null();
            assert!(told || call["done"].is_array(), "{line}");
        }
    }
}
