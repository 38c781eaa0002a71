//! When an actor's state is written down, and how often it is copied.

use std::time::Duration;

use crate::limits::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_COPIES};

/// When a checkpoint is taken. State is serialized between two messages, and at most one checkpoint
/// of an actor is on its way at a time, so under load they come as fast as they become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After this many messages (0 counts as 1), and on request.
    EveryMessages(u64),
    /// This long after the first message that the last checkpoint does not hold, and on request.
    Every(Duration),
    /// When a handler calls [`Context::checkpoint`](super::Context::checkpoint), when a caller asks
    /// for a durable reply, and when the peer leaves.
    OnRequest,
    /// Not at all: every restore begins from what the actor was created with. Requests for
    /// durability are errors.
    Never,
}

/// How a kind's state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When checkpoints are taken.
    pub checkpoint: When,
    /// How many other peers keep a copy of each; at most as many as there are.
    pub copies: u8,
}

impl Default for Policy {
    /// A second after a change, on two other peers.
    fn default() -> Self {
        Self { checkpoint: When::Every(DEFAULT_CHECKPOINT_INTERVAL), copies: DEFAULT_COPIES }
    }
}
