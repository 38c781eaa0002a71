//! Every state of a small cluster: who is a member, who leads, who holds a lease, which checkpoint counts.
//!
//! Simulation samples long histories of whole peers; this looks at *all* short ones. What decides is the
//! library's own core: `apply` says what a committed entry does, `Granter` whom a leader grants, when it
//! presumes a death and whom it admits, `PeerLease` what a process counts as its lease, `Probes` what proves
//! leadership, `voters::desired` and `placement` who votes, who keeps copies and who stands in. Around it stands a small
//! replica of the shell, one file for each part: `raft`, `election`, `voters`,
//! `lease`, `join`, `jobs`, `hosting`.
//!
//! Modelled: several processes under one node id (an old one goes on beside its replacement, on an empty disk;
//! one starts on a dead one's disk), stale leaders, entries of an old leader that commit late, processes that
//! lag, heartbeats, grants, answers to probes and proposals that arrive late, twice or never (nothing that is
//! under way is ever taken out), clocks that are off by 1% either way, decisions that reach Raft late, panics,
//! leaves, repairs, changes of the voters; actors that others take over, at once or after a while, that are
//! called home, moved or sent away by a peer that leaves. A frozen process is one that does nothing for a while; a killed one,
//! one that does nothing more.
//!
//! Abstracted: Raft is taken as correct. A candidate wins in one step, with as few votes as can do, and then
//! has all that was committed and perhaps a part of what an older leader had not committed. A leader commits
//! while a majority votes for its term. Time stands still but for steps; within one, all happens at once, in
//! any order. The shell's locks are taken as they are meant: applying an entry, stopping and starting actors
//! and counting the lease is one step. A copy is made as soon as it is wanted, and collected as soon as it may
//! be. A process is not told that it was retired: it must find out from the log.
//!
//! Not covered: calls and messages, what the disk loses in a power cut, bytes and digests, the transport,
//! progress of any kind, and whatever needs
//! more of anything than the bounds allow.
//!
//! The lease core's own model (`src/core/lease/model.rs`) samples long histories with finer time.

mod action;
mod bounds;
mod check;
mod counts;
mod election;
mod hosting;
mod jobs;
mod join;
mod lease;
mod log;
mod parts;
mod raft;
mod report;
mod scopes;
mod start;
#[cfg(test)]
mod tests;
mod voters;
mod words;

use std::time::Duration;

use standin::canary::{self, Mistake};
use standin::clock::Mono;
use standin::id::{ActorId, NodeId};
use stateright::{Model, Property};

use action::Action;
use bounds::Bounds;
use counts::Counts;
use parts::{Nr, World};
pub use report::{Arguments, hunt, run};

/// The lease that the leaders grant.
const LEASE: Duration = Duration::from_secs(1);

/// The moments between which time passes, in thousandths of a lease: one is a little before the end of
/// a lease, where a clock that is off by 1% makes the difference.
const MOMENTS: [u64; 3] = [0, 500, 995];

/// The kind of all actors, which every process knows.
const KIND: &str = "a";

/// What no clock of the model reads: a lease must not depend on how a clock begins.
const BEGIN: Mono = Mono(7_000_000_000);

/// The clocks of the processes, in hundredths of true time, again and again. The two assignments differ
/// in whose clock is fast.
const RATES: [[u64; 2]; 2] = [[101, 99], [99, 101]];

/// A cluster to be explored.
pub struct Cluster {
    bounds: Bounds,
    mistake: Option<Mistake>,
    nodes: Vec<NodeId>,
    actors: Vec<ActorId>,
    counts: Counts,
}

impl Cluster {
    /// What a process's clock reads.
    fn now(&self, world: &World, process: Nr) -> Mono {
        self.clock(world.skew, process, world.tick)
    }

    fn clock(&self, skew: u8, process: Nr, tick: u8) -> Mono {
        let tick = usize::from(tick);
        let thousandths = (tick / MOMENTS.len()) as u64 * 1000 + MOMENTS[tick % MOMENTS.len()];
        let rates = RATES[usize::from(skew) % RATES.len()];
        let rate = rates[usize::from(process) % rates.len()];
        BEGIN + LEASE / 100_000 * u32::try_from(thousandths * rate).unwrap_or(u32::MAX)
    }
}

impl Model for Cluster {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        canary::make(self.mistake);
        (0..self.bounds.skews).map(|skew| self.start(skew)).collect()
    }

    fn actions(&self, world: &World, found: &mut Vec<Action>) {
        // Mistakes are made by thread, and the checker has threads of its own.
        canary::make(self.mistake);
        self.candidates(world, found);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.step(world, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        check::properties()
    }
}
