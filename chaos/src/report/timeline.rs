//! A run as it is drawn: rows of bands and marks over one axis of time. It knows nothing of the world that the
//! run was in.

use serde::Serialize;

/// All of it. Times are milliseconds since the run began.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timeline {
    pub end_ms: u64,
    pub phases: Vec<Phase>,
    pub peers: Vec<Peer>,
    pub faults: Vec<Fault>,
    pub actors: Vec<Actor>,
    pub calls: Calls,
}

/// Where a part of the run begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    pub at_ms: u64,
    pub name: String,
}

/// How a peer's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds a lease: its actors run.
    Up,
    /// It never held one.
    Starting,
    /// It holds none any more: its actors pause.
    Paused,
    /// It stands still.
    Frozen,
    /// It cannot go on without an operator.
    Failed,
    /// Another process has its name.
    Retired,
    /// There is no process.
    Down,
}

/// A stretch of time in one state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    pub from_ms: u64,
    pub to_ms: u64,
    pub state: State,
    /// Which process of this peer.
    pub life: u64,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Peer {
    pub name: String,
    /// Without gaps.
    pub bands: Vec<Band>,
    /// Processes of this name that went on when another had begun.
    pub older: Vec<Band>,
    /// While it believed to lead.
    pub leads: Vec<Lead>,
    /// What it said.
    pub said: Vec<Said>,
}

/// A stretch of time as a leader.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lead {
    pub from_ms: u64,
    pub to_ms: u64,
    pub term: u64,
    /// Another process of this name had begun.
    pub older: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    pub at_ms: u64,
    pub text: String,
}

/// A fault; one of no peer in particular struck all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    pub number: u64,
    pub family: String,
    pub what: String,
    pub from_ms: u64,
    pub to_ms: u64,
    pub peers: Vec<usize>,
}

/// One actor: where it ran, and when it was restored.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Actor {
    pub name: String,
    pub spans: Vec<Span>,
    pub restores: Vec<Restore>,
}

/// A stretch of time in which it ran on one peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
    pub peer: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Restore {
    pub at_ms: u64,
    pub peer: usize,
    /// The checkpoint that it went on from.
    pub from_seq: u64,
    /// For how long it was away, as the cluster knew it: since its host was last heard of.
    pub downtime_ms: u64,
    /// From the moment it last ran until it ran again, if it did.
    pub gap_ms: Option<u64>,
    /// Its process went on: only the actor began again, as after a panic of its handler.
    pub in_place: bool,
}

/// How many calls ended how, in buckets of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Calls {
    pub bucket_ms: u64,
    pub ok: Vec<u32>,
    pub not: Vec<u32>,
    pub unknown: Vec<u32>,
}

impl Timeline {
    /// How long each restored actor was away, in milliseconds, if it lost its process.
    pub fn recoveries(&self) -> impl Iterator<Item = u64> {
        let restores = self.actors.iter().flat_map(|actor| &actor.restores);
        restores.filter(|restore| !restore.in_place).filter_map(|restore| restore.gap_ms)
    }
}
