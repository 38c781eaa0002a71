//! Comparing the same work done by several: in turn, over several rounds, as ratios.
//!
//! A machine's speed drifts, so figures of different moments do not compare. [`turns`] runs the contenders A, B, C, A, B,
//! C, …, each time in a process of its own, and [`Figures`] compares them round by round.
#![forbid(unsafe_code)]

mod conditions;
pub mod counter;
mod figures;
mod growth;
mod latency;
mod lines;
mod plot;
mod report;
mod turns;
mod whole;

pub use conditions::conditions;
pub use figures::{Figures, median};
pub use growth::Growth;
pub use latency::{latencies, percentiles};
pub use lines::lines;
pub use plot::plot;
pub use report::{Goal, Measure, Section};
pub use turns::{Sample, turns};
pub use whole::{RuntimeClock, all_pieces};
