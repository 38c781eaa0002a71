//! What more peers cost, and more actors.

mod actors;
mod peers;

use std::io;

use benches::{Growth, Measure, Sample};

use crate::common::{Figures, in_turn};

const PEERS: [u64; 4] = [3, 11, 31, 101];
const ACTORS: [u64; 3] = [1_000, 100_000, 1_000_000];
/// More say nothing new: most of it repeats exactly.
const MAX_ROUNDS: usize = 2;

/// A cluster of so many peers.
pub fn run_peers(peers: usize) -> Sample {
    peers::run(peers)
}

/// A directory of so many actors.
pub fn run_actors(actors: u64) -> Sample {
    actors::run(actors)
}

/// Both; where it is to be quick, only of small ones.
///
/// # Errors
/// If one fails.
pub fn sections(rounds: usize, quick: bool) -> io::Result<Vec<Growth>> {
    let rounds = rounds.min(MAX_ROUNDS);
    let few = if quick { 2 } else { PEERS.len() };
    let (many_peers, many_actors) = (&PEERS[..few.min(PEERS.len())], &ACTORS[..few.min(ACTORS.len())]);
    let peers = Growth {
        title: "More peers".into(),
        text: peers::ABOUT.into(),
        of: "peers",
        sizes: many_peers.into(),
        measures: peers::MEASURES.map(|(name, unit)| Measure::less(name, unit)).into(),
        limits: vec![],
        figures: run("one-scale-peers", many_peers, rounds)?,
        plot: "scale-peers.svg",
    };
    let actors = Growth {
        title: "More actors".into(),
        text: actors::ABOUT.into(),
        of: "actors",
        sizes: many_actors.into(),
        measures: actors::MEASURES.map(|(name, unit)| Measure::less(name, unit)).into(),
        limits: vec![(actors::MEMORY, 200.0)],
        figures: run("one-scale-actors", many_actors, rounds)?,
        plot: "scale-actors.svg",
    };
    Ok(vec![peers, actors])
}

fn run(what: &str, sizes: &[u64], rounds: usize) -> io::Result<Figures> {
    let names: Vec<String> = sizes.iter().map(|size| Growth::name(*size)).collect();
    in_turn(&names, rounds, &[what])
}

/// What this thread has worked so far, in seconds. Others of the machine do not count.
fn worked() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}
