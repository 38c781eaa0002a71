//! The page of many runs.

use serde::Serialize;
use std::collections::BTreeMap;

use super::html;
use super::spread::Spread;
use crate::fleet::Summary;

/// Rows that a page holds.
const MOST_ROWS: usize = 20_000;
const MOST_RECOVERIES: usize = 4_000_000;

/// One run.
#[derive(Debug, Clone, Serialize)]
struct Row {
    seed: u64,
    peers: usize,
    faults: u64,
    calls: usize,
    recoveries: usize,
    simulated_s: f64,
    took_s: f64,
    broken: Option<String>,
}

/// Sums over runs that have something in common.
#[derive(Debug, Clone, Default, Serialize)]
struct Sum {
    runs: u64,
    broken: u64,
    faults: u64,
    calls: usize,
    simulated_s: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Broken {
    seed: u64,
    invariant: String,
    what: String,
    replay: String,
    last: Vec<String>,
}

/// What the page is made of.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Campaign {
    title: String,
    version: String,
    command: String,
    rows: Vec<Row>,
    all: Sum,
    by_size: BTreeMap<usize, Sum>,
    /// For each family of faults, how often it struck, in how many runs, and in how many of those a promise broke.
    by_family: BTreeMap<String, Sum>,
    broken: Vec<Broken>,
    recoveries: Spread,
    speed: Spread,
    #[serde(skip)]
    away_ms: Vec<u64>,
}

impl Campaign {
    /// A page without runs yet, for a campaign started by this command.
    pub fn new(command: String) -> Self {
        let title = "A campaign of simulated clusters under faults".into();
        Self { title, version: super::version(), command, ..Self::default() }
    }

    /// Adds a run; this command makes it again.
    pub fn add(&mut self, run: &Summary, replay: String) {
        let by_size = self.by_size.entry(run.peers).or_default();
        for sum in [&mut self.all, by_size] {
            sum.add(run, run.faults);
        }
        for (family, struck) in &run.families {
            self.by_family.entry(family.clone()).or_default().add(run, *struck);
        }
        let room = MOST_RECOVERIES.saturating_sub(self.away_ms.len());
        self.away_ms.extend(run.recoveries_ms.iter().take(room));
        if let Some(violation) = &run.violation
            && self.broken.len() < MOST_ROWS
        {
            let (invariant, what) = (violation.invariant.clone(), violation.what.clone());
            self.broken.push(Broken { seed: run.seed, invariant, what, replay, last: run.last.clone() });
        }
        if self.rows.len() < MOST_ROWS {
            self.rows.push(Row::of(run));
        }
    }

    /// The page, with all runs so far.
    pub fn html(mut self) -> String {
        self.rows.sort_by_key(|row| row.seed);
        self.broken.sort_by_key(|broken| broken.seed);
        self.recoveries = Spread::of(self.away_ms.iter().map(|ms| *ms as f64));
        self.speed = Spread::of(self.rows.iter().map(|row| row.simulated_s / row.took_s));
        html::page(&self.title, &self, &[include_str!("page/campaign.js")])
    }
}

impl Row {
    fn of(run: &Summary) -> Self {
        Self {
            seed: run.seed,
            peers: run.peers,
            faults: run.faults,
            calls: run.calls,
            recoveries: run.recoveries_ms.len(),
            simulated_s: run.simulated_s,
            took_s: run.took_s,
            broken: run.violation.as_ref().map(|violation| violation.invariant.clone()),
        }
    }
}

impl Sum {
    fn add(&mut self, run: &Summary, faults: u64) {
        self.runs += 1;
        self.broken += u64::from(run.violation.is_some());
        self.faults += faults;
        self.calls += run.calls;
        self.simulated_s += run.simulated_s;
    }
}
