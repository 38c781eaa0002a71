//! placeholder

mod action;
mod bounds;
mod check;
mod counts;
mod jobs;
mod join;
mod lease;
mod log;
mod parts;
mod raft;
mod report;
mod start;

use std::time::Duration;

use standin::canary::{self, Mistake};
use standin::clock::Mono;
use standin::id::{ActorId, NodeId};
use stateright::{Model, Property};

use action::Action;
pub use bounds::{Bounds, Changes};
use counts::Counts;
use parts::{Nr, World};
pub use report::{Limits, explore};

/// The lease that the leaders grant.
const LEASE: Duration = Duration::from_secs(1);

/// The moments between which time passes, in thousandths of a lease: one is a little before the end of
/// a lease, where a clock that is off by 1% makes the difference.
const MOMENTS: [u64; 3] = [0, 500, 995];

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
        let tick = usize::from(world.tick);
        let (leases, moment) = ((tick / MOMENTS.len()) as u64, MOMENTS[tick % MOMENTS.len()]);
        let rates = RATES[usize::from(world.skew) % RATES.len()];
        let rate = rates[usize::from(process) % rates.len()];
        BEGIN + LEASE / 100_000 * u32::try_from((leases * 1000 + moment) * rate).unwrap_or(u32::MAX)
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
