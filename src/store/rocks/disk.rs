//! Opening a directory, and telling whether everything that was promised is still there.

use rocksdb::{ColumnFamily, DB, DBRawIterator, ErrorKind, ReadOptions, WriteBatch, WriteOptions};
use std::ffi::CStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use super::codec::{SUM_BYTES, seal, unseal};
use super::flusher::Step;
use super::mark::Mark;
use super::options::{self, Column};
use crate::limits::CHUNK_GARBAGE_EIGHTHS;
use crate::store::bounds::LogBounds;
use crate::store::error::{StoreError, corrupt};
use crate::store::lock;

/// Where the log starts, in the meta column: a missing first entry would otherwise look purged.
const LOG_START: &[u8] = b"log-start";

/// What is stored of chunks, apart from their names; and as much of it as is known to be garbage.
const BLOB_BYTES: &CStr = c"rocksdb.live-blob-file-size";
/// See [`BLOB_BYTES`].
const BLOB_GARBAGE_BYTES: &CStr = c"rocksdb.live-blob-file-garbage-size";

/// An open directory. The database closes before the lock is let go.
pub(super) struct Disk {
    db: DB,
    mark: Mutex<Mark>,
    /// Whether merges [write chunks anew](Self::sweep_chunks).
    sweeps: Mutex<bool>,
    _lock: File,
}

impl Disk {
    /// Opens or creates a store. Looks before it writes: a damaged one is left as it is.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let found = |source: io::Error| match source.kind() {
            io::ErrorKind::InvalidData => StoreError::Corrupt { dir: dir.into(), what: source.to_string() },
            _ => StoreError::Io { dir: dir.into(), source },
        };
        fs::create_dir_all(dir).map_err(found)?;
        let lock = lock_file(dir, &dir.join("lock"))?;
        let (mark_path, db_path) = (dir.join("mark"), dir.join("db"));
        // CURRENT is what RocksDB writes last when it creates a database.
        let exists = fs::exists(db_path.join("CURRENT")).map_err(found)?;
        let mut mark = match Mark::open(&mark_path) {
            Ok(mark) => mark,
            Err(_) if !exists => create_mark(dir, &mark_path).map_err(found)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(found(corrupt("the mark of the last acknowledged write is missing")));
            }
            Err(e) => return Err(found(e)),
        };
        let last = if exists { readable_writes(&db_path).map_err(found)? } else { 0 };
        if last < mark.value() {
            let (acknowledged, found) = (mark.value(), last);
            return Err(StoreError::LostWrites { dir: dir.into(), acknowledged, found });
        }
        let db = DB::open_cf_descriptors(&options::database(), &db_path, options::columns())
            .map_err(|e| found(io_error(e)))?;
        sync_directory(dir).map_err(found)?;
        // What is readable now will be acted on, acknowledged or not, and RocksDB has synced it.
        mark.raise(db.latest_sequence_number()).and_then(|()| mark.settle()).map_err(found)?;
        Ok(Self { db, mark: Mutex::new(mark), sweeps: Mutex::new(false), _lock: lock })
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    pub(super) fn column(&self, column: Column) -> io::Result<&ColumnFamily> {
        let missing = || io::Error::other(format!("the database has no column {}", column.name()));
        self.db.cf_handle(column.name()).ok_or_else(missing)
    }

    /// A value, checked.
    pub(super) fn get(
        &self,
        column: Column,
        key: &[u8],
        what: impl FnOnce() -> String,
    ) -> io::Result<Option<Vec<u8>>> {
        self.read(column, key, what, <[u8]>::to_vec)
    }

    /// Looks at a value, checked, where it lies.
    pub(super) fn read<T>(
        &self,
        column: Column,
        key: &[u8],
        what: impl FnOnce() -> String,
        look: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<Option<T>> {
        let stored = self.db.get_pinned_cf(self.column(column)?, key).map_err(io_error)?;
        stored.map(|stored| unseal(column.tag(), key, &stored, what).map(look)).transpose()
    }

    /// The same of a value that may be spoiled.
    pub(super) fn read_unchecked<T>(
        &self,
        column: Column,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<Option<T>> {
        let stored = self.db.get_pinned_cf(self.column(column)?, key).map_err(io_error)?;
        Ok(stored.map(|stored| look(stored.get(SUM_BYTES..).unwrap_or_default())))
    }

    /// Writes a batch, unsynced, and returns its number.
    pub(super) fn write(&self, batch: WriteBatch) -> io::Result<u64> {
        self.db.write(batch).map_err(io_error)?;
        Ok(self.db.latest_sequence_number())
    }

    /// Writes a batch round the write-ahead log, and returns its number: durable once its column is flushed.
    pub(super) fn write_unlogged(&self, batch: WriteBatch) -> io::Result<u64> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(io_error)?;
        Ok(self.db.latest_sequence_number())
    }

    /// Makes all chunks durable that were written before.
    pub(super) fn flush_chunks(&self) -> io::Result<()> {
        self.db.flush_cf(self.column(Column::Chunks)?).map_err(io_error)?;
        self.sweep_chunks();
        Ok(())
    }

    /// Looks whether merges should write those chunks anew that lie among many which nothing needs any more. It is most
    /// of the work where nothing does not, so they do it only while there is much to gain.
    pub(super) fn sweep_chunks(&self) {
        // Nothing is lost where that does not work but room.
        if let Err(e) = self.try_sweep_chunks() {
            tracing::warn!(error = %e, "the room of removed chunks does not come back");
        }
    }

    fn try_sweep_chunks(&self) -> io::Result<()> {
        let column = self.column(Column::Chunks)?;
        let bytes = |name: &CStr| {
            self.db.property_int_value_cf(column, name).map(Option::unwrap_or_default).map_err(io_error)
        };
        let (all, garbage) = (bytes(BLOB_BYTES)?, bytes(BLOB_GARBAGE_BYTES)?);
        let mut sweeps = lock(&self.sweeps);
        let (from, to) = CHUNK_GARBAGE_EIGHTHS;
        let wanted = garbage * 8 > all * if *sweeps { to } else { from };
        if wanted != *sweeps {
            tracing::debug!(all, garbage, wanted, "chunks that nothing needs are many, or are few again");
            self.db.set_options_cf(column, &[options::sweeping(wanted)]).map_err(io_error)?;
            *sweeps = wanted;
        }
        Ok(())
    }

    /// Makes writes durable and promises them, or makes the promise durable.
    pub(super) fn perform(&self, step: Step) -> io::Result<()> {
        match step {
            Step::Sync(last) => {
                self.db.flush_wal(true).map_err(io_error)?;
                lock(&self.mark).raise(last)
            }
            Step::Settle => lock(&self.mark).settle(),
        }
    }

    /// Keys from one up to another, which is not among them, as they are now.
    pub(super) fn iterate(&self, column: Column, from: &[u8], to: Vec<u8>) -> io::Result<DBRawIterator<'_>> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut iterator = self.db.raw_iterator_cf_opt(self.column(column)?, options);
        iterator.seek(from);
        Ok(iterator)
    }

    /// Adds a sealed value to a batch.
    pub(super) fn put(
        &self,
        batch: &mut WriteBatch,
        column: Column,
        key: &[u8],
        value: &[u8],
    ) -> io::Result<()> {
        batch.put_cf(self.column(column)?, key, seal(column.tag(), key, value)?);
        Ok(())
    }

    /// Adds the index at which the log starts to a batch.
    pub(super) fn put_log_start(&self, batch: &mut WriteBatch, start: u64) -> io::Result<()> {
        self.put(batch, Column::Meta, LOG_START, &start.to_be_bytes())
    }

    /// Reads the whole log once: every entry whole, none missing, the first where it should be.
    pub(super) fn check_log(&self) -> io::Result<LogBounds> {
        let start = match self.get(Column::Meta, LOG_START, || "the start of the log".into())? {
            Some(bytes) => {
                let bytes = bytes.try_into().map_err(|_| corrupt("the start of the log is malformed"))?;
                u64::from_be_bytes(bytes)
            }
            None => 0,
        };
        let mut bounds = LogBounds { start, end: start };
        let mut entries = self.db.raw_iterator_cf(self.column(Column::Log)?);
        entries.seek_to_first();
        while let Some((key, stored)) = entries.item() {
            if key != bounds.end.to_be_bytes() {
                return Err(corrupt(format!("log entry {} is missing", bounds.end)));
            }
            unseal(Column::Log.tag(), key, stored, || format!("log entry {}", bounds.end))?;
            bounds.end = bounds.end.checked_add(1).ok_or_else(|| corrupt("the log has no end"))?;
            entries.next();
        }
        entries.status().map_err(io_error)?;
        Ok(bounds)
    }
}

/// One store per directory, also against another of the same process.
fn lock_file(dir: &Path, path: &Path) -> Result<File, StoreError> {
    let io = |source| StoreError::Io { dir: dir.into(), source };
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.into() }),
        Err(TryLockError::Error(e)) => Err(io(e)),
    }
}

fn create_mark(dir: &Path, path: &Path) -> io::Result<Mark> {
    let mark = Mark::create(path)?;
    sync_directory(dir)?;
    Ok(mark)
}

/// Makes the names in a directory durable, and its own name in its parent.
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    match dir.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The number of the last write that RocksDB can replay, found without changing a byte: opening
/// for writing would drop what lies behind an unreadable record for good.
fn readable_writes(path: &Path) -> io::Result<u64> {
    let options = options::database();
    let names = DB::list_cf(&options, path).map_err(io_error)?;
    let db = DB::open_cf_for_read_only(&options, path, names, false).map_err(io_error)?;
    Ok(db.latest_sequence_number())
}

/// RocksDB's errors carry their cause as text only.
pub(super) fn io_error(e: rocksdb::Error) -> io::Error {
    let text = e.to_string();
    let kind = match e.kind() {
        ErrorKind::Corruption => io::ErrorKind::InvalidData,
        _ if text.contains("No space left on device") => io::ErrorKind::StorageFull,
        _ if text.contains("File too large") => io::ErrorKind::FileTooLarge,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, text)
}
