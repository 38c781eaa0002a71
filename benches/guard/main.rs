//! Counts instructions, and compares with the baseline: `cargo run --release --bin guard -- --help`.
//!
//! Times are noise on a machine that others use, too; what a processor is told to do is not. Each piece runs in a process
//! of its own under callgrind, which looks only at what [`guarded_work`] does.

mod baseline;
mod callgrind;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baseline::{Baseline, Verdict};
use benches::all_pieces;
use clap::Parser;

/// Rounds before what is done once is done, and rounds that are looked at.
const WARM_UP: u64 = 10;
const ROUNDS: u64 = 10;

#[derive(Parser)]
#[command(about = "Counts the instructions of hot paths, and compares them with benches/instructions.json.")]
struct Cli {
    /// Only pieces with this in their name.
    #[arg(default_value = "")]
    only: String,
    /// Writes what was counted into the baseline.
    #[arg(long)]
    renew: bool,
    /// Keeps what callgrind has found out in this directory, for callgrind_annotate.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Runs one piece.
    #[arg(long, hide = true)]
    run: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.run {
        Some(name) => run(name),
        None => guard(&cli),
    };
    done.unwrap_or_else(|error| {
        eprintln!("guard: {error}");
        ExitCode::FAILURE
    })
}

fn guard(cli: &Cli) -> io::Result<ExitCode> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let mut baseline = Baseline::read(&path)?;
    if cli.renew {
        baseline.is_made_here();
    } else {
        baseline.check_machine()?;
    }
    let mut worst = Verdict::Same;
    println!("{}", baseline::HEAD);
    for piece in all_pieces().filter(|piece| piece.name.contains(&cli.only)) {
        let counts = callgrind::count(piece.name, cli.keep.as_deref())?.of_each(ROUNDS * piece.times);
        let (line, verdict) = baseline.compare(piece.name, counts);
        println!("{line}");
        worst = worst.max(verdict);
        baseline.note(piece.name, counts);
    }
    if cli.renew {
        baseline.write(&path)?;
        println!("{} is new.", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", worst.advice());
    Ok(if worst == Verdict::Worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(name: &str) -> io::Result<ExitCode> {
    let piece = all_pieces().find(|piece| piece.name == name);
    let piece = piece.ok_or_else(|| io::Error::other(format!("there is no piece {name:?}")))?;
    let mut round = (piece.begin)().map_err(io::Error::other)?;
    for _ in 0..WARM_UP {
        round(&mut |part| part());
    }
    for _ in 0..ROUNDS {
        round(&mut |part| guarded_work(part));
    }
    // What else the process does in the end is not worth the time that it takes under callgrind.
    std::process::exit(0)
}

/// What callgrind looks at: it knows this by its name.
#[inline(never)]
fn guarded_work(part: &mut dyn FnMut()) {
    part();
    std::hint::black_box(());
}
