//! What a run tells of itself, whatever world it runs in: enough to draw it.

use serde::{Deserialize, Serialize};

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the run began.
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: Happening,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok,
    Not,
    Unknown,
}

/// Peers and faults are known by number, processes by the number of their life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Happening {
    /// A process of a peer began. It may hold a lease and lead already.
    Started {
        peer: usize,
        life: u64,
        lease: bool,
        leads: Option<u64>,
    },
    /// It is gone.
    Ended {
        peer: usize,
        life: u64,
    },
    /// A process stopped where it was, and went on.
    Froze {
        peer: usize,
        life: u64,
    },
    Thawed {
        peer: usize,
        life: u64,
    },
    /// What a process said.
    Told {
        peer: usize,
        life: u64,
        event: standin::Event,
    },
    /// An actor was created, and lives with a peer.
    Placed {
        actor: String,
        peer: usize,
    },
    /// A fault began.
    Struck {
        fault: u64,
        family: String,
        what: String,
    },
    /// It strikes this peer.
    Hit {
        fault: u64,
        peer: usize,
    },
    /// It is over.
    Mended {
        fault: u64,
    },
    /// All faults of the network are over.
    AllMended,
    /// A part of the run begins.
    Phase {
        name: String,
    },
    /// A call came to its end.
    Answered {
        answer: Answer,
    },
}
