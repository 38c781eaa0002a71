//! PageRank over the Debian dependency graph, on peers that may die.

mod cli;
mod graph;
mod job;
mod rank;
mod run;
mod wire;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Role, RunArgs, WorkerArgs};
use graph::Graph;
use run::{Issue, Setup, Style, Summary};
use standin::identity::Authority;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { run, role } = Cli::parse();
    let outcome = match role {
        Some(Role::Worker(args)) => serve(args).await.map(|()| true),
        None => lead(&run).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pagerank: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Is one peer. What it logs goes to its standard error, which is a file of the run.
async fn serve(args: WorkerArgs) -> Result<(), String> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    worker::run(args).await
}

/// Runs the whole job. True if its ranks are those of a single process.
async fn lead(args: &RunArgs) -> Result<bool, String> {
    args.check()?;
    let graph = Graph::open(&args.edges).map_err(|error| error.to_string())?;
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let dir = match &args.data_dir {
        Some(dir) => fresh(dir)?,
        None => temporary.path().to_owned(),
    };
    let style = match (args.json, io::stdout().is_terminal()) {
        (true, _) => Style::Silent,
        (false, true) => Style::Live,
        (false, false) => Style::Plain,
    };
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let authority = Authority::create("pagerank").map_err(|error| error.to_string())?;
    let issue: Issue = Box::new(move |node, dir| {
        let identity = authority.issue(node).map_err(|error| error.to_string())?;
        identity.save(dir).map_err(|error| error.to_string())
    });
    let summary = run::run(args, &graph, Setup { program, dir, issue, style, out: io::stdout() }).await?;
    print(&summary, args.json).map_err(|error| error.to_string())?;
    Ok(summary.matches)
}

/// A run founds its own cluster, so it does not start on the remains of another.
fn fresh(dir: &PathBuf) -> Result<PathBuf, String> {
    let describe = |error: io::Error| format!("{}: {error}", dir.display());
    std::fs::create_dir_all(dir).map_err(describe)?;
    if std::fs::read_dir(dir).map_err(describe)?.next().is_some() {
        return Err(format!("{} is not empty; name another --data-dir", dir.display()));
    }
    std::fs::canonicalize(dir).map_err(describe)
}

fn print(summary: &Summary, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)
    } else {
        writeln!(out, "\n{summary}")
    }
}
