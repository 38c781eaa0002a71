//! What a run and its peers' processes say to each other: one JSON value a line.

use serde::{Deserialize, Serialize};
use standin::id::{Incarnation, NodeId, RaftId};
use standin::{Event, PhaseStatus, Standing, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::work::{Cast, End, Found, Member, Request, Transfer};

/// Longest line, in bytes.
pub const MAX_LINE: u64 = 4 << 20;

/// The first line to a process: what it is to be.
#[derive(Serialize, Deserialize)]
pub struct Role {
    pub node: NodeId,
    /// The chain, the key and the roots, as PEM.
    pub identity: (String, String, String),
    pub dir: PathBuf,
    pub listen: SocketAddr,
    /// Where others find it: a relay's address.
    pub advertise: SocketAddr,
    pub contacts: Vec<SocketAddr>,
    pub bootstrap: bool,
    /// When the run began, on the machine's monotonic clock.
    pub begun_us: u64,
    /// A mistake that it makes where its actors run.
    pub mistake: Option<String>,
}

/// What a run wants from a peer.
#[derive(Serialize, Deserialize)]
pub enum Want {
    /// What a client asks for.
    Request(Request),
    /// An actor, at this home or anywhere, and after how many milliseconds others stand in for that, if ever.
    Create { member: Member, home: Option<NodeId>, stand_in_ms: Option<u64> },
    /// The ranking begins.
    Begin { cast: Cast, patience_ms: u64 },
    /// What is there in the end, once all is done that clients left undone.
    Find { cast: Cast, transfers: Vec<Transfer>, patience_ms: u64 },
    /// The end of all of them, and of the names of so many generations.
    EndAll { cast: Cast, generations: u64 },
    /// Whether a register answers, and writes.
    Probe { actor: u32, deadline_ms: u64 },
    /// The register and the purse of this number go on at another node.
    Move { actor: u32, to: NodeId },
    /// The peer stops in good order, after its actors were moved away or as it is.
    End { drains: bool, deadline_ms: u64 },
    /// What the peer sees.
    Look,
    /// The clock that leases are measured with runs fast or slow from now on, by parts per million.
    Drift(i64),
    /// The wall clock jumps, and is so many seconds off from then on.
    Jump(i64),
}

#[derive(Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    pub want: Want,
}

/// What a process says.
#[derive(Serialize, Deserialize)]
pub enum Said {
    Started,
    CouldNotStart(String),
    Happened { at_us: u64, event: Event },
    Panicked(String),
    Answered { id: u64, answer: Answer },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    End(End),
    Done(Result<(), String>),
    /// What was found, and the transfers, all of which are done.
    Found(Result<Box<(Found, Vec<Transfer>)>, String>),
    Sight(Box<Sight>),
}

/// What a peer sees of the cluster and of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sight {
    pub status: Status,
    /// The disks that hold each actor's newest checkpoint, by its key.
    pub holders: BTreeMap<String, BTreeSet<RaftId>>,
    /// How many actors run, or are to run, elsewhere than at home.
    pub from_home: usize,
    /// The wall clock, in seconds since 1970.
    pub wall_clock_s: u64,
}

impl Sight {
    /// A node's newest process.
    pub fn incarnation_of(&self, node: &NodeId) -> Option<Incarnation> {
        self.status.members.get(node).map(|m| m.incarnation)
    }

    /// Why the cluster is not as it should be, as far as this peer sees.
    pub fn ailment(&self) -> Option<String> {
        let status = &self.status;
        if status.phase != PhaseStatus::Member || !status.holds_lease || status.leader.is_none() {
            return Some("is no member with a lease and a leader".into());
        }
        if status.joint {
            return Some("the voters are being changed".into());
        }
        if let Some((node, _)) = status.members.iter().find(|(_, m)| m.standing != Standing::Up || !m.votes) {
            return Some(format!("{node} is not up, or does not vote"));
        }
        if status.actors_lost > 0 {
            return Some(format!("{} actors are lost", status.actors_lost));
        }
        if status.actors_hosted < status.actors {
            return Some(format!("of {} actors only {} run", status.actors, status.actors_hosted));
        }
        (status.short_of_copies > 0)
            .then(|| format!("{} checkpoints are short of copies", status.short_of_copies))
    }
}
