//! PageRank over the Debian dependency graph, or over a generated one, on peers that may die: a run starts them, and
//! this same program is each of them. `benches` uses it, too.

pub mod bare;
pub mod cli;
mod graph;
mod job;
mod rank;
mod rmat;
pub mod run;
mod wire;
mod words;
mod worker;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use cli::RunArgs;
use run::{Issue, Setup, Style, Summary};
use standin::identity::Authority;

pub use worker::run as work;

/// Runs the whole job, on processes of this same program that are told to be a worker.
///
/// # Errors
/// It did not come to an end.
pub async fn lead(args: &RunArgs) -> Result<Summary, String> {
    args.check()?;
    let graph = args.source().open().map_err(|error| error.to_string())?;
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
    run::run(args, &graph, Setup { program, dir, issue, style, out: io::stdout() }).await
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
