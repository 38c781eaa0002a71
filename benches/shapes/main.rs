//! The shapes of work that are compared: `cargo bench --bench shapes -- --help`.

mod checkpoints;
mod common;
mod local;
mod premium;
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
        /// How large the graph of a job is: 2^SCALE nodes.
        #[arg(long, default_value_t = 20)]
        scale: u32,
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
    OneCheckpoint { mib: usize, keeper: checkpoints::Keeper },
    #[command(hide = true)]
    OnePremium { contender: premium::Contender, scale: u32, iterations: u64 },
    /// One peer of such a job.
    #[command(hide = true)]
    Worker(pagerank::cli::WorkerArgs),
    #[command(hide = true)]
    Serve { contender: remote::Carrier, dir: PathBuf },
}

fn main() -> io::Result<()> {
    match Cli::parse().what {
        What::All { rounds, carrier, mib, scale, out } => all(rounds, &or_all(carrier), (mib, scale), out),
        What::Local { rounds, shape, contender } => or_all(shape)
            .into_iter()
            .try_for_each(|shape| show(&sections::local(shape, &or_all(contender.clone()), rounds)?)),
        What::Remote { rounds, contender } => show(&sections::remote(&or_all(contender), rounds)?),
        What::OneLocal { shape, contender } => say(&local::run(shape, contender)),
        What::OneRemote { contender } => say(&remote::run(contender)),
        What::Checkpoints { rounds, mib } => show(&sections::checkpoints(mib, rounds)?),
        What::OneCheckpoint { mib, keeper } => say(&checkpoints::run(keeper, mib)),
        What::Premium { rounds, scale } => show(&premium::section(scale, rounds)?),
        What::OnePremium { contender, scale, iterations } => say(&premium::run(contender, scale, iterations)),
        What::Worker(args) => common::on_tokio(pagerank::work(args)).map_err(io::Error::other),
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

fn all(
    rounds: usize,
    carriers: &[remote::Carrier],
    (mib, scale): (usize, u32),
    out: Option<PathBuf>,
) -> io::Result<()> {
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
    eprintln!("premium: {} rounds", rounds.min(3));
    sections.push(premium::section(scale, rounds.min(3))?);
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
