//! What a run tells on its way, and at its end.

use clap::ValueEnum;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

use super::Options;
use super::clock;
use super::record::{Recorder, Sums};
use super::relay::Net;
use crate::sim::Violation;

/// How often a line tells how it goes.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Prints a line now and then; to the other stream if the result is to be read by a program.
pub async fn progress(recorder: Recorder, quiet: bool) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let line = progress_line(&recorder.sums());
        if quiet { eprintln!("{line}") } else { println!("{line}") }
    }
}

fn progress_line(sums: &Sums) -> String {
    let at = clock::elapsed().as_secs();
    let faults: Vec<String> = sums.faults.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    let calls = sums.calls;
    format!(
        "{:>3}:{:02} peers up {}; calls {} ok, {} not executed, {} unknown; {}",
        at / 60,
        at % 60,
        sums.peers_up,
        calls.done,
        calls.not_executed,
        calls.unknown,
        faults.join(", ")
    )
}

/// All that is left of a run.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub seed: u64,
    pub nodes: usize,
    pub out: std::path::PathBuf,
    pub took_s: f64,
    pub interrupted: bool,
    pub kills: u64,
    pub replacements: u64,
    pub partitions: u64,
    /// Faults by kind, calls by outcome, and every single time.
    #[serde(flatten)]
    pub sums: Sums,
    pub downtimes: Times,
    pub restores: Times,
    pub majority_lives: Times,
    pub everybody_lives: Times,
    pub violation: Option<Violation>,
    /// The events before it, if a promise was broken.
    pub last: Vec<String>,
    pub repeat: String,
    #[serde(skip)]
    json: bool,
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    pub count: usize,
    pub median_ms: u64,
    pub p99_ms: u64,
    pub most_ms: u64,
}

impl Times {
    fn of(all: &[u64]) -> Self {
        let mut all = all.to_vec();
        all.sort_unstable();
        let at =
            |of_100: usize| all.get((all.len() * of_100 / 100).min(all.len().saturating_sub(1))).copied();
        Self {
            count: all.len(),
            median_ms: at(50).unwrap_or(0),
            p99_ms: at(99).unwrap_or(0),
            most_ms: all.last().copied().unwrap_or(0),
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, median_ms, p99_ms, most_ms } = self;
        write!(f, "{count} times; median {median_ms} ms, 99th percentile {p99_ms} ms, most {most_ms} ms")
    }
}

impl Summary {
    /// Of a run that is over.
    pub fn of(options: &Options, recorder: &Recorder, interrupted: bool) -> Self {
        let sums = recorder.sums().clone();
        let count = |some: &[&str]| some.iter().filter_map(|kind| sums.faults.get(*kind)).sum();
        let violation = recorder.violation();
        let Options { minutes, seed, nodes, net, mistake, .. } = options;
        let net = net.to_possible_value().filter(|_| *net != Net::Auto);
        Self {
            seed: *seed,
            nodes: *nodes,
            out: options.out.clone(),
            took_s: clock::elapsed().as_secs_f64(),
            interrupted,
            kills: count(&["kill"]),
            replacements: count(&[
                "replacement with an empty disk",
                "replacement with an empty disk, same port",
                "replacement with an old disk",
                "usurper",
            ]),
            partitions: count(&["isolation", "one-way isolation", "split", "ring", "swizzle"]),
            downtimes: Times::of(&sums.downtimes_ms),
            restores: Times::of(&sums.restores_ms),
            majority_lives: Times::of(&sums.majority_ms),
            everybody_lives: Times::of(&sums.everybody_ms),
            last: if violation.is_some() { recorder.last() } else { vec![] },
            violation,
            repeat: format!(
                "cargo run -p chaos -- run --minutes {minutes} --seed {seed} --nodes {nodes}{}{} --out NEW_DIR",
                net.map(|net| format!(" --net {}", net.get_name())).unwrap_or_default(),
                mistake.as_ref().map(|name| format!(" --mistake {name}")).unwrap_or_default()
            ),
            json: options.json,
            sums,
        }
    }

    /// Prints it, and keeps it beside the events.
    pub fn tell(&self) -> ExitCode {
        let text = serde_json::to_string(self).unwrap_or_default();
        if let Err(e) = std::fs::write(self.out.join("summary.json"), &text) {
            eprintln!("{}: {e}", self.out.display());
        }
        if self.json {
            println!("{text}");
        } else {
            self.print();
        }
        match (&self.violation, self.interrupted) {
            (Some(_), _) => ExitCode::FAILURE,
            (None, true) => ExitCode::from(130),
            (None, false) => ExitCode::SUCCESS,
        }
    }

    fn print(&self) {
        let calls = self.sums.calls;
        println!("{}", progress_line(&self.sums));
        println!(
            "{:.0} s, {} rounds, {} kills, {} replacements, {} partitions",
            self.took_s, self.sums.rounds, self.kills, self.replacements, self.partitions
        );
        println!(
            "{} calls answered, {} not executed, {} unknown",
            calls.done, calls.not_executed, calls.unknown
        );
        println!(
            "{} times an actor ran in its home's place, {} times one moved",
            self.sums.taken_over, self.sums.moved
        );
        println!("actors ran again after a kill {}", self.downtimes);
        println!("and after the new process listened {}", self.restores);
        println!("a healed majority lived {}; everybody {}", self.majority_lives, self.everybody_lives);
        println!("kept in {}: events.jsonl, history.jsonl, summary.json, logs/, disks/", self.out.display());
        if let Some(Violation { invariant, what }) = &self.violation {
            println!("the last events:");
            self.last.iter().for_each(|line| println!("  {line}"));
            println!("VIOLATION {invariant}: {what}");
            println!("the same faults again: {}", self.repeat);
        } else if self.interrupted {
            println!("interrupted; no promise was broken until then");
        } else {
            println!("every promise was kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let all: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(Times::of(&all), Times { count: 100, median_ms: 51, p99_ms: 100, most_ms: 100 });
        assert_eq!(Times::of(&[]), Times::default());
    }
}
