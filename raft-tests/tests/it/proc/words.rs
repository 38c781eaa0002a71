//! What a test and its child processes say to each other: one JSON value per line.

use serde::{Deserialize, Serialize};
use standin::id::NodeId;
use standin::{ActorStatus, CallError, Event, Status};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::links::LinkWant;
use crate::chain::Link;

/// Longest line, in bytes.
pub const MAX_LINE: u64 = 4 << 20;
/// Begins every line that a child means for its parent; the test runner prints others.
pub const MARK: char = '@';

/// The first line to a child: what it is to be.
#[derive(Serialize, Deserialize)]
pub enum Role {
    Peer(PeerRole),
    Writer(WriterRole),
}

#[derive(Clone, Serialize, Deserialize)]
pub struct PeerRole {
    pub node: NodeId,
    /// The chain, the key and the roots, as PEM.
    pub identity: (String, String, String),
    pub dir: PathBuf,
    pub listen: SocketAddr,
    pub contacts: Vec<SocketAddr>,
    pub bootstrap: bool,
    /// Where every execution of a handler leaves a line.
    pub journal: PathBuf,
}

/// A child that writes to a store until it is killed.
#[derive(Serialize, Deserialize)]
pub struct WriterRole {
    pub dir: PathBuf,
    pub seed: u64,
    /// The operations up to this one are in the store for certain, and none after the other.
    pub at_least: u64,
    pub at_most: u64,
    /// So are these large chunks.
    pub large: Vec<u64>,
}

/// What a test wants from a peer.
#[derive(Serialize, Deserialize)]
pub enum Want {
    Create {
        key: String,
        home: NodeId,
        /// After how many milliseconds another peer may run it while its home is away.
        stand_in_ms: Option<u64>,
    },
    /// So many actors called `many-0` and so on, that others run as soon as their home is away.
    CreateMany {
        count: u32,
        home: NodeId,
    },
    /// One message to each of these, all at once.
    NoteMany {
        count: u32,
        token: u64,
        deadline: Duration,
    },
    /// One message, which the actor keeps.
    Note {
        key: String,
        token: u64,
        durable: bool,
        deadline: Duration,
    },
    /// One message whose handler takes so many steps of a millisecond or more.
    Walk {
        key: String,
        token: u64,
        steps: u32,
        deadline: Duration,
    },
    /// All messages that an actor has kept.
    Read {
        key: String,
        deadline: Duration,
    },
    Links(LinkWant),
    Look,
}

#[derive(Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    pub want: Want,
}

/// What a child says.
#[derive(Serialize, Deserialize)]
pub enum Said {
    Started(SocketAddr),
    CouldNotStart(String),
    Happened(Event),
    Answered { id: u64, answer: Answer },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Done(Result<(), CallError>),
    Kept(Result<Vec<u64>, CallError>),
    Link(Result<Box<Link>, CallError>),
    Number(Result<u64, CallError>),
    /// How many of many had a reply, and how long that took for all and for the slowest, in milliseconds.
    Took {
        replies: u32,
        all_ms: u64,
        longest_ms: u64,
    },
    Sight(Box<Sight>),
}

/// What a peer sees: its status and its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sight {
    pub status: Status,
    pub actors: BTreeMap<String, ActorStatus>,
    /// What the peer's wall clock shows, in seconds since 1970.
    pub wall_clock: u64,
}
