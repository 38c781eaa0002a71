//! What peers say to each other, inside the transport's frames.

mod call;

pub(crate) use call::{Call, Mail, Rare, answer, begin_call, read_answer};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::core::command::{Admission, Checkpoint, Held, Response};
use crate::core::history::Told;
use crate::core::lease::{Grant, Refusal};
use crate::core::proposal::Proposal;
use crate::core::state::LastRun;
use crate::error::CallError;
use crate::id::{ActorId, ClusterId, Epoch, Incarnation, NodeId, RaftId};
use crate::store::CopyKey;

/// What most frames are longer than what they carry, in bytes.
const FRAME_AROUND: usize = 128;

/// A request on the control lane. Its reply is the [`Answer`] of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Let me in. The only one that an unadmitted peer may send.
    Join(Join),
    /// I am alive; may I go on?
    Heartbeat(Heartbeat),
    /// Is your vote still mine, in this term?
    Probe(Probe),
    /// For the other's consensus, if it still runs on that disk.
    Raft { to: ToDisk, body: ByteBuf },
    /// Pass this on to a peer that I cannot reach myself.
    Relay { to: NodeId, request: Box<Request> },
    /// Passed on, for a peer whose link to you is cut.
    Relayed { from: NodeId, incarnation: Incarnation, request: Box<Request> },
    /// Leader, write this.
    Propose(Proposal),
    /// Leader, up to where must I have applied to see all that is decided by now?
    ReadIndex,
    /// Create an actor at your place.
    Create(NewActor),
    /// Fetch copies that have become too few.
    Repair(Vec<RepairOrder>),
    /// Let actors that you run go elsewhere.
    HandOver(HandOverOrder),
}

/// Whose consensus is meant, and which process ran there last as far as the sender knows: an older copy of
/// that disk has forgotten what it voted for, and what it had promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToDisk {
    pub(crate) id: RaftId,
    pub(crate) last_run: Option<LastRun>,
}

/// The reply to a [`Request`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Join(JoinAnswer),
    Heartbeat(HeartbeatAnswer),
    Probe(bool),
    Raft(ByteBuf),
    Proposed(Response),
    ReadIndex(u64),
    Created(Result<(), CallError>),
    Repaired(Vec<Held>),
    /// See [`Request::HandOver`]: it will be done, if it can be.
    Ordered,
    /// Ask the leader instead. Nothing was done.
    NotLeader,
    /// The leader changed meanwhile; it may be done or not.
    Unknown,
    /// Not done, and asking again does not help.
    Refused(String),
}

/// See [`Request::Join`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) node: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) disk: Option<DiskClaim>,
    pub(crate) nonce: u128,
    pub(crate) kinds: BTreeSet<String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether a contact has passed it on; it is passed on once.
    pub(crate) forwarded: bool,
}

/// What a disk knows of the process that ran on it last: its incarnation, or, if it died before it
/// could write that down, the nonces under which it and those after it had asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskClaim {
    pub(crate) cluster_id: ClusterId,
    pub(crate) raft_id: RaftId,
    pub(crate) incarnation: Incarnation,
    pub(crate) asked: Vec<u128>,
}

impl DiskClaim {
    /// Whether a process that ran on this disk, or on the one that this is a copy of, is not news to it.
    pub(crate) fn knows(&self, run: &LastRun) -> bool {
        self.incarnation >= run.incarnation || self.asked.contains(&run.nonce)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JoinAnswer {
    Admitted {
        admission: Admission,
        cluster_id: ClusterId,
        /// When what was decided before was decided.
        history: Told,
    },
    InUse {
        addr: SocketAddr,
        incarnation: Incarnation,
        last_heard_ms: Option<u64>,
        retry_after_ms: u64,
    },
    Wait {
        retry_after_ms: u64,
    },
    /// No leader that a quorum follows is known here; `founded` tells whether a cluster is, and `last_run`
    /// which process ran last on the disk that the asker has.
    NoLeader {
        founded: bool,
        last_run: Option<LastRun>,
    },
    Refused(String),
}

/// See [`Request::Heartbeat`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) raft_id: RaftId,
    pub(crate) seq: u64,
    pub(crate) applied: u64,
    /// The newest probe that this voter saw and still stands by.
    pub(crate) ack: Option<(u64, u64)>,
    /// Actors that run here.
    pub(crate) load: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeartbeatAnswer {
    pub(crate) lease: Result<Grant, Refusal>,
    /// To be answered with the next heartbeat: saves a round trip per voter and round.
    pub(crate) probe: Option<Probe>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) term: u64,
    pub(crate) n: u64,
    pub(crate) leader: RaftId,
}

/// See [`Request::Create`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NewActor {
    pub(crate) actor: ActorId,
    pub(crate) nonce: u128,
    pub(crate) copies: u8,
    pub(crate) stand_in_ms: Option<u32>,
    /// The first state, and the version of its kind.
    pub(crate) state: ByteBuf,
    pub(crate) kind_version: u32,
}

/// See [`Request::HandOver`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandOverOrder {
    pub(crate) actors: Vec<ActorId>,
    pub(crate) to: NodeId,
    /// Whether they stay there although their homes are up.
    pub(crate) by_hand: bool,
}

/// See [`Request::Repair`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RepairOrder {
    pub(crate) actor: ActorId,
    pub(crate) epoch: Epoch,
    pub(crate) checkpoint: Checkpoint,
}

/// The header of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum StreamHeader {
    /// For the other's consensus, if it still runs on that disk.
    Raft { to: ToDisk, header: ByteBuf },
    /// Copies follow: per copy a [`CopyHead`], its manifest, and, once the other end has said which it lacks, the
    /// chunks of a large one; then one [`CopiesStored`] back.
    PutCopies,
    /// One copy, please: a [`CopyHead`] or nothing, then its manifest, and those of its chunks that are asked for.
    GetCopy(CopyKey),
}

/// Stands in front of a copy's manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CopyHead {
    pub(crate) key: CopyKey,
}

/// All copies of a stream are durable, on this disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CopiesStored {
    pub(crate) by: RaftId,
}

/// A frame that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame: {0}")]
pub(crate) struct Malformed(String);

/// Writes a frame. Our own types always encode; a failure would be an empty frame, which no one decodes.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    encode_around(value, 0)
}

/// [`encode`] of something that carries so many bytes: its frame does not grow on the way.
pub(crate) fn encode_around(value: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.saturating_add(FRAME_AROUND));
    match rmp_serde::encode::write(&mut frame, value) {
        Ok(()) => frame,
        Err(_) => Vec::new(),
    }
}

/// Reads a frame that may be anything.
pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, Malformed> {
    rmp_serde::from_slice(frame).map_err(|e| Malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_knows_who_ran_on_it_by_number_or_by_nonce() {
        let disk = DiskClaim {
            cluster_id: ClusterId([1; 16]),
            raft_id: RaftId(3),
            incarnation: Incarnation(7),
            asked: vec![40, 41],
        };
        let knows =
            |incarnation, nonce| disk.knows(&LastRun { incarnation: Incarnation(incarnation), nonce });
        assert!(knows(7, 1), "its own");
        assert!(knows(6, 1), "one before it");
        assert!(knows(9, 41), "one that could not note its admission");
        assert!(!knows(9, 42), "one that ran on a newer copy");
    }
}
