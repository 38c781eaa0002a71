//! The shapes of work that are compared: `cargo bench --bench shapes -- --help`.

mod checkpoints;
mod commits;
mod common;
mod local;
mod remote;
mod sections;

use std::io;
use std::path::PathBuf;

use benches::{Sample, Section, conditions, plot};
use clap::{Parser, Subcommand, ValueEnum};

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
    All {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Only these between two processes.
        #[arg(long)]
        carrier: Vec<remote::Carrier>,
        /// How large a large state is, in MiB.
        #[arg(long, default_value_t = 1024)]
        mib: usize,
        /// Writes RESULTS.md and plots into this directory, instead of showing the results.
        #[arg(long)]
        out: Option<PathBuf>,
    },
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
    /// A large state: stored, changed a little, and restored.
    Checkpoints {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// So large, in MiB.
        #[arg(long, default_value_t = 1024)]
        mib: usize,
    },
    /// Entries of the log on a majority of disks.
    Commits {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// With so many voters.
        #[arg(long, value_delimiter = ',', default_values_t = VOTERS)]
        voters: Vec<usize>,
    },
    /// One run of one contender.
    #[command(hide = true)]
    OneLocal { shape: local::Shape, contender: local::Contender },
    #[command(hide = true)]
    OneRemote { contender: remote::Carrier },
    #[command(hide = true)]
    OneCheckpoint { mib: usize, keeper: checkpoints::Keeper },
    #[command(hide = true)]
    OneCommits { voters: usize, log: commits::Log },
    #[command(hide = true)]
    ServeCommits(commits::Member),
    #[command(hide = true)]
    Serve { contender: remote::Carrier, dir: PathBuf },
}

/// Of the logs that are compared.
const VOTERS: [usize; 2] = [3, 11];

fn main() -> io::Result<()> {
    match Cli::parse().what {
        What::All { rounds, carrier, mib, out } => all(rounds, &or_all(carrier), mib, out),
        What::Local { rounds, shape, contender } => or_all(shape)
            .into_iter()
            .try_for_each(|shape| show(&sections::local(shape, &or_all(contender.clone()), rounds)?)),
        What::Remote { rounds, contender } => show(&sections::remote(&or_all(contender), rounds)?),
        What::OneLocal { shape, contender } => say(&local::run(shape, contender)),
        What::OneRemote { contender } => say(&remote::run(contender)),
        What::Checkpoints { rounds, mib } => show(&sections::checkpoints(mib, rounds)?),
        What::OneCheckpoint { mib, keeper } => say(&checkpoints::run(keeper, mib)),
        What::Commits { rounds, voters } => {
            voters.into_iter().try_for_each(|voters| show(&commits::section(voters, rounds)?))
        }
        What::OneCommits { voters, log } => say(&commits::run(log, voters)),
        What::ServeCommits(member) => {
            commits::serve(&member);
            Ok(())
        }
        What::Serve { contender, dir } => {
            remote::serve(contender, &dir);
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

fn all(rounds: usize, carriers: &[remote::Carrier], mib: usize, out: Option<PathBuf>) -> io::Result<()> {
    let mut sections = Vec::new();
    for shape in local::Shape::value_variants() {
        eprintln!("{}: {rounds} rounds", common::name(*shape));
        let mut contenders = or_all(vec![]);
        if *shape == local::Shape::Skynet {
            // See what is said there.
            contenders.retain(|who| *who != local::Contender::Standin);
        }
        sections.push(sections::local(*shape, &contenders, rounds)?);
    }
    eprintln!("remote: {rounds} rounds");
    sections.push(sections::remote(carriers, rounds)?);
    eprintln!("checkpoints: {rounds} rounds");
    sections.push(sections::checkpoints(mib, rounds)?);
    eprintln!("commits: {rounds} rounds");
    for voters in VOTERS {
        sections.push(commits::section(voters, rounds)?);
    }
    let mut text = format!(
        "# Results\n\nWritten by `make bench`. Every contender runs in a process of its own, in turn (A, B, C, A, B, \
         C, ...), for {rounds} rounds after one that does not count. A ratio is the median of the ratios of each \
         round; only ratios say anything about another machine. One of 1.00 is as good as what it is compared with, \
         a higher one is better, also where less is better.\n\n{}\n\n![how good, compared with the floor](plots/messages.svg)\n\n",
        conditions(),
    );
    sections.iter().try_for_each(|section| section.write(&mut text)).map_err(io::Error::other)?;
    let Some(dir) = out else {
        print!("{text}");
        return Ok(());
    };
    std::fs::create_dir_all(dir.join("plots"))?;
    std::fs::write(dir.join("plots/messages.svg"), plot(&sections))?;
    std::fs::write(dir.join("RESULTS.md"), format!("{}\n", text.trim_end()))
}
