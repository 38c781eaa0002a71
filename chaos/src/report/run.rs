//! The page of one run.

use serde::Serialize;

use super::html;
use super::spread::Spread;
use super::timeline::Timeline;

/// Lines of a trace that a page holds: the last ones.
const MOST_LINES: usize = 5000;

/// Whether a promise was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    Kept,
    Broken,
    /// The run ended before it was looked at, or it could not be judged.
    Open,
}

/// One promise, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub invariant: String,
    /// What it says, in a few words.
    pub says: String,
    pub held: Held,
    /// How it was broken, or why nobody can say.
    pub what: String,
}

/// What the page is made of. Any world may fill it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub title: String,
    pub subtitle: String,
    pub version: String,
    /// Commands that make the same run again.
    pub replay: Vec<String>,
    /// Names and values, shown as they are.
    pub figures: Vec<(String, String)>,
    pub verdicts: Vec<Verdict>,
    pub timeline: Timeline,
    pub recoveries: Spread,
    pub trace: Vec<String>,
    /// Lines before those.
    pub left_out: usize,
}

impl Run {
    /// Keeps the end of a trace.
    pub fn tell(&mut self, lines: &[String]) {
        self.left_out = lines.len().saturating_sub(MOST_LINES);
        self.trace = lines[self.left_out..].to_vec();
    }

    pub fn html(&self) -> String {
        html::page(
            &self.title,
            self,
            &[include_str!("page/axis.js"), include_str!("page/rows.js"), include_str!("page/run.js")],
        )
    }
}
