//! One after the other, each in a process of its own.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};

use crate::Figures;

/// What one run of one contender measured: named figures. Its process prints it as one line of JSON.
pub type Sample = BTreeMap<String, f64>;

/// Runs each contender once in every round, in turn; one more round before warms up and does not count, unless only one
/// is wanted. `command` makes the process of one. Each figure's values, by contender and name.
///
/// # Errors
/// If a process fails, or prints no figures.
pub fn turns(
    contenders: &[&str],
    rounds: usize,
    mut command: impl FnMut(&str) -> Command,
) -> io::Result<BTreeMap<(String, String), Figures>> {
    let mut all: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for round in usize::from(rounds == 1)..=rounds {
        for contender in contenders {
            let sample =
                run(command(contender)).map_err(|e| io::Error::other(format!("{contender}: {e}")))?;
            if round > 0 {
                for (name, value) in sample {
                    all.entry(((*contender).to_owned(), name)).or_default().0.push(value);
                }
            }
        }
    }
    Ok(all)
}

fn run(mut command: Command) -> io::Result<Sample> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("it ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rfind(|line| line.starts_with('{'));
    line.and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| io::Error::other(format!("no figures in {text:?}")))
}
