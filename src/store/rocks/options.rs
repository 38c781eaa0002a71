//! How RocksDB is set up: small, quiet, and strict.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBRecoveryMode, Env, InfoLogger, LogLevel, Options,
};

use crate::limits::{
    CHUNK_APART_BYTES, CHUNK_FILTER_BITS, CHUNK_TABLES_PER_MERGE, STORE_BLOCK_CACHE_BYTES,
    STORE_FLUSH_THREADS, STORE_OPEN_FILES, STORE_WAL_BYTES, STORE_WRITE_BUFFER_BYTES,
};

/// A column family. The tag is part of every checksum in it, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Meta,
    Log,
    Snapshot,
    Copies,
    Chunks,
}

impl Column {
    pub(super) const ALL: [Column; 5] =
        [Column::Meta, Column::Log, Column::Snapshot, Column::Copies, Column::Chunks];

    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Meta => "meta",
            Column::Log => "log",
            Column::Snapshot => "snapshot",
            Column::Copies => "copies",
            Column::Chunks => "chunks",
        }
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            Column::Meta => b'm',
            Column::Log => b'l',
            Column::Snapshot => b's',
            Column::Copies => b'c',
            Column::Chunks => b'k',
        }
    }

    fn write_buffer(self) -> usize {
        match self {
            Column::Log | Column::Copies => STORE_WRITE_BUFFER_BYTES,
            // As much as the write-ahead log lets wait.
            Column::Chunks => STORE_WAL_BYTES as usize,
            Column::Meta | Column::Snapshot => STORE_WRITE_BUFFER_BYTES / 8,
        }
    }
}

pub(super) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // Replay stops at the first unreadable record. Whether that is right, the mark tells.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(STORE_WAL_BYTES);
    // The mark tells what the newest file of it lacks; this, what an older one does.
    options.set_track_and_verify_wals_in_manifest(true);
    // One flush and one compaction at a time. The threads are shared by all stores of a process.
    options.set_max_background_jobs(2);
    if let Ok(mut env) = Env::new() {
        env.set_high_priority_background_threads(STORE_FLUSH_THREADS);
        options.set_env(&env);
    }
    options.set_max_open_files(STORE_OPEN_FILES);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |level, text| match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "standin::rocksdb", "{text}"),
        _ => tracing::debug!(target: "standin::rocksdb", "{text}"),
    }));
    options.set_log_level(LogLevel::Warn);
    options
}

pub(super) fn columns() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(STORE_BLOCK_CACHE_BYTES);
    let describe = |column: Column| {
        let mut options = column_options(&cache, column);
        if column == Column::Chunks {
            // Written once and dropped once: bytes that lie apart are not copied again when names are merged.
            options.set_enable_blob_files(true);
            options.set_min_blob_size(CHUNK_APART_BYTES);
            options.set_blob_file_size(STORE_WAL_BYTES);
            options.set_level_zero_file_num_compaction_trigger(CHUNK_TABLES_PER_MERGE);
            // These tables are small: it takes many of them until writers must wait for a merge.
            options.set_level_zero_slowdown_writes_trigger(4 * CHUNK_TABLES_PER_MERGE);
            options.set_level_zero_stop_writes_trigger(8 * CHUNK_TABLES_PER_MERGE);
        }
        ColumnFamilyDescriptor::new(column.name(), options)
    };
    Column::ALL.into_iter().map(describe).collect()
}

/// Whether a merge of chunks' names takes along the bytes in the oldest files, so that those can go: an option that is
/// changed while the database is open. It is off at first.
pub(super) fn sweeping(on: bool) -> (&'static str, &'static str) {
    ("enable_blob_garbage_collection", if on { "true" } else { "false" })
}

fn column_options(cache: &Cache, column: Column) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    if column == Column::Chunks {
        // Names are digests: a chunk may be in any of the tables.
        tables.set_bloom_filter(CHUNK_FILTER_BITS, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&tables);
    options.set_write_buffer_size(column.write_buffer());
    // Room for bursts: a full buffer that has not been written out yet must not stall an append.
    options.set_max_write_buffer_number(4);
    options.set_target_file_size_base(STORE_WRITE_BUFFER_BYTES as u64);
    options.set_max_bytes_for_level_base(4 * STORE_WRITE_BUFFER_BYTES as u64);
    options
}
