//! Finds bugs before a user's ten-hour job does: whole clusters under faults, in simulated time or as real processes.

mod canary;
mod fate;
mod fleet;
mod plan;
mod run;
mod sim;
mod trace;
mod work;

use clap::{Parser, Subcommand};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;

use fleet::{Summary, Terms};
use plan::Plan;

#[derive(Parser)]
#[command(about = "Runs clusters under faults, and checks what they promise.")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Many seeds, in simulated time; stops at the first broken promise.
    Sim {
        /// Which seeds: A..B, without B.
        #[arg(long, value_parser = seeds, default_value = "0..100")]
        seeds: Range<u64>,
        /// How many at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// How many peers, instead of what the seed says.
        #[arg(long)]
        nodes: Option<usize>,
        /// For how many simulated minutes faults strike.
        #[arg(long, default_value_t = 2)]
        minutes: u64,
        /// Begin no more runs after so many minutes.
        #[arg(long)]
        wall_minutes: Option<u64>,
        /// Go on after a broken promise.
        #[arg(long)]
        keep_going: bool,
    },
    /// Makes one known mistake after another, each until a check notices it.
    Canary {
        /// Only these.
        #[arg(long)]
        only: Vec<String>,
        /// How many seeds each gets.
        #[arg(long, default_value_t = 500)]
        seeds: u64,
        #[arg(long, default_value_t = 1)]
        minutes: u64,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Real processes with real disks, killed, replaced, frozen and cut off; stops at the first broken promise.
    Run(run::Options),
    /// One peer of such a run.
    #[command(hide = true)]
    Peer,
    /// One seed again, with all that happened in it.
    Replay {
        seed: u64,
        #[arg(long)]
        nodes: Option<usize>,
        #[arg(long, default_value_t = 2)]
        minutes: u64,
        /// With this mistake in the protocol; see `canary`.
        #[arg(long)]
        mistake: Option<String>,
        /// Prints one JSON object at the end instead.
        #[arg(long)]
        json: bool,
        /// Writes the clients' calls there, one JSON object a line.
        #[arg(long)]
        history: Option<std::path::PathBuf>,
    },
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("A..B, such as 0..100")?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    // Thousands of crashes and lost packets are no news here.
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(trace::Elapsed)
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(std::io::stderr)
            .try_init(),
    );
    match Cli::parse().what {
        What::Sim { seeds, jobs, nodes, minutes, wall_minutes, keep_going } => {
            let terms = Terms { minutes, nodes, mistake: None };
            campaign(seeds, jobs, &terms, wall_minutes, keep_going)
        }
        What::Canary { only, seeds, minutes, jobs } => canary::catch_all(&only, seeds, minutes, jobs),
        What::Run(options) => run::run(&options),
        What::Peer => run::peer(),
        What::Replay { seed, nodes, minutes, mistake, json, history } => {
            let mistake = match mistake.as_deref().map(|name| canary::named(name).ok_or(name)) {
                None => None,
                Some(Ok(mistake)) => Some(mistake),
                Some(Err(name)) => {
                    eprintln!(
                        "there is no mistake {name}; those there are: {:?}",
                        standin::canary::Mistake::ALL
                    );
                    return ExitCode::from(2);
                }
            };
            let report = sim::run(&Plan::draw(seed, nodes, minutes * 60), mistake);
            if json {
                println!("{}", serde_json::to_string(&Summary::of(&report)).unwrap_or_default());
            } else {
                report.lines.iter().for_each(|line| println!("{line}"));
            }
            if let Some(path) = history {
                drop(std::fs::write(path, serde_json::to_string(&report.history).unwrap_or_default()));
            }
            ExitCode::from(u8::from(report.violation.is_some()))
        }
    }
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
}

fn campaign(
    seeds: Range<u64>,
    jobs: usize,
    terms: &Terms,
    wall_minutes: Option<u64>,
    keep_going: bool,
) -> ExitCode {
    // Tokio's clock: a wall clock may jump.
    let begun = tokio::time::Instant::now();
    let late = || wall_minutes.is_some_and(|minutes| begun.elapsed().as_secs() >= minutes * 60);
    let sums = Mutex::new(Sums::default());
    fleet::run_all(seeds, jobs, terms, |run| {
        let Ok(mut sums) = sums.lock() else { return true };
        sums.runs += 1;
        sums.faults += run.faults;
        sums.calls += run.calls;
        sums.simulated_s += run.simulated_s;
        sums.took_s += run.took_s;
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
            sums.bad += 1;
            run.last.iter().for_each(|line| println!("  {line}"));
            println!("  VIOLATION {}: {}", violation.invariant, violation.what);
            println!("  replay: cargo run -p chaos -- {}", terms.arguments(run.seed).join(" "));
        }
        late() || (run.violation.is_some() && !keep_going)
    });
    let sums = sums.into_inner().unwrap_or_default();
    println!(
        "{} runs, {} broken promises; {:.1} simulated hours, {} faults, {} calls; {:.0} times as fast as time",
        sums.runs,
        sums.bad,
        sums.simulated_s / 3600.0,
        sums.faults,
        sums.calls,
        sums.simulated_s / sums.took_s
    );
    ExitCode::from(u8::from(sums.bad > 0))
}
