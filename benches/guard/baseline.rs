//! What was counted when somebody last agreed with it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::callgrind::Counts;

/// How much more or less is worth a word, in parts of what it was.
const TOLERANCE: f64 = 0.05;
/// Locked instructions are few: half a one is nothing yet.
const LEAST_LOCKED: f64 = 0.5;

pub const HEAD: &str =
    "piece                                instructions       was   change    locked       was";

#[derive(Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// The kind of processor.
    processor: String,
    compiler: String,
    pieces: BTreeMap<String, Counts>,
}

/// What a comparison comes to; the worst is last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Same,
    Better,
    Worse,
}

impl Verdict {
    fn of(now: f64, was: f64, least: f64) -> Self {
        let room = (was * TOLERANCE).max(least);
        match now - was {
            more if more > room => Self::Worse,
            less if less < -room => Self::Better,
            _ => Self::Same,
        }
    }

    pub fn advice(self) -> &'static str {
        match self {
            Self::Same => "All as it was, within 5%.",
            Self::Better => "Some are better by more than 5%: make bench-guard ARGS=--renew keeps that.",
            Self::Worse => {
                "Some are worse by more than 5%. If that is what it costs: make bench-guard ARGS=--renew, and say why."
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Better => "better",
            Self::Worse => "WORSE",
        }
    }
}

impl Baseline {
    pub fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(io::Error::other),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(Self { processor: ARCH.to_owned(), compiler: String::new(), pieces: BTreeMap::new() })
            }
            Err(e) => Err(e),
        }
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }

    /// Other processors have other instructions, and other compilers choose others.
    pub fn check_machine(&self) -> io::Result<()> {
        if self.processor != ARCH {
            let why = format!(
                "the baseline is for {}, this is {ARCH}: there is nothing to compare with",
                self.processor
            );
            return Err(io::Error::other(why));
        }
        if self.compiler != compiler() {
            println!("The baseline was made with {}, this is {}.", self.compiler, compiler());
        }
        Ok(())
    }

    pub fn is_made_here(&mut self) {
        (self.processor, self.compiler) = (ARCH.to_owned(), compiler());
    }

    /// A line for a person, and what it comes to. What the baseline does not know is worse than it.
    pub fn compare(&self, name: &str, now: Counts) -> (String, Verdict) {
        let Counts { instructions, locked } = now;
        let Some(was) = self.pieces.get(name) else {
            return (
                format!("{name:<36} {instructions:>12.0} {:>9} {:>8} {locked:>9.1}  new", "", ""),
                Verdict::Worse,
            );
        };
        let verdict = Verdict::of(instructions, was.instructions, 0.0).max(Verdict::of(
            locked,
            was.locked,
            LEAST_LOCKED,
        ));
        let change = (instructions / was.instructions - 1.0) * 100.0;
        let line = format!(
            "{name:<36} {instructions:>12.0} {:>9.0} {change:>+7.1}% {locked:>9.1} {:>9.1}  {}",
            was.instructions,
            was.locked,
            verdict.word(),
        );
        (line, verdict)
    }

    pub fn note(&mut self, name: &str, counts: Counts) {
        self.pieces.insert(name.to_owned(), counts);
    }
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output().ok();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}
