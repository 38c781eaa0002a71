//! Finds bugs before a user's ten-hour job does: whole clusters under faults, in simulated time or as real processes.

mod campaign;
mod canary;
mod fate;
mod fleet;
mod model;
mod plan;
mod plan_file;
mod profile;
mod replay;
mod report;
mod run;
mod shrink;
mod sim;
mod trace;
mod work;

use clap::{Parser, Subcommand};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use fleet::Terms;
use profile::Profile;

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
        #[command(flatten)]
        drawn: Drawn,
        /// Begin no more runs after so many minutes.
        #[arg(long)]
        wall_minutes: Option<u64>,
        /// Go on after a broken promise.
        #[arg(long)]
        keep_going: bool,
        /// Writes a page about all runs there, as HTML.
        #[arg(long)]
        report: Option<PathBuf>,
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
        /// What faults there are.
        #[arg(long, default_value = "default")]
        profile: Profile,
    },
    /// Makes the faults of a seed that breaks a promise fewer, as long as it breaks the same one.
    Shrink {
        /// Which seed.
        seed: u64,
        #[command(flatten)]
        drawn: Drawn,
        /// With this mistake in the protocol; see `canary`.
        #[arg(long)]
        mistake: Option<String>,
        /// How many at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// No more runs than about so many.
        #[arg(long, default_value_t = 500)]
        tries: usize,
        /// Begin no more runs after so many minutes.
        #[arg(long, default_value_t = 15)]
        wall_minutes: u64,
        /// Writes what is left there, for `replay --plan`; without it, to plan-SEED.json.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// A page about a run with real processes, from what it left in its directory.
    Report {
        /// It holds events.jsonl, and history.jsonl if there were clients.
        dir: PathBuf,
        /// Writes the page there, as HTML.
        #[arg(long)]
        out: PathBuf,
    },
    /// Every state of a small cluster, on the library's own core.
    Model(model::Arguments),
    /// Real processes with real disks, killed, replaced, frozen and cut off; stops at the first broken promise.
    Run(run::Options),
    /// One peer of such a run.
    #[command(hide = true)]
    Peer,
    /// One seed again, with all that happened in it.
    Replay {
        /// Which seed.
        #[arg(required_unless_present = "plan")]
        seed: Option<u64>,
        /// A plan as JSON instead of a seed, as `shrink` writes it; `-` is standard input.
        #[arg(long, conflicts_with_all = ["seed", "nodes", "minutes", "profile"])]
        plan: Option<PathBuf>,
        #[command(flatten)]
        drawn: Drawn,
        /// With this mistake in the protocol; see `canary`.
        #[arg(long)]
        mistake: Option<String>,
        /// Prints one JSON object at the end instead.
        #[arg(long)]
        json: bool,
        /// Writes the clients' calls there, one JSON object a line.
        #[arg(long)]
        history: Option<PathBuf>,
        /// Writes a page about the run there, as HTML.
        #[arg(long)]
        report: Option<PathBuf>,
    },
}

/// What a seed's plan is drawn for.
#[derive(clap::Args)]
struct Drawn {
    /// How many peers, instead of what the seed says.
    #[arg(long)]
    nodes: Option<usize>,
    /// For how many simulated minutes faults strike.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// What faults there are.
    #[arg(long, default_value = "default")]
    profile: Profile,
}

impl Drawn {
    fn terms(self, mistake: Option<String>) -> Terms {
        Terms { minutes: self.minutes, nodes: self.nodes, mistake, profile: self.profile }
    }
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
        What::Sim { seeds, jobs, drawn, wall_minutes, keep_going, report } => {
            let wanted = campaign::Wanted { seeds, jobs, wall_minutes, keep_going, report };
            campaign::campaign(wanted, &drawn.terms(None))
        }
        What::Canary { only, seeds, minutes, jobs, profile } => {
            canary::catch_all(&only, seeds, &Terms { minutes, profile, ..Terms::default() }, jobs)
        }
        What::Shrink { seed, drawn, mistake, jobs, tries, wall_minutes, out } => {
            let wall = Duration::from_secs(wall_minutes * 60);
            shrink::shrink(seed, &drawn.terms(mistake), shrink::Bounds { jobs, tries, wall }, out)
        }
        What::Model(arguments) => model::run(arguments),
        What::Run(options) => run::run(&options),
        What::Peer => run::peer(),
        What::Report { dir, out } => replay::page_of(&dir, &out),
        What::Replay { seed, plan, drawn, mistake, json, history, report } => {
            let (plan, command) = match plan {
                Some(path) => match plan_file::read(&path) {
                    Ok(plan) => (plan, shrink::command(&path, mistake.as_deref())),
                    Err(why) => {
                        eprintln!("{why}");
                        return ExitCode::from(2);
                    }
                },
                None => {
                    let seed = seed.unwrap_or_default();
                    let terms = drawn.terms(mistake.clone());
                    (terms.plan(seed), terms.command(seed))
                }
            };
            replay::replay(&plan, &replay::Wanted { mistake, json, history, report, command })
        }
    }
}
