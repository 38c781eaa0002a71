//! Every bound of the library in one place. Nothing that a peer can grow is without one.

use std::time::Duration;

/// Longest node id, in bytes.
pub const MAX_NODE_ID_BYTES: usize = 64;
/// Longest actor kind, in bytes.
pub const MAX_KIND_BYTES: usize = 64;
/// Longest actor key, in bytes.
pub const MAX_ACTOR_KEY_BYTES: usize = 256;
/// Largest frame that is read or written on any stream, in bytes.
pub const MAX_FRAME_BYTES: usize = 16 << 20;
/// Largest frame before a peer is known (its hello), in bytes.
pub const MAX_HELLO_BYTES: usize = 4 << 10;
/// Largest checkpoint of one actor, in bytes. One beyond it is an error to the actor's callers.
pub const MAX_CHECKPOINT_BYTES: usize = 256 << 20;
/// Requests of one connection and lane that may be in progress at the receiver.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 4096;
/// Frames that wait for one connection and lane at the sender.
pub const MAX_QUEUED_FRAMES: usize = 4096;
/// Connections that one acceptor keeps open.
pub const MAX_CONNECTIONS: usize = 1024;
/// Connections that may be in their handshake at once.
pub const MAX_HANDSHAKES: usize = 256;
/// Extra streams (bulk, Raft append) that one connection may have open at once.
pub const MAX_STREAMS: u32 = 256;
/// What the coalescing writer puts into one write, in bytes.
pub const WRITE_COALESCE_BYTES: usize = 128 << 10;
/// From the first packet to an accepted hello.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);
/// A bulk stream with no progress for this long is given up.
pub const STREAM_IDLE_DEADLINE: Duration = Duration::from_secs(10);
/// Members of one cluster, dead names included.
pub const MAX_MEMBERS: usize = 4096;
/// Labels of one peer, and the longest of their names and values in bytes.
pub const MAX_LABELS: usize = 32;
/// Actor kinds that one peer may declare.
pub const MAX_KINDS: usize = 1024;
/// Items (checkpoints, creations) in one committed batch.
pub const MAX_BATCH_ITEMS: usize = 4096;
/// Messages that wait in one actor's mailbox, unless its kind says otherwise.
pub const DEFAULT_MAILBOX: usize = 1024;
/// How long a call may take when its caller names no deadline.
pub const DEFAULT_CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Calls that wait at one peer for actors whose home is away.
pub const MAX_HELD_CALLS: usize = 65_536;
/// Restores that run at once on one peer.
pub const MAX_PARALLEL_RESTORES: usize = 64;
/// Events that a slow subscriber may fall behind before it misses some.
pub const EVENT_BACKLOG: usize = 4096;
/// Other peers that keep a copy of each checkpoint, unless a kind says otherwise.
pub const DEFAULT_COPIES: u8 = 2;
/// Raft log entries kept behind a snapshot for followers that are only a little late.
pub const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 2_000;
/// Applied Raft log entries between two snapshots.
pub const ENTRIES_PER_SNAPSHOT: u64 = 20_000;
/// Writes that may wait for the disk to be synced. One beyond it is refused: the disk hangs.
pub const MAX_UNSYNCED_WRITES: usize = 16_384;
/// Largest value that the store keeps under one name (a log entry, a snapshot, a copy), in bytes.
pub const MAX_STORED_VALUE_BYTES: usize = 1 << 30;
/// What the store buffers in memory of the log and of the copies, each, before it writes a table.
pub const STORE_WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Blocks of tables that the store keeps in memory, in bytes.
pub const STORE_BLOCK_CACHE_BYTES: usize = 4 << 20;
/// Write-ahead log that the store keeps, and so the most that it replays when it opens, in bytes
/// (one write that is larger comes on top).
pub const STORE_WAL_BYTES: u64 = 32 << 20;
/// Files of tables that one store holds open.
pub const STORE_OPEN_FILES: i32 = 64;
/// Groups of synced writes after which the store's mark of them is synced too, at the latest.
pub const SYNCS_PER_SETTLE: u32 = 32;
/// Quiet after which it is.
pub const SETTLE_AFTER_QUIET: Duration = Duration::from_millis(5);
