//! What more peers cost, and more actors.

mod actors;
mod peers;
mod states;
mod voters;

use std::io;

use benches::{Growth, Measure, Sample};

use crate::common::{Figures, in_turn};

const PEERS: [u64; 4] = [3, 11, 31, 101];
const ACTORS: [u64; 3] = [1_000, 100_000, 1_000_000];
const MIB: [u64; 4] = [1, 16, 128, 1024];
const VOTERS: [u64; 4] = [3, 5, 7, 11];
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

/// An actor with a state of so many MiB.
pub fn run_states(mib: usize) -> Sample {
    states::run(mib)
}

/// A log that so many vote on.
pub fn run_voters(voters: usize) -> Sample {
    voters::run(voters)
}

/// All of them; where it is to be quick, only of small ones.
///
/// # Errors
/// If one fails.
pub fn sections(rounds: usize, quick: bool) -> io::Result<Vec<Growth>> {
    let rounds = rounds.min(MAX_ROUNDS);
    let few = if quick { 2 } else { PEERS.len() };
    let (many_peers, many_actors) = (&PEERS[..few.min(PEERS.len())], &ACTORS[..few.min(ACTORS.len())]);
    let (many_mib, many_voters) = (&MIB[..few.min(MIB.len())], &VOTERS[..few.min(VOTERS.len())]);
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
    let states = Growth {
        title: "Larger states".into(),
        text: states::ABOUT.into(),
        of: "MiB of state",
        sizes: many_mib.into(),
        measures: states::MEASURES.map(|name| Measure::less(name, "ms")).into(),
        limits: vec![],
        figures: run("one-scale-states", many_mib, rounds.min(1))?,
        plot: "scale-states.svg",
    };
    let voters = Growth {
        title: "More voters".into(),
        text: voters::ABOUT.into(),
        of: "voters",
        sizes: many_voters.into(),
        measures: voters::MEASURES.map(|name| Measure::less(name, "us")).into(),
        limits: vec![],
        figures: run("one-scale-voters", many_voters, rounds)?,
        plot: "scale-voters.svg",
    };
    Ok(vec![peers, voters, actors, states])
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
