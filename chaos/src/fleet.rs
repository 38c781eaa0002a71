//! Many runs, each in a process of its own: only then is a run the same every time, whatever ran before, and one
//! that hangs or aborts is no more than one bad run.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::plan::Plan;
use crate::profile::Profile;
use crate::sim::{self, Report, Violation};

/// What each run of a campaign has in common.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub minutes: u64,
    pub nodes: Option<usize>,
    pub mistake: Option<String>,
    pub profile: Profile,
}

impl Terms {
    /// The plan of one run.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan::draw(seed, self.nodes, self.minutes * 60, self.profile)
    }

    /// The arguments that make one run.
    pub fn arguments(&self, seed: u64) -> Vec<String> {
        let mut all = vec!["replay".into(), seed.to_string(), "--minutes".into(), self.minutes.to_string()];
        all.extend(self.nodes.into_iter().flat_map(|n| ["--nodes".into(), n.to_string()]));
        all.extend(self.mistake.iter().flat_map(|m| ["--mistake".into(), m.clone()]));
        if self.profile != Profile::Default {
            all.extend(["--profile".into(), self.profile.name()]);
        }
        all
    }

    /// The command that makes one run.
    pub fn command(&self, seed: u64) -> String {
        format!("cargo run -p chaos -- {}", self.arguments(seed).join(" "))
    }
}

/// What is left of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    pub seed: u64,
    pub peers: usize,
    pub faults: u64,
    pub calls: usize,
    pub simulated_s: f64,
    pub took_s: f64,
    pub violation: Option<Violation>,
    /// How often each kind of fault struck.
    pub families: BTreeMap<String, u64>,
    /// How long actors were away before they ran again, restored.
    pub recoveries_ms: Vec<u64>,
    /// The end of its trace, if a promise was broken.
    pub last: Vec<String>,
}

/// Lines of a trace that are shown for a broken promise.
const LAST_LINES: usize = 12;
/// Recoveries of one run that a summary holds.
const MOST_RECOVERIES: usize = 10_000;

impl Summary {
    /// Of a run that came to its end.
    pub fn of(report: &Report) -> Self {
        let timeline = sim::timeline(report);
        let mut families = BTreeMap::new();
        for fault in &timeline.faults {
            *families.entry(fault.family.clone()).or_default() += 1;
        }
        let from = report.lines.len().saturating_sub(LAST_LINES);
        Self {
            seed: report.plan.seed,
            peers: report.plan.peers,
            faults: report.struck,
            calls: report.history.len(),
            simulated_s: report.simulated.as_secs_f64(),
            took_s: report.took.as_secs_f64(),
            violation: report.violation.clone(),
            families,
            recoveries_ms: timeline.recoveries().take(MOST_RECOVERIES).collect(),
            last: if report.violation.is_some() { report.lines[from..].to_vec() } else { vec![] },
        }
    }

    /// Of one that did not.
    fn failed(seed: u64, why: String) -> Self {
        let violation = Violation { invariant: "a_run_ends".into(), what: why };
        Self {
            seed,
            peers: 0,
            faults: 0,
            calls: 0,
            simulated_s: 0.0,
            took_s: 0.0,
            violation: Some(violation),
            families: BTreeMap::new(),
            recoveries_ms: vec![],
            last: vec![],
        }
    }
}

/// How long one run may take.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// Runs one seed.
fn run_one(seed: u64, terms: &Terms) -> Summary {
    summary(seed, run(&terms.arguments(seed), "", DEADLINE))
}

/// Runs one plan.
pub fn run_plan(plan: &Plan, mistake: Option<&str>, deadline: Duration) -> Summary {
    let mut arguments: Vec<String> = ["replay", "--plan", "-"].map(String::from).to_vec();
    arguments.extend(mistake.into_iter().flat_map(|name| ["--mistake".into(), name.into()]));
    let text = serde_json::to_string(plan).unwrap_or_default();
    summary(plan.seed, run(&arguments, &text, deadline))
}

fn summary(seed: u64, said: std::io::Result<String>) -> Summary {
    match said {
        Ok(text) => {
            serde_json::from_str(&text).unwrap_or_else(|_| Summary::failed(seed, format!("it ended: {text}")))
        }
        Err(e) => Summary::failed(seed, e.to_string()),
    }
}

/// Runs this program with an input. What it says.
fn run(arguments: &[String], input: &str, deadline: Duration) -> std::io::Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take());
    let (Some(mut to), Some(mut from)) = pipes else { return Ok(String::new()) };
    // It reads all before it says anything. If it ended before that, what it said tells more than this error.
    drop(to.write_all(input.as_bytes()));
    drop(to);
    let (sender, text) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        drop(from.read_to_string(&mut text));
        drop(sender.send(text));
    });
    let text = text.recv_timeout(deadline);
    drop(child.kill());
    let status = child.wait()?;
    text.map(|text| if text.is_empty() { status.to_string() } else { text })
        .map_err(|_| std::io::Error::other(format!("no end within {deadline:?}")))
}

/// Runs seeds in order, several at once, until `see` has seen enough. It sees each as it ends.
pub fn run_all(seeds: Range<u64>, jobs: usize, terms: &Terms, see: impl Fn(Summary) -> bool + Sync) {
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !enough.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    if see(run_one(seed, terms)) {
                        enough.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
}
