//! What goes into a [`Granter`](super::Granter) and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Flight, Grant};
use crate::clock::Mono;
use crate::core::probe::Voters;
use crate::id::{Incarnation, NodeId, RaftId};

/// Where a member stands in the replicated state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It may hold a lease.
    Up,
    /// Its lease lapsed and that was committed. A committed `MarkUp` brings it back.
    Down,
    /// It left by its own wish, after it gave up its lease for good.
    Left,
}

/// What the lease code needs to know about one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberView {
    /// Its newest incarnation.
    pub incarnation: Incarnation,
    /// Where that stands.
    pub status: Status,
}

/// What the shell tells a [`Granter`](super::Granter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Raft was started in this process: what was known before is void.
    RaftStarted,
    /// This peer was elected in `term`. Told again about the same reign, nothing happens.
    BecameLeader {
        /// Its term.
        term: u64,
    },
    /// This peer is no leader any more.
    LostLeadership,
    /// An entry of `term` was applied, at `index`. The first of each term must be told, whoever leads; it
    /// may come before or after [`Input::BecameLeader`].
    AppliedTerm {
        /// The entry's term.
        term: u64,
        /// The entry's log index.
        index: u64,
    },
    /// The voters in effect: of the newest configuration in the log, committed or not.
    Voters(Voters),
    /// It is time for a round of probes.
    ProbeStart,
    /// A voter (this peer included) answered round `n`: its vote was for `term` and this leader then.
    ProbeAck {
        /// Who answered.
        from: RaftId,
        /// The probe's term.
        term: u64,
        /// The probe's number.
        n: u64,
    },
    /// A peer asks for a lease.
    Heartbeat {
        /// Its name.
        node: NodeId,
        /// Its life.
        incarnation: Incarnation,
        /// Its number for this heartbeat.
        seq: u64,
        /// What it has applied.
        applied: u64,
    },
    /// A proposal about `node` is about to be handed to Raft, under `term`. `MarkDown` and `Admit`
    /// need none: [`Effect::Lapsed`] and [`Granter::admit`](super::Granter::admit) begin theirs themselves.
    /// The command carries that term, and `apply` rejects it under another.
    #[cfg_attr(
        not(any(test, feature = "canary")),
        expect(dead_code, reason = "a leaver gives up its lease before it proposes")
    )]
    Begin {
        /// Whom it is about.
        node: NodeId,
        /// What it proposes.
        what: Flight,
        /// The term that decided it.
        term: u64,
    },
    /// The outcome of a proposal is known. While it is *unknown*, this must not be said: the flight
    /// then lasts until this reign ends.
    End {
        /// Whom it is about.
        node: NodeId,
        /// What it proposed.
        what: Flight,
        /// The term that decided it.
        term: u64,
        /// Where it was applied; `None` if it is certain that it never gets into the log.
        at: Option<u64>,
    },
    /// The member table as of the applied `index`.
    MembersApplied {
        /// The newest index applied to the table.
        index: u64,
        /// All members.
        members: BTreeMap<NodeId, MemberView>,
    },
    /// Time passes. Often enough: every heartbeat interval or oftener.
    Tick,
}

/// What the shell shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a probe to each of `to`, this peer included, which is asked in the same way: it too
    /// answers only while its vote is for `term` and this leader.
    Probe {
        /// The leader's term.
        term: u64,
        /// The number of the round.
        n: u64,
        /// All voters.
        to: BTreeSet<RaftId>,
    },
    /// Answer a heartbeat: granted.
    Grant {
        /// To whom.
        node: NodeId,
        /// To which life of it.
        incarnation: Incarnation,
        /// The heartbeat that this answers.
        seq: u64,
        /// The grant.
        grant: Grant,
    },
    /// Answer a heartbeat: not granted.
    Refuse {
        /// To whom.
        node: NodeId,
        /// To which life of it.
        incarnation: Incarnation,
        /// The heartbeat that this answers.
        seq: u64,
        /// Why.
        reason: Refusal,
    },
    /// This incarnation certainly holds no lease: propose `MarkDown { node, incarnation, term }`. It
    /// gets no grant until the shell reports the [`Input::End`] of that proposal.
    Lapsed {
        /// Who.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
        /// The term that decided it, for the command to carry.
        term: u64,
        /// How long it has not been heard by this leader.
        silent: Duration,
    },
}

/// Why a heartbeat got no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Ask the leader.
    NotLeader,
    /// The leader has not applied an entry of its own term yet. Ask again.
    NotReady,
    /// No quorum has answered the leader's probes lately. Ask again.
    NoQuorum,
    /// The leader knows no such member, or no such incarnation of it.
    Unknown,
    /// A newer incarnation took over: stop for good.
    Retired {
        /// That incarnation.
        by: Incarnation,
    },
    /// It is `Down`: a `MarkUp` must be committed first.
    Down,
    /// It left.
    Left,
    /// A decision about it is on its way through the log. Ask again.
    InFlight,
}

/// Whether a process may be admitted under a node id now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes: no older incarnation holds a lease. The command must carry `term`.
    Free {
        /// The term that decided it.
        term: u64,
    },
    /// An older incarnation may hold a lease.
    Wait {
        /// When to ask again.
        retry_after: Duration,
        /// How long ago this leader heard it, if ever.
        last_heard: Option<Duration>,
    },
    /// This leader cannot tell yet.
    NotReady {
        /// When to ask again.
        retry_after: Duration,
    },
}

/// What this leader last heard from a member's current incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heard {
    /// When.
    pub at: Mono,
    /// The log index that it had applied.
    pub applied: u64,
}
