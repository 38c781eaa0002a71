//! One piece under callgrind.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Instructions.
    pub instructions: f64,
    /// Those among them that other cores must hear of: what threads share costs that.
    pub locked: f64,
}

impl Counts {
    pub fn of_each(self, times: u64) -> Self {
        // Two digits are enough, and make short differences between two baselines.
        let each = |count: f64| (count * 100.0 / times as f64).round() / 100.0;
        Self { instructions: each(self.instructions), locked: each(self.locked) }
    }
}

/// Runs one piece in a process of its own, and counts what `guarded_work` did.
pub fn count(name: &str, keep: Option<&Path>) -> io::Result<Counts> {
    let file = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let out = keep.map_or(PathBuf::from("/dev/null"), |dir| dir.join(format!("callgrind.out.{file}")));
    let mut command = Command::new("valgrind");
    command
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*guarded_work*",
            "--collect-bus=yes",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--run", name]);
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other("valgrind is missing: on Debian or Ubuntu, apt-get install valgrind")
        }
        _ => e,
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = |why: &str| io::Error::other(format!("{name}: {why}; valgrind said:\n{said}"));
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    collected(&said).ok_or_else(|| failed("nothing was counted"))
}

/// `==1== Collected : 123 4`
fn collected(said: &str) -> Option<Counts> {
    let (_, counts) = said.lines().find_map(|line| line.split_once("Collected :"))?;
    let mut counts = counts.split_whitespace().map(|count| count.parse().ok());
    // A count of none at the end is left out.
    let counts = Counts { instructions: counts.next()??, locked: counts.next().flatten().unwrap_or(0.0) };
    (counts.instructions > 0.0).then_some(counts)
}
