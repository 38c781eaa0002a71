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
/// Largest state of one actor in a checkpoint, in bytes. One beyond it is an error to the actor's callers.
pub const MAX_CHECKPOINT_BYTES: usize = 2 << 30;
/// Largest part of a checkpoint besides the state, in bytes: a full outbox, the session table and what was put aside.
pub const MAX_SESSIONS_BYTES: usize = 128 << 20;
/// Requests of one connection and lane that may be in progress at the receiver. The sender counts calls and long
/// messages together.
pub const MAX_REQUESTS_IN_FLIGHT: usize = 4096;
/// Frames that wait for one connection and lane at the sender.
pub const MAX_QUEUED_FRAMES: usize = 4096;
/// Connections that one acceptor keeps open.
pub const MAX_CONNECTIONS: usize = 1024;
/// Connections that may be in their handshake at once.
pub const MAX_HANDSHAKES: usize = 256;
/// Extra streams (bulk, Raft append) that one connection may have open at once.
pub const MAX_STREAMS: u32 = 256;
/// What a socket keeps of packets that nobody has read yet, in bytes, if the system lets it.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Largest packet that is tried on a path, in bytes without the headers of IP and UDP, where the network lets it (jumbo
/// frames, loopback). So many that ten of them, which quinn hands to the system at once, with all headers stay below
/// 64 KiB: more than that the kernel would take apart itself.
pub const MAX_PACKET_BYTES: u16 = 6500;
/// What the coalescing writer puts into one write, in bytes.
pub const WRITE_COALESCE_BYTES: usize = 128 << 10;
/// What is made room for of a frame that has begun, in bytes.
pub const READ_AHEAD_BYTES: usize = 128 << 10;
/// Requests for which a lane's buffer keeps room when it is empty.
pub const KEPT_QUEUE_PLACES: usize = 256;
/// From the first packet to an accepted hello.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);
/// A bulk stream with no progress for this long is given up.
pub const STREAM_IDLE_DEADLINE: Duration = Duration::from_secs(10);
/// A reply to a Raft append that is owed for this long, or up to twice that, does not come any more.
pub const APPEND_REPLY_PATIENCE: Duration = Duration::from_secs(2);
/// Members of one cluster, dead names included.
pub const MAX_MEMBERS: usize = 4096;
/// Labels of one peer, and the longest of their names and values in bytes.
pub const MAX_LABELS: usize = 32;
/// Longest entry of the Raft log, in bytes: it goes into a frame, with a little around it.
pub const MAX_PROPOSAL_BYTES: usize = MAX_FRAME_BYTES - (64 << 10);
/// Actor kinds that one peer may declare.
pub const MAX_KINDS: usize = 1024;
/// The directory of actors, in bytes as it lies in memory: past it no actor is created. A snapshot of it, which is at
/// most half as long again, still fits into [one value](MAX_STORED_VALUE_BYTES) of the store.
pub const MAX_DIRECTORY_BYTES: usize = 640 << 20;
/// Items (checkpoints, creations) in one committed batch.
pub const MAX_BATCH_ITEMS: usize = 4096;
/// Messages that wait in one actor's mailbox, unless its kind says otherwise.
pub const DEFAULT_MAILBOX: usize = 1024;
/// Deadlines of calls within one peer from here on are kept less exactly, for the sake of speed: up to two ticks late.
pub const FAR_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked whether such a deadline has passed.
pub const PATIENCE_TICK: Duration = Duration::from_millis(100);
/// Parts of the list of those who wait, so that threads do not wait for each other.
pub const PATIENCE_SHARDS: usize = 16;
/// Places in it that a thread keeps for the next who waits.
pub const PLACES_KEPT: usize = 32;
/// How long a call may take when its caller names no deadline.
pub const DEFAULT_CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Calls that wait at one peer for actors whose home is away.
pub const MAX_HELD_CALLS: usize = 65_536;
/// Restores that run at once on one peer.
pub const MAX_PARALLEL_RESTORES: usize = 64;
/// So many of [short](MAX_SHORT_COPY_BYTES) checkpoints count as one: all that they wait for is the network.
pub const SHORT_RESTORES: usize = 4;
/// Events that a slow subscriber may fall behind before it misses some.
pub const EVENT_BACKLOG: usize = 4096;
/// Other peers that keep a copy of each checkpoint, unless a kind says otherwise.
pub const DEFAULT_COPIES: u8 = 2;
/// How long, while a leader writes much, a checkpoint's commit or a creation waits for others at most.
pub const GATHER_WRITES: Duration = Duration::from_millis(5);
/// Such commands that wait at a leader. Past that, whoever proposes one waits.
pub const MAX_GATHERED_WRITES: usize = 4096;
/// Threads of one peer for Raft, heartbeats and I/O, on a machine with twice as many cores or more.
pub const MAX_CONTROL_THREADS: usize = 4;
/// Threads of one peer for what may take long: to read a disk, or to decode a large state.
pub const MAX_APART_THREADS: usize = 2 * MAX_PARALLEL_RESTORES;
/// Newest Raft log entries that are kept in memory as well.
pub const MAX_RECENT_ENTRIES: usize = 1024;
/// What they may take there, in bytes as encoded.
pub const MAX_RECENT_BYTES: usize = 4 << 20;
/// Raft log entries kept behind a snapshot for followers that are only a little late.
pub const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 2_000;
/// Actors in the directory that are written into a snapshot before others get their turn.
pub const LINES_PER_TURN: usize = 2_000;
/// Applied Raft log entries between two snapshots.
pub const ENTRIES_PER_SNAPSHOT: u64 = 20_000;
/// Messages that were taken out of a large mailbox and still take room there, at most.
pub const PLACES_HELD_BACK: usize = 32;
/// Letters that a busy mailbox keeps after they were read, at most, to be written anew.
pub const SPARE_LETTERS: usize = 1024;
/// Those that an idle one keeps, and for how many letters it keeps room.
pub const IDLE_MAILBOX_KEEPS: usize = 32;
/// Longer letters are not written anew, in bytes.
pub const MAX_SPARE_LETTER_BYTES: usize = 256;
/// A handler that takes no longer is quick: a caller may run it on its own thread, for less than a wake costs.
pub const QUICK_TURN: Duration = Duration::from_micros(10);
/// So many in a row, and callers may run the next one.
pub const QUICK_TURNS: u8 = 16;
/// Handlers that one thread runs within each other.
pub const VISITS_WITHIN: u8 = 4;
/// Largest mailbox that a kind may ask for, in messages.
pub const MAX_MAILBOX: usize = 1 << 20;
/// Message types that one kind may handle.
pub const MAX_MESSAGES_PER_KIND: usize = 1024;
/// Longest name of a message type, in bytes.
pub const MAX_MESSAGE_NAME_BYTES: usize = 128;
/// Largest encoded message or reply, in bytes: a frame less what its envelope may take.
pub const MAX_MESSAGE_BYTES: usize = MAX_FRAME_BYTES - (64 << 10);
/// From an actor's first change to its checkpoint, unless its kind says otherwise.
pub const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest and longest wait before a failed checkpoint is taken again.
pub const CHECKPOINT_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Shortest and longest wait between a panic and the actor's restart.
pub const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));
/// An actor that ran this long without a panic restarts without delay again.
pub const RESTART_BACKOFF_RESET: Duration = Duration::from_secs(60);
/// What is kept of a panic's text, in bytes.
pub const MAX_PANIC_TEXT_BYTES: usize = 1024;
/// [Local actors](crate::LocalActor) of one peer that run at once, less what others of its threads may still add to
/// theirs without asking ([`LOCAL_ACTORS_GRANTED`]).
pub const MAX_LOCAL_ACTORS: usize = 1 << 20;
/// How many local actors a part of their list may add at once, before it asks for more.
pub const LOCAL_ACTORS_GRANTED: usize = 1 << 10;
/// Parts of their list, so that threads do not wait for each other.
pub const LOCAL_SHARDS: usize = 16;
/// Parts of a host's map that are locked apart from each other.
pub const HOST_SHARDS: usize = 32;
/// Longest lease that a grant may carry. A longer one is not believed.
pub const MAX_LEASE: Duration = Duration::from_secs(60);
/// Heartbeats whose answer a peer still waits for; the oldest is forgotten first.
pub const MAX_HEARTBEATS_OUTSTANDING: usize = 64;
/// Grants that wait for the peer's own state to catch up; the oldest is forgotten first.
pub const MAX_GRANTS_PENDING: usize = 64;
/// Probe rounds whose answers the leader still counts; the oldest is forgotten first.
pub const MAX_PROBE_ROUNDS: usize = 64;
/// When a joiner should ask again after an answer that names no better moment.
pub const ADMISSION_RETRY: Duration = Duration::from_millis(100);
/// Voters of one cluster unless it is configured otherwise; further peers are learners.
pub const DEFAULT_MAX_VOTERS: usize = 15;
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
pub const STORE_OPEN_FILES: i32 = 256;
/// Threads that write tables and chunks, for all stores of a process. Each store uses one at a time.
pub const STORE_FLUSH_THREADS: i32 = 4;
/// How far in the past a new certificate begins: clocks of machines differ.
pub const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(24 * 3600);
/// How long a new certificate is valid, from its begin.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Largest certificate or key file that is read, in bytes.
pub const MAX_PEM_BYTES: u64 = 256 << 10;
/// Links to other peers that one transport remembers.
pub const MAX_LINKS: usize = 2048;
/// A link without a request or stream for this long, or up to twice that, is closed.
pub const LINK_IDLE: Duration = Duration::from_secs(5);
/// A link whose other end turned out older than expected is not dialed again sooner than this.
pub const STALE_REDIAL: Duration = Duration::from_millis(100);
/// Largest header of a bulk stream, in bytes.
pub const MAX_STREAM_HEADER_BYTES: usize = 64 << 10;
/// Messages and replies at least this long travel apart from the others, in bytes: none of those waits behind one.
pub const HEAVY_MESSAGE_BYTES: usize = 256 << 10;
/// Frames at least this long are written without being copied, in bytes.
pub const ZERO_COPY_BYTES: usize = 8 << 10;
/// The same complaint about strangers is logged at most once in this time.
pub const LOG_EVERY: Duration = Duration::from_secs(10);
/// How long a shutdown waits for the other ends to hear of it.
pub const SHUTDOWN_LINGER: Duration = Duration::from_millis(500);
/// Longest time that one request may be waited for, whatever its caller says.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Bytes that wait for one link, or one connection's lane of replies, at their sender.
pub const MAX_QUEUED_BYTES: usize = 128 << 20;
/// Connections that one node may have open to an acceptor.
pub const MAX_CONNECTIONS_PER_NODE: usize = 32;
/// How long one process is asked whether it lets another join.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(2);
/// How long a founder may take to write its first entries.
pub const FOUNDING_DEADLINE: Duration = Duration::from_secs(30);
/// Nonces that a disk remembers of processes that asked to join and could not note the answer.
pub const MAX_ASKED: usize = 16;
/// Checkpoints that wait on one peer to be written.
pub const MAX_QUEUED_SAVES: usize = 65_536;
/// Checkpoints that were committed since old copies were last removed, and copies on one disk that no log entry has
/// confirmed yet. One more, and all that is on the disk is looked at instead.
pub const MAX_SAVES_NOTED: usize = 262_144;
/// The same, of one actor.
pub const MAX_VERSIONS_NOTED: usize = 1024;
/// How many of those are worked on before others get their turn.
pub const SAVES_PER_LOOK: usize = 512;
/// Batches of checkpoints that one peer writes at once.
pub const PARALLEL_FLUSHES: usize = 4;
/// How long, while a peer saves much, the first checkpoint of a batch waits for others at most.
pub const GATHER_SAVES: Duration = Duration::from_millis(10);
/// How long checkpoints wait for others while none is wanted at once: fewer batches are less work. That is so of kinds
/// whose interval is ten times as long, or more.
pub const GATHER_ROUTINE_SAVES: Duration = Duration::from_millis(50);
/// What one batch of checkpoints may hold before it is written, in bytes (one larger comes alone).
pub const SAVE_BATCH_BYTES: usize = 32 << 20;
/// From a checkpoint's state to its commit. Past it the actor is told, goes on, and tries again later.
pub const SAVE_DEADLINE: Duration = Duration::from_secs(15);
/// How long an actor's creation may take at its home.
pub const CREATE_DEADLINE: Duration = Duration::from_secs(10);
/// Checkpoints at least this long are cut into chunks, in bytes; of those only new ones are written and sent.
pub const CHUNKED_BYTES: usize = 256 << 10;
/// Shortest (but for the last), usual and longest chunk, in bytes.
pub const CHUNK_BYTES: (usize, usize, usize) = (8 << 10, 16 << 10, 64 << 10);
/// Longest manifest of a copy, in bytes. It fits in one frame, and names all chunks of the largest checkpoint.
pub const MAX_MANIFEST_BYTES: usize = 12 << 20;
/// A chunk is stored and sent compressed where that takes at most so many eighths of it.
pub const COMPRESSION_PAYS_EIGHTHS: usize = 6;
/// So many bytes of the middle of a long chunk are compressed first, to see whether that may pay.
pub const COMPRESSION_TRIED_BYTES: usize = 4 << 10;
/// Chunks that were received are written when they are so many bytes.
pub const CHUNK_WRITE_BYTES: usize = 8 << 20;
/// Chunks of so many bytes at once go round the store's write-ahead log: a file of their own takes more syncs than a
/// place in the log, but the bytes are written once.
pub const UNLOGGED_CHUNK_BYTES: usize = 1 << 20;
/// Such writes that may wait for the disk at once, for one copy.
pub const MAX_CHUNK_WRITES: usize = 4;
/// Checkpoints of at most so many bytes are fetched with one request; others have a stream of their own.
pub const MAX_SHORT_COPY_BYTES: usize = 4 << 10;
/// Copies at least this long lie alone in the store, apart from their names, in bytes.
pub const COPY_APART_BYTES: usize = 4 << 10;
/// Shorter ones lie together in bundles of about so many bytes (and less than one copy more).
pub const BUNDLE_BYTES: usize = 4 << 10;
/// Bundles hold so many times as much as counts, and so many bytes more, before those of which less counts are emptied.
pub const BUNDLE_WASTE: u32 = 4;
/// See [`BUNDLE_WASTE`].
pub const BUNDLE_WASTE_BYTES: u64 = 4 << 20;
/// How many are emptied at once.
pub const BUNDLES_PER_MOVE: usize = 64;
/// Numbers of bundles that are passed over where some could not be read: those may have them.
pub const TORN_BUNDLE_NUMBERS: u64 = 1 << 32;
/// How much of a large state is cut into chunks by itself, in bytes. Where such parts meet, bytes that are put in
/// before them make a few chunks new.
pub const CUT_PART_BYTES: usize = 32 << 20;
/// How many such parts of one state are cut at once.
pub const PARALLEL_CUTS: usize = 2;
/// How much of a copy's chunks is read from a disk at once, in bytes.
pub const CHUNK_READ_BYTES: usize = 128 << 10;
/// How many such reads go ahead of what is sent, or put together. Few: many streams share the disk, and each waits
/// until all others have had their turn.
pub const CHUNK_READS_AHEAD: usize = 2;
/// Values of chunks at least this long lie apart from their names in the store, in bytes.
pub const CHUNK_APART_BYTES: u64 = 1 << 10;
/// Tables of chunks' names that gather in the store before they are merged.
pub const CHUNK_TABLES_PER_MERGE: i32 = 16;
/// Merges write chunks anew from when so many eighths of what is stored of them are garbage, until so many are.
pub const CHUNK_GARBAGE_EIGHTHS: (u64, u64) = (2, 1);
/// Bits that each name of a chunk takes in a table's filter: one in a hundred look-ups is in vain.
pub const CHUNK_FILTER_BITS: f64 = 10.0;
/// Large checkpoints of one peer that are written at once.
pub const PARALLEL_LARGE_SAVES: usize = 2;
/// A checkpoint may take a second longer for each of so many bytes.
pub const SLOWEST_COPY_BYTES_PER_SECOND: u64 = 8 << 20;
/// Copies that one peer is asked at once to make again.
pub const MAX_REPAIRS_PER_ORDER: usize = 256;
/// How long it may take with them.
pub const REPAIR_DEADLINE: Duration = Duration::from_secs(30);
/// Actors in the directory that a leader looks at, at once, for copies that are missing.
pub const MAX_LINES_PER_LOOK: usize = 10_000;
/// How often old copies are removed.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// Actors that are handed over at once.
pub const MAX_HAND_OVERS: usize = 256;
/// How long the next ones wait for those that are at a long message, or are not restored yet.
pub const HAND_OVER_PATIENCE: Duration = Duration::from_secs(1);
/// How often a leader looks, at least, whether others may run the actors of a node that is away.
pub const TAKE_OVER_LOOK: Duration = Duration::from_secs(1);
/// Shortest and longest wait before a restore is tried again.
pub const RESTORE_RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// After so long a silence another peer votes in a voter's place.
pub const DOWN_LONG: Duration = Duration::from_secs(60);
/// A leader that could commit nothing for so long hands over.
pub const HUNG_COMMIT: Duration = Duration::from_secs(2);
/// How often a condition that a user waits for is looked at.
pub const CONDITION_POLL: Duration = Duration::from_millis(10);
/// A look at a large directory takes a while: between two is at least so many times what the last one took.
pub const CONDITION_REST: u32 = 5;
/// Groups of synced writes after which the store's mark of them is synced too, at the latest.
pub const SYNCS_PER_SETTLE: u32 = 32;
/// Quiet after which it is.
pub const SETTLE_AFTER_QUIET: Duration = Duration::from_millis(50);
/// Reliable messages that one sender keeps until their receivers have them. Half of it, and it takes in nothing new.
pub const MAX_OUTBOX_MESSAGES: usize = 65_536;
/// The same in bytes.
pub const MAX_OUTBOX_BYTES: usize = 32 << 20;
/// Reliable messages that go to one receiver at once.
pub const MAX_PARCELS: usize = 1024;
/// The same in bytes (one larger goes alone).
pub const PARCELS_BYTES: usize = 1 << 20;
/// Such batches that are under way to one receiver before the first is confirmed.
pub const MAX_BATCHES_UNDER_WAY: usize = 16;
/// Moments that a peer remembers of its log, to tell how old a checkpoint is.
pub const MAX_MOMENTS: usize = 1024;
/// Senders that one receiver remembers.
pub const MAX_SESSIONS: usize = 65_536;
/// Senders that one receiver remembers before it looks for those that have ended.
pub const SESSIONS_BEFORE_SWEEP: usize = 64;
/// Sessions of clients outside of any actor, in one cluster.
pub const MAX_CLIENT_SESSIONS: usize = 16_384;
/// A session whose process is gone is closed after this time, unless its client has come back.
pub const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// How long one attempt to bring reliable messages to their receiver may take, its checkpoint included.
pub const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);
/// Shortest and longest wait before such an attempt is repeated.
pub const DELIVERY_RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How long a sender with a heavy outbox takes in nothing new, after anything that made the outbox longer. Then it
/// does: two that wait for each other must go on.
pub const STALL_PATIENCE: Duration = Duration::from_secs(1);
/// How long an eager kind gathers reliable messages before it makes them durable.
pub const EAGER_CHECKPOINT_DELAY: Duration = Duration::from_millis(20);
/// How long an actor that stops itself waits until its reliable messages have arrived.
pub const STOP_DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Other actors that one actor may watch.
pub const MAX_WATCHED: usize = 1024;
/// Messages that one actor may have scheduled to itself.
pub const MAX_TIMERS: usize = 4096;
/// The same in bytes.
pub const MAX_TIMER_BYTES: usize = 8 << 20;
/// How long an activation that is to end goes on with the messages that wait for it. Who sent the others tries again.
pub const FINISH_DEADLINE: Duration = Duration::from_secs(1);
/// How often a handler may panic on one reliable message before that is put aside.
pub const MAX_PANICS_PER_MESSAGE: u32 = 5;
/// Messages on which one actor panicked that its host keeps count of.
pub const MAX_SUSPECTS: usize = 64;
/// Reliable messages that one actor keeps after they were put aside; the oldest is forgotten first.
pub const MAX_DEAD_LETTERS: usize = 64;
/// What is kept of such a message, in bytes.
pub const MAX_DEAD_LETTER_BYTES: usize = 4 << 10;
/// Applied entries that a peer remembers for a test that compares logs.
#[cfg(feature = "testing")]
pub const APPLIED_TRAIL: usize = 65_536;
/// Broken promises that a test cluster remembers.
#[cfg(feature = "testing")]
pub const MAX_VIOLATIONS: usize = 64;
