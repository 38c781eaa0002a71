//! When an actor's state is written down, and how often it is copied.

use std::time::Duration;

use crate::limits::{DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_COPIES};

/// When a checkpoint is taken. State is serialized between two messages, and at most one checkpoint
/// of an actor is on its way at a time, so under load they come as fast as they become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After this many messages (0 counts as 1), and on request.
    EveryMessages(u64),
    /// This long after the first message that the last checkpoint does not hold, and on request. Where this is half a
    /// second or more and nobody waits for it, it goes out together with others, up to
    /// [`GATHER_ROUTINE_SAVES`](crate::limits::GATHER_ROUTINE_SAVES) later.
    Every(Duration),
    /// When a handler calls [`Context::checkpoint`](super::Context::checkpoint), when a caller asks
    /// for a durable reply, and when the peer leaves.
    OnRequest,
    /// Not at all: every restore begins from what the actor was created with. Requests for
    /// durability are errors.
    Never,
}

/// When what an actor sends [reliably](super::Context::send) may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbox {
    /// Once a checkpoint that holds it is durable. A reply leaves when all that the actor took in or sent reliably
    /// before it is durable as well. Any handler may use this: what left is never taken back, so nobody sees an
    /// effect of something that a failure then undoes. (MillWheel's strong productions.)
    Held,
    /// At once, and replies too. After a failure the actor handles again what its last checkpoint did not hold, and
    /// the messages that it sends then take the numbers of those that left before: they must be the same ones, or the
    /// receiver keeps the first ones and the sender's state tells of others. So its handlers must send the same
    /// whenever they get the same: what they send must depend neither on the order in which several senders'
    /// messages came, nor on plain calls, nor on chance, nor on a clock. And it may hear from others what followed from
    /// messages that it has not sent yet, as it is now. (MillWheel's weak productions.)
    Eager,
}

/// What becomes of an actor while its home is down, or has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// It waits for its home, or for the machine that replaces it, and so do the messages to it.
    Wait,
    /// Once its home has been away for so long (in steps of a millisecond, at most 49 days), another peer that knows
    /// its kind goes on with its newest checkpoint: the one that runs the fewest actors. Home again, it is handed
    /// back with all that it did meanwhile.
    StandIn {
        /// From when its home was marked down, or left. A new Raft leader counts anew.
        after: Duration,
    },
}

impl Down {
    pub(crate) fn stand_in_ms(self) -> Option<u32> {
        match self {
            Down::Wait => None,
            Down::StandIn { after } => Some(u32::try_from(after.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}

/// How a kind's state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When checkpoints are taken.
    pub checkpoint: When,
    /// How many other peers keep a copy of each; at most as many as there are.
    pub copies: u8,
    /// When reliable messages leave.
    pub outbox: Outbox,
    /// What becomes of it while its home is away, unless it was [created](crate::CreateOptions) otherwise.
    pub down: Down,
    /// After so many panics in a row, with no durable checkpoint of anything new between them, it is not restored
    /// any more: calls fail with [`Reason::Failed`](crate::Reason::Failed), and reliable messages to it wait, until it
    /// is [revived](crate::Peer::revive) or stopped. None: it is tried again for ever. The waits between double, from
    /// 10 ms to 5 s. Panics are counted where it runs; a move begins the count anew.
    pub max_restarts: Option<u32>,
}

impl Default for Policy {
    /// A second after a change, on two other peers; reliable messages make it be taken at once, and wait for it. While
    /// its home is away it waits.
    fn default() -> Self {
        Self {
            checkpoint: When::Every(DEFAULT_CHECKPOINT_INTERVAL),
            copies: DEFAULT_COPIES,
            outbox: Outbox::Held,
            down: Down::Wait,
            max_restarts: None,
        }
    }
}
