//! Errors of calls. Each says whether the effect happened, did not, or is unknown.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of a call that returned no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The handler did not run and will not: a retry is safe.
    NotExecuted,
    /// The handler ran; only its reply is missing.
    Executed,
    /// The handler may have run, once. Retry only what may run twice.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::NotExecuted => "not executed",
            Outcome::Executed => "executed",
            Outcome::Unknown => "unknown whether executed",
        })
    }
}

/// Why a call returned no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The caller's deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The directory, read through the leader, holds no such actor.
    #[error("there is no such actor; create it first")]
    NoSuchActor,
    /// There is no such session.
    #[error("there is no such session, or it was closed")]
    NoSuchSession,
    /// `create` found one that another call created.
    #[error("an actor of that name exists already")]
    AlreadyExists,
    /// Every copy of its last checkpoint is gone for good.
    #[error("the actor is lost: no copy of its checkpoint is left; stop it and create it anew")]
    Lost,
    /// Its handlers panicked as often as its policy allows.
    #[error("the actor has failed: it panicked too often; mend what it does, and revive it")]
    Failed,
    /// It does not run on the peer that was asked; it may be on its way elsewhere.
    #[error("the actor does not run there now")]
    NotHere,
    /// The actor was stopped.
    #[error("the actor was stopped")]
    Stopped,
    /// Its mailbox, or the queue towards its peer, is full.
    #[error("the queue is full; slow down and try again")]
    Full,
    /// The handler panicked; the actor goes back to its last checkpoint.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// The connection broke, or the actor's host was replaced, while the call was under way.
    #[error("the actor's host went away during the call")]
    HostGone,
    /// This peer was retired: another process took over its node id.
    #[error("this peer was retired by a newer process of its node id")]
    Retired,
    /// This peer is shutting down.
    #[error("this peer is shutting down")]
    Shutdown,
    /// The peer that was named hosts no such kind, or the kind handles no such message.
    #[error("no peer here handles {0}; register the kind and its messages with the builder")]
    NotHandled(String),
    /// A message or reply could not be encoded or decoded, or is too large.
    #[error("encoding: {0}")]
    Codec(String),
    /// A name breaks its rules.
    #[error("{0}")]
    InvalidName(String),
    /// No quorum, no leader, or no peer that fits, within the deadline.
    #[error("the cluster could not decide: {0}")]
    Unavailable(String),
}

/// A call that returned no reply: what became of it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{outcome}: {reason}")]
pub struct CallError {
    /// Whether the handler ran.
    pub outcome: Outcome,
    /// What went wrong.
    pub reason: Reason,
}

impl CallError {
    /// The handler did not run.
    pub fn not_executed(reason: Reason) -> Self {
        Self { outcome: Outcome::NotExecuted, reason }
    }

    /// The handler ran.
    pub fn executed(reason: Reason) -> Self {
        Self { outcome: Outcome::Executed, reason }
    }

    /// The handler may have run.
    pub fn unknown(reason: Reason) -> Self {
        Self { outcome: Outcome::Unknown, reason }
    }

    /// Whether sending the same call again cannot run it twice.
    pub fn is_retry_safe(&self) -> bool {
        self.outcome == Outcome::NotExecuted
    }
}
