//! PageRank on peers that may die. What it does is in the library of the same name.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use pagerank::cli::{Cli, Role, WorkerArgs};
use pagerank::run::Summary;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { run, role } = Cli::parse();
    let outcome = match role {
        Some(Role::Worker(args)) => serve(args).await.map(|()| true),
        None => match pagerank::lead(&run).await {
            Ok(summary) => print(&summary, run.json).map_err(|e| e.to_string()).map(|()| summary.matches),
            Err(error) => Err(error),
        },
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
    pagerank::work(args).await
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
