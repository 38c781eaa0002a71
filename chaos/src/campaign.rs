//! Many seeds, and what they come to.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use crate::fleet::{self, Summary, Terms};
use crate::replay;
use crate::report::Campaign;

/// How far a campaign goes, and what is made of it.
pub struct Wanted {
    pub seeds: Range<u64>,
    pub jobs: usize,
    pub wall_minutes: Option<u64>,
    pub keep_going: bool,
    pub report: Option<PathBuf>,
}

/// Sums over a campaign.
#[derive(Default)]
struct Sums {
    runs: u64,
    bad: u64,
    faults: u64,
    calls: usize,
    simulated_s: f64,
    took_s: f64,
    page: Campaign,
}

impl Sums {
    fn add(&mut self, run: &Summary, replay: String) {
        self.runs += 1;
        self.bad += u64::from(run.violation.is_some());
        self.faults += run.faults;
        self.calls += run.calls;
        self.simulated_s += run.simulated_s;
        self.took_s += run.took_s;
        self.page.add(run, replay);
    }

    fn show(&self) {
        println!(
            "{} runs, {} broken promises; {:.1} simulated hours, {} faults, {} calls; \
             {:.0} times as fast as time",
            self.runs,
            self.bad,
            self.simulated_s / 3600.0,
            self.faults,
            self.calls,
            self.simulated_s / self.took_s
        );
    }
}

fn show(run: &Summary, replay: &str) {
    println!(
        "seed {}: {} peers, {} faults, {} calls, {:.0} s in {:.1} s ({:.0}x)",
        run.seed,
        run.peers,
        run.faults,
        run.calls,
        run.simulated_s,
        run.took_s,
        run.simulated_s / run.took_s
    );
    if let Some(violation) = &run.violation {
        run.last.iter().for_each(|line| println!("  {line}"));
        println!("  VIOLATION {}: {}", violation.invariant, violation.what);
        println!("  replay: {replay}");
    }
}

/// Runs seeds until one breaks a promise, or on and on.
pub fn campaign(wanted: Wanted, terms: &Terms) -> ExitCode {
    // Tokio's clock: a wall clock may jump.
    let begun = tokio::time::Instant::now();
    let late = || wanted.wall_minutes.is_some_and(|minutes| begun.elapsed().as_secs() >= minutes * 60);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let page = Campaign::new(format!("cargo run -p chaos -- {}", arguments.join(" ")));
    let sums = Mutex::new(Sums { page, ..Sums::default() });
    fleet::run_all(wanted.seeds, wanted.jobs, terms, |run| {
        let Ok(mut sums) = sums.lock() else { return true };
        let replay = terms.command(run.seed);
        show(&run, &replay);
        let broken = run.violation.is_some();
        sums.add(&run, replay);
        late() || (broken && !wanted.keep_going)
    });
    let sums = sums.into_inner().unwrap_or_default();
    sums.show();
    let bad = sums.bad;
    if let Some(Err(why)) = wanted.report.map(|path| replay::write(&path, &sums.page.html())) {
        eprintln!("{why}");
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(bad > 0))
}
