//! Many runs, each in a process of its own: only then is a run the same every time, whatever ran before, and one
//! that hangs or aborts is no more than one bad run.

use serde::{Deserialize, Serialize};
use std::io::Read;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::sim::{Report, Violation};

/// What each run of a campaign has in common.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub minutes: u64,
    pub nodes: Option<usize>,
    pub mistake: Option<String>,
}

impl Terms {
    /// The arguments that make one run.
    pub fn arguments(&self, seed: u64) -> Vec<String> {
        let mut all = vec!["replay".into(), seed.to_string(), "--minutes".into(), self.minutes.to_string()];
        all.extend(self.nodes.into_iter().flat_map(|n| ["--nodes".into(), n.to_string()]));
        all.extend(self.mistake.iter().flat_map(|m| ["--mistake".into(), m.clone()]));
        all
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
    /// The end of its trace, if a promise was broken.
    pub last: Vec<String>,
}

/// Lines of a trace that are shown for a broken promise.
const LAST_LINES: usize = 12;

impl Summary {
    /// Of a run that came to its end.
    pub fn of(report: &Report) -> Self {
        let from = report.lines.len().saturating_sub(LAST_LINES);
        Self {
            seed: report.plan.seed,
            peers: report.plan.peers,
            faults: report.struck,
            calls: report.history.len(),
            simulated_s: report.simulated.as_secs_f64(),
            took_s: report.took.as_secs_f64(),
            violation: report.violation.clone(),
            last: if report.violation.is_some() { report.lines[from..].to_vec() } else { vec![] },
        }
    }

    /// Of one that did not.
    fn failed(seed: u64, why: String) -> Self {
        let violation = Violation { invariant: "a_run_ends".into(), what: why };
        let (peers, faults, calls, simulated_s, took_s, last) = (0, 0, 0, 0.0, 0.0, vec![]);
        Self { seed, peers, faults, calls, simulated_s, took_s, violation: Some(violation), last }
    }
}

/// How long one run may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// Runs one seed.
pub fn run_one(seed: u64, terms: &Terms) -> Summary {
    let run = || -> std::io::Result<String> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(terms.arguments(seed))
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let Some(mut out) = child.stdout.take() else { return Ok(String::new()) };
        let (sender, text) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            drop(out.read_to_string(&mut text));
            drop(sender.send(text));
        });
        let text = text.recv_timeout(DEADLINE);
        drop(child.kill());
        let status = child.wait()?;
        text.map(|text| if text.is_empty() { status.to_string() } else { text })
            .map_err(|_| std::io::Error::other(format!("no end within {DEADLINE:?}")))
    };
    match run() {
        Ok(text) => {
            serde_json::from_str(&text).unwrap_or_else(|_| Summary::failed(seed, format!("it ended: {text}")))
        }
        Err(e) => Summary::failed(seed, e.to_string()),
    }
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
