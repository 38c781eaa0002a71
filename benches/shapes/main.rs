//! The shapes of work that are compared: `cargo bench --bench shapes -- --help`.

mod all;
mod checkpoints;
mod commits;
mod common;
mod local;
mod many;
mod ours;
mod premium;
mod quic;
mod remote;
mod scale;
mod sections;

use std::io;
use std::path::PathBuf;

use benches::{Sample, Section};
use clap::{Parser, Subcommand, ValueEnum};

use remote::tells::{self, Tell};

#[derive(Parser)]
#[command(about = "Does the same work with several libraries, in turn, and compares.")]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Everything.
    All(all::Everything),
    /// Messages within one process.
    Local {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Only these shapes.
        #[arg(long)]
        shape: Vec<local::Shape>,
        /// Only these contenders.
        #[arg(long)]
        contender: Vec<local::Contender>,
    },
    /// Messages between two processes.
    Remote {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Only these contenders.
        #[arg(long)]
        contender: Vec<remote::Carrier>,
    },
    /// Messages between two processes without a reply, plain and reliable.
    Tells {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A large state: stored, changed a little, and restored.
    Checkpoints {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// So large, in MiB.
        #[arg(long, default_value_t = 1024)]
        mib: usize,
    },
    /// Many small actors: their checkpoints, and how soon they are back.
    Many {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// So many.
        #[arg(long, default_value_t = 100_000)]
        actors: usize,
    },
    /// More peers, voters and actors, and larger states.
    Scale {
        #[arg(long, default_value_t = 2)]
        rounds: usize,
        /// Writes the plots into this directory.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Entries of the log on a majority of disks.
    Commits {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// With so many voters.
        #[arg(long, value_delimiter = ',', default_values_t = VOTERS)]
        voters: Vec<usize>,
    },
    /// A job with checkpoints every second, without, and on bare tasks.
    Premium {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// The graph has 2^SCALE nodes.
        #[arg(long, default_value_t = 20)]
        scale: u32,
    },
    /// One run of one contender.
    #[command(hide = true)]
    OneLocal { shape: local::Shape, contender: local::Contender },
    #[command(hide = true)]
    OneRemote { contender: remote::Carrier },
    #[command(hide = true)]
    OneTell { how: Tell },
    #[command(hide = true)]
    OneCheckpoint { mib: usize, keeper: checkpoints::Keeper },
    #[command(hide = true)]
    OneMany { actors: usize, work: many::Work },
    #[command(hide = true)]
    OneScalePeers { peers: usize },
    #[command(hide = true)]
    OneScaleActors { actors: u64 },
    #[command(hide = true)]
    OneScaleStates { mib: usize },
    #[command(hide = true)]
    OneScaleVoters { voters: usize },
    #[command(hide = true)]
    OneCommits { voters: usize, log: commits::Log },
    #[command(hide = true)]
    ServeCommits(commits::Member),
    #[command(hide = true)]
    OnePremium { scale: u32, iterations: u64, contender: premium::Contender },
    /// One peer of such a job.
    #[command(hide = true)]
    Worker(pagerank::cli::WorkerArgs),
    #[command(hide = true)]
    Serve { contender: remote::Carrier, dir: PathBuf },
    #[command(hide = true)]
    ServeTells { dir: PathBuf },
}

/// Of the logs that are compared.
const VOTERS: [usize; 2] = [3, 11];

fn main() -> io::Result<()> {
    match Cli::parse().what {
        What::All(wanted) => all::all(&wanted),
        What::Local { rounds, shape, contender } => or_all(shape)
            .into_iter()
            .try_for_each(|shape| show(&sections::local(shape, &or_all(contender.clone()), rounds)?)),
        What::Remote { rounds, contender } => show(&sections::remote(&or_all(contender), rounds)?),
        What::OneLocal { shape, contender } => say(&local::run(shape, contender)),
        What::OneRemote { contender } => say(&remote::run(contender)),
        What::Tells { rounds } => show(&sections::tells(rounds)?),
        What::OneTell { how } => say(&tells::run(how)),
        What::Checkpoints { rounds, mib } => show(&sections::checkpoints(mib, rounds)?),
        What::OneCheckpoint { mib, keeper } => say(&checkpoints::run(keeper, mib)),
        What::Many { rounds, actors } => show(&sections::many(actors, rounds)?),
        What::OneMany { actors, work } => say(&many::run(work, actors)),
        What::Scale { rounds, out } => {
            let growths = scale::sections(rounds, false)?;
            print!("{}", all::text_of(&growths)?);
            out.map_or(Ok(()), |dir| all::draw(&growths, &dir))
        }
        What::OneScalePeers { peers } => say(&scale::run_peers(peers)),
        What::OneScaleActors { actors } => say(&scale::run_actors(actors)),
        What::OneScaleStates { mib } => say(&scale::run_states(mib)),
        What::OneScaleVoters { voters } => say(&scale::run_voters(voters)),
        What::Commits { rounds, voters } => {
            voters.into_iter().try_for_each(|voters| show(&commits::section(voters, rounds)?))
        }
        What::OneCommits { voters, log } => say(&commits::run(log, voters)),
        What::ServeCommits(member) => {
            commits::serve(&member);
            Ok(())
        }
        What::Premium { rounds, scale } => show(&premium::section(scale, rounds)?),
        What::OnePremium { scale, iterations, contender } => say(&premium::run(contender, scale, iterations)),
        What::Worker(args) => common::on_tokio(pagerank::work(args)).map_err(io::Error::other),
        What::Serve { contender, dir } => {
            remote::serve(contender, &dir);
            Ok(())
        }
        What::ServeTells { dir } => {
            tells::serve(&dir);
            Ok(())
        }
    }
}

fn or_all<T: ValueEnum>(some: Vec<T>) -> Vec<T> {
    if some.is_empty() { T::value_variants().to_vec() } else { some }
}

fn say(sample: &Sample) -> io::Result<()> {
    println!("{}", serde_json::to_string(sample)?);
    Ok(())
}

fn show(section: &Section) -> io::Result<()> {
    let mut text = String::new();
    section.write(&mut text).map_err(io::Error::other)?;
    print!("{text}");
    Ok(())
}
