//! Finds bugs before a user's ten-hour job does: whole clusters under faults, in simulated time.

mod fate;
mod plan;
mod sim;
mod trace;
mod work;

use clap::{Parser, Subcommand};
use std::ops::Range;
use std::process::ExitCode;

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
        /// Go on after a broken promise.
        #[arg(long)]
        keep_going: bool,
    },
    /// One seed again, with all that happened in it.
    Replay {
        seed: u64,
        #[arg(long)]
        nodes: Option<usize>,
        #[arg(long, default_value_t = 2)]
        minutes: u64,
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
            .without_time()
            .with_writer(std::io::stderr)
            .try_init(),
    );
    match Cli::parse().what {
        What::Sim { seeds, jobs, nodes, minutes, keep_going } => {
            campaign(seeds, jobs, nodes, minutes, keep_going)
        }
        What::Replay { seed, nodes, minutes, history } => {
            let report = sim::run(&Plan::draw(seed, nodes, minutes * 60));
            report.lines.iter().for_each(|line| println!("{line}"));
            if let Some(path) = history {
                drop(std::fs::write(path, serde_json::to_string(&report.history).unwrap_or_default()));
            }
            ExitCode::from(u8::from(report.violation.is_some()))
        }
    }
}

fn campaign(
    seeds: Range<u64>,
    jobs: usize,
    nodes: Option<usize>,
    minutes: u64,
    keep_going: bool,
) -> ExitCode {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let bad = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = sim::run(&Plan::draw(seed, nodes, minutes * 60));
                    let speed = report.simulated.as_secs_f64() / report.took.as_secs_f64();
                    let calls = report.history.accesses.len() + report.history.orders.len();
                    println!(
                        "seed {seed}: {} peers, {} faults, {calls} calls, {:.0} s in {:.1} s ({speed:.0}x){}",
                        report.plan.peers,
                        report.struck,
                        report.simulated.as_secs_f64(),
                        report.took.as_secs_f64(),
                        report.violation.as_ref().map_or(String::new(), |v| format!(
                            "\n  VIOLATION {}: {}\n  replay: cargo run -p chaos -- replay {seed} --minutes {minutes}",
                            v.invariant, v.what
                        )),
                    );
                    if report.violation.is_some() {
                        bad.fetch_add(1, Ordering::SeqCst);
                        if !keep_going {
                            stop.store(true, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    ExitCode::from(u8::from(bad.load(Ordering::SeqCst) > 0))
}
