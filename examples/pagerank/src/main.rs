//! PageRank over the Debian dependency graph, on peers that may die.

mod cli;
mod graph;
mod job;
mod rank;

fn main() {}
