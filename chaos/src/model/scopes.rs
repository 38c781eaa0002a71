//! What is explored: the small is for every day, the large for a while of its own.
//!
//! No machine sees all that three peers can do in two leases. Each scope is generous with what one
//! part of the protocol is about, and frugal with the rest.

use standin::canary::Mistake;

use super::bounds::Bounds;

/// A part of the protocol, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub name: &'static str,
    pub bounds: Bounds,
    /// The known mistakes that must be noticed in it.
    pub mistakes: &'static [Mistake],
}

const NONE: Bounds = Bounds::NONE;

/// All of these together take seconds.
pub const SMALL: &[Scope] = &[
    Scope {
        name: "re-election",
        bounds: Bounds { ticks: 2, elections: 1, probes: 3, beats: 1, ..NONE },
        mistakes: &[Mistake::NoWaitAfterElection],
    },
    Scope {
        name: "stale leader",
        bounds: Bounds { ticks: 4, elections: 1, probes: 2, beats: 1, ..NONE },
        mistakes: &[Mistake::StaleLeaderGrants],
    },
    Scope {
        name: "late answers",
        bounds: Bounds { ticks: 1, elections: 1, probes: 2, slow: 1, ..NONE },
        mistakes: &[Mistake::AnswerCreditedToNewerProbe],
    },
    Scope {
        name: "late heartbeats",
        bounds: Bounds { ticks: 4, probes: 3, beats: 1, delays: 1, ..NONE },
        mistakes: &[Mistake::LeaseFromReceipt, Mistake::GrantedDuringMarkDown],
    },
    Scope {
        name: "replacement",
        bounds: Bounds { actors: 2, replacements: 1, ticks: 4, probes: 2, beats: 1, ..NONE },
        mistakes: &[Mistake::DiskIdReused, Mistake::GrantBeforeItsIndexIsApplied, Mistake::GateIgnored],
    },
    Scope {
        name: "two joiners",
        bounds: Bounds { replacements: 2, ticks: 4, probes: 2, late: 1, ..NONE },
        mistakes: &[Mistake::AdmittedBeforeCommit],
    },
    Scope {
        name: "checkpoints",
        bounds: Bounds {
            actors: 1,
            replacements: 1,
            probes: 1,
            beats: 1,
            saves: 1,
            panics: 1,
            wishes: 2,
            ..NONE
        },
        mistakes: &[Mistake::EpochUnchecked, Mistake::RestartUnderSameEpoch, Mistake::CopiesNotDurable],
    },
    Scope {
        name: "lost copies",
        bounds: Bounds {
            actors: 1,
            replacements: 1,
            ticks: 4,
            probes: 2,
            beats: 1,
            saves: 1,
            wishes: 1,
            ..NONE
        },
        mistakes: &[Mistake::TooFewCopiesAccepted],
    },
    Scope {
        name: "created anew",
        bounds: Bounds {
            actors: 1,
            probes: 1,
            beats: 2,
            lags: 1,
            saves: 1,
            recreations: 1,
            wishes: 4,
            ..NONE
        },
        mistakes: &[Mistake::NameFreedEarly],
    },
    Scope {
        name: "given away",
        bounds: Bounds {
            actors: 1,
            probes: 1,
            beats: 2,
            lags: 1,
            saves: 1,
            hand_overs: 1,
            wishes: 3,
            ..NONE
        },
        mistakes: &[Mistake::GivenAwayWhileItRuns],
    },
    Scope {
        name: "taken over",
        bounds: Bounds {
            actors: 1,
            ticks: 4,
            probes: 2,
            beats: 2,
            lags: 1,
            late: 1,
            stand_ins: 1,
            take_overs: 1,
            ..NONE
        },
        mistakes: &[Mistake::TakenOverWhileUp],
    },
];

/// Minutes, and millions of states.
pub const LARGE: &[Scope] = &[
    // Leases under an old leader and a new one.
    Scope {
        name: "changes of leader",
        bounds: Bounds { ticks: 4, elections: 1, probes: 3, slow: 1, beats: 1, ..NONE },
        mistakes: &[],
    },
    // Leases under one leader.
    Scope {
        name: "late heartbeats",
        bounds: Bounds { ticks: 4, probes: 2, beats: 2, delays: 1, ..NONE },
        mistakes: &[],
    },
    // Old processes beside new ones, and actors that move.
    Scope {
        name: "two replacements",
        bounds: Bounds { actors: 2, replacements: 2, ticks: 4, probes: 2, beats: 1, lags: 1, ..NONE },
        mistakes: &[],
    },
    // A leader admits what another one had granted.
    Scope {
        name: "replacement and election",
        bounds: Bounds { actors: 1, replacements: 1, ticks: 4, elections: 1, probes: 2, beats: 1, ..NONE },
        mistakes: &[],
    },
    // A new disk takes the old one's vote.
    Scope {
        name: "voters",
        bounds: Bounds {
            replacements: 1,
            ticks: 4,
            elections: 1,
            probes: 2,
            beats: 1,
            reconfigurations: 3,
            ..NONE
        },
        mistakes: &[],
    },
    // Checkpoints of several lives and activations.
    Scope {
        name: "checkpoints",
        bounds: Bounds {
            actors: 2,
            replacements: 1,
            probes: 1,
            beats: 2,
            lags: 1,
            saves: 2,
            panics: 1,
            leaves: 1,
            wishes: 3,
            ..NONE
        },
        mistakes: &[],
    },
    // Copies that are lost while checkpoints are under way.
    Scope {
        name: "repairs",
        bounds: Bounds {
            actors: 2,
            replacements: 2,
            ticks: 4,
            probes: 2,
            beats: 1,
            saves: 1,
            wishes: 2,
            repairs: 1,
            ..NONE
        },
        mistakes: &[],
    },
    // An actor that is ended and made anew elsewhere, while its host is behind, or down.
    Scope {
        name: "created anew",
        bounds: Bounds {
            actors: 1,
            ticks: 4,
            probes: 2,
            beats: 1,
            lags: 1,
            recreations: 1,
            wishes: 3,
            ..NONE
        },
        mistakes: &[],
    },
    // Others run what a dead node ran; then it is back, or a new one under its name, and calls it home.
    Scope {
        name: "stand-ins",
        bounds: Bounds {
            actors: 2,
            stand_ins: 2,
            replacements: 1,
            ticks: 4,
            probes: 2,
            beats: 2,
            hand_overs: 1,
            wishes: 2,
            ..NONE
        },
        mistakes: &[],
    },
    // A new leader takes over what an older one had granted.
    Scope {
        name: "take-over and election",
        bounds: Bounds {
            actors: 1,
            stand_ins: 1,
            ticks: 4,
            elections: 1,
            probes: 2,
            beats: 1,
            take_overs: 1,
            late: 1,
            ..NONE
        },
        mistakes: &[],
    },
    // Actors that are given away while their host, their heir or both are behind, panic or leave.
    Scope {
        name: "given away",
        bounds: Bounds {
            actors: 1,
            stand_ins: 1,
            probes: 1,
            beats: 2,
            lags: 1,
            saves: 1,
            panics: 1,
            leaves: 1,
            hand_overs: 2,
            wishes: 4,
            ..NONE
        },
        mistakes: &[],
    },
];
