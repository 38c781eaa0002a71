//! What is in the log and on the network.

use standin::core::disks::Disks;
use standin::core::lease::Grant;
use standin::id::{Epoch, Incarnation, RaftId};

use super::parts::{Config, Copy, Nr};

/// What somebody wants in the log: the core's `Command` in short, and the entries of Raft itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// The first entry of a term.
    Blank,
    Voters(Config),
    MarkDown {
        node: Nr,
        incarnation: Incarnation,
        term: u64,
    },
    MarkUp {
        node: Nr,
        incarnation: Incarnation,
        term: u64,
    },
    Admit {
        process: Nr,
        replaces: Option<Incarnation>,
        disk: Option<RaftId>,
        term: u64,
    },
    Leave {
        node: Nr,
        incarnation: Incarnation,
    },
    TakeOver {
        node: Nr,
        incarnation: Incarnation,
        term: u64,
    },
    /// With the last checkpoint of the activation that has ended.
    HandOver {
        by: Incarnation,
        copy: Copy,
        to: Nr,
    },
    Create {
        by: Incarnation,
        actor: Nr,
    },
    Commit {
        by: Incarnation,
        copy: Copy,
        holders: Disks,
        required: u8,
    },
    Restart {
        by: Incarnation,
        actor: Nr,
        epoch: Epoch,
    },
    Stop {
        actor: Nr,
        life: u64,
        by: Option<Incarnation>,
    },
    Hold {
        actor: Nr,
        epoch: Epoch,
        seq: u64,
        holder: RaftId,
    },
}

/// What is under way. It is never taken out again: it may arrive at any time, often, or never.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Beat {
        from: Nr,
        seq: u64,
    },
    Granted {
        to: Nr,
        seq: u64,
        grant: Grant,
    },
    Ack {
        to: Nr,
        from: RaftId,
        term: u64,
        n: u64,
    },
    /// For whoever leads.
    Wish(Wish),
}
