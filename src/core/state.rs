//! The replicated state: who is a member, which actor lives where, which checkpoint is the newest.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::command::{Checkpoint, Settings};
pub use super::lease::Status;
pub use super::lines::Lines;
use crate::id::{ClusterId, Epoch, Incarnation, NodeId, RaftId};

/// What every peer agrees on. Changed by [`State::apply`](super::apply) only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// None until the founding entry is applied.
    pub cluster: Option<(ClusterId, Settings)>,
    pub members: BTreeMap<NodeId, Member>,
    pub actors: Lines,
    /// Sessions of clients outside of any actor, by the log index of their registration.
    pub sessions: BTreeMap<u64, Session>,
}

/// A client that sends reliably.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The process that it is part of.
    pub by: Incarnation,
    pub nonce: u128,
}

/// The newest process of a node id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    pub incarnation: Incarnation,
    pub raft_id: RaftId,
    pub addr: SocketAddr,
    pub standing: Status,
    pub kinds: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    pub nonce: u128,
    /// How long, at least, the node had been silent when this incarnation was admitted, or when it was marked down.
    pub silent_ms: u64,
}

/// A process that was admitted on a disk: by its number, and by the nonce under which it had asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    pub incarnation: Incarnation,
    pub nonce: u128,
}

/// One actor's line in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The node it belongs to.
    pub home: NodeId,
    /// The process that runs it now; none while it waits for its home.
    pub host: Option<Incarnation>,
    /// Its present activation.
    pub epoch: Epoch,
    /// The log index of its creation.
    pub life: u64,
    pub nonce: u128,
    /// The newest committed checkpoint, and the epoch that wrote it. None until creation is complete.
    pub checkpoint: Option<(Epoch, Checkpoint)>,
    /// The log index of its commit.
    pub saved_at: u64,
    /// Whether no copy of that checkpoint is left.
    pub lost: bool,
    /// Whether it is to end, and its host may not know that yet.
    pub stopping: bool,
    /// Whether it panicked too often, and does not run until somebody says so.
    pub failed: bool,
    /// After how many milliseconds another peer may run it while its host is away; none if it waits.
    pub stand_in_ms: Option<u32>,
    /// Whether it was moved to where it runs, and stays there although its home is up.
    pub by_hand: bool,
    /// Whether its present activation began with all that the one before had done: it was handed over.
    pub whole: bool,
}

impl State {
    /// The member whose *current* process this is.
    pub fn member_of(&self, incarnation: Incarnation) -> Option<(&NodeId, &Member)> {
        self.members.iter().find(|(_, m)| m.incarnation == incarnation)
    }

    /// The member whose *current* disk this is.
    pub fn disk(&self, raft_id: RaftId) -> Option<(&NodeId, &Member)> {
        self.members.iter().find(|(_, m)| m.raft_id == raft_id)
    }

    /// The newest process that was admitted on a member's current disk.
    pub fn last_run(&self, disk: RaftId) -> Option<LastRun> {
        self.disk(disk).map(|(_, m)| m.last_run())
    }

    /// Whether this is the newest process of its node, and may hold a lease.
    pub fn is_up(&self, incarnation: Incarnation) -> bool {
        self.member_of(incarnation).is_some_and(|(_, m)| m.standing == Status::Up)
    }

    /// The members that may hold a lease.
    pub fn living(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.members.iter().filter(|(_, m)| m.standing == Status::Up)
    }
}

impl Actor {
    /// One that begins with the log entry of that index, and has no checkpoint yet.
    pub fn new(home: NodeId, host: Incarnation, index: u64, nonce: u128, stand_in_ms: Option<u32>) -> Self {
        Self {
            home,
            host: Some(host),
            epoch: Epoch(index),
            life: index,
            nonce,
            checkpoint: None,
            saved_at: 0,
            lost: false,
            stopping: false,
            failed: false,
            stand_in_ms,
            by_hand: false,
            whole: true,
        }
    }
}

impl Member {
    /// Its process.
    pub fn last_run(&self) -> LastRun {
        LastRun { incarnation: self.incarnation, nonce: self.nonce }
    }

    /// The failure domain that this peer declared, if any.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get("zone").map(String::as_str)
    }
}
