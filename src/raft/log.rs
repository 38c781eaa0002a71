//! The Raft log and vote on a [`Store`].

use futures_util::{Stream, TryStreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::admissions::Admissions;
use super::codec::{decode, encode};
use super::recent::Recent;
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::canary::{Mistake, made};
use crate::store::{Slot, Store, durably};

/// What one read hands out at most, in bytes: an append must fit one frame.
pub(super) const READ_BYTES: usize = 2 << 20;

/// The log of one disk. Clones share it.
#[derive(Clone)]
pub(super) struct Log {
    store: Arc<dyn Store>,
    vote: VoteCell,
    recent: Arc<Mutex<Recent>>,
    admissions: Admissions,
    floor: Floor,
}

/// The index up to which the log is purged, plus one. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Floor(Arc<AtomicU64>);

impl Floor {
    fn raise(&self, purged: Option<LogId>) {
        self.0.fetch_max(index_after(purged), Ordering::SeqCst);
    }

    /// Whether an entry is purged.
    pub(super) fn is_above(&self, index: u64) -> bool {
        index < self.0.load(Ordering::SeqCst)
    }
}

/// The vote as of *before* it is saved, so that whoever reads it here never believes in a leader
/// that this voter has already deserted (lease rule: a probe answer must not follow a newer vote).
#[derive(Clone, Default)]
pub(super) struct VoteCell(Arc<Mutex<Option<Vote>>>);

impl VoteCell {
    fn lock(&self) -> MutexGuard<'_, Option<Vote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> Option<Vote> {
        *self.lock()
    }
}

impl Log {
    pub(super) fn open(store: Arc<dyn Store>) -> io::Result<Self> {
        let vote = store.get(Slot::Vote)?.map(|bytes| decode(&bytes)).transpose()?;
        let vote = VoteCell(Arc::new(Mutex::new(vote)));
        let log = Self {
            store,
            vote,
            recent: Arc::default(),
            admissions: Admissions::default(),
            floor: Floor::default(),
        };
        log.floor.raise(log.purged()?);
        log.note_admissions()?;
        Ok(log)
    }

    /// Looks through what is not known to be committed: the rest is applied at the start.
    fn note_admissions(&self) -> io::Result<()> {
        let mut next = index_after(self.committed()?);
        loop {
            let part = self.read(next..u64::MAX, READ_BYTES)?;
            let Some(last) = part.last() else { return Ok(()) };
            next = last.log_id.index.saturating_add(1);
            part.iter().for_each(|entry| self.admissions.note(entry));
        }
    }

    pub(super) fn floor(&self) -> Floor {
        self.floor.clone()
    }

    pub(super) fn admissions(&self) -> Admissions {
        self.admissions.clone()
    }

    pub(super) fn vote_cell(&self) -> VoteCell {
        self.vote.clone()
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries of a range: as many as fit in `max_bytes`, but at least one.
    fn read(&self, range: std::ops::Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.recent().read(&range, max_bytes) {
            return Ok(entries);
        }
        self.store.log_read(range, max_bytes)?.iter().map(|(_, bytes)| decode(bytes)).collect()
    }

    fn committed(&self) -> io::Result<Option<LogId>> {
        match self.store.get(Slot::Committed)? {
            Some(bytes) => decode(&bytes),
            None => Ok(None),
        }
    }

    fn purged(&self) -> io::Result<Option<LogId>> {
        self.store.get(Slot::Purged)?.map(|bytes| decode(&bytes)).transpose()
    }
}

/// Where the log goes on after an entry, or begins.
pub(super) fn index_after(last: Option<LogId>) -> u64 {
    last.map_or(0, |id| id.index.saturating_add(1))
}

fn bounds(range: &impl RangeBounds<u64>) -> std::ops::Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(i) => *i,
        Bound::Excluded(i) => i.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(i) => i.saturating_add(1),
        Bound::Excluded(i) => *i,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(bounds(&range), usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote.get())
    }

    /// In parts: what is to be applied at once may be much, after a snapshot or behind a slow disk. Nothing is purged.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let rest = (self.clone(), bounds(&range));
        let parts = stream::try_unfold(rest, |(log, range)| async move {
            let part = log.read(range.clone(), READ_BYTES)?;
            let (Some(first), Some(last)) = (part.first(), part.last()) else { return io::Result::Ok(None) };
            if first.log_id.index != range.start {
                let why = format!("entry {} is to be applied, and is not there", range.start);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let rest = last.log_id.index.saturating_add(1)..range.end;
            Ok(Some((stream::iter(part.into_iter().map(Ok)), (log, rest))))
        });
        parts.try_flatten()
    }

    /// Nothing if the first one is purged: openraft would send the later ones to a follower that lacks those
    /// between, and takes an error for a broken disk. [`Network`](super::network::Network) notices.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = self.read(start..end, READ_BYTES)?;
        let whole = entries.first().is_none_or(|first| first.log_id.index == start);
        Ok(if whole { entries } else { vec![] })
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.purged()?;
        let last_log_id = match self.store.log_bounds()? {
            None => last_purged_log_id,
            Some((_, last)) => {
                self.read(last..last.saturating_add(1), usize::MAX)?.first().map(|entry| entry.log_id)
            }
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = encode(vote)?;
        *self.vote.lock() = Some(*vote);
        if made(Mistake::VoteNotSynced) {
            return self.store.put_unsynced(Slot::Vote, bytes);
        }
        durably(|done| self.store.put(Slot::Vote, bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.store.put_unsynced(Slot::Committed, encode(&committed)?)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.committed()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let encoded = entries
            .iter()
            .map(|entry| Ok((entry.log_id.index, encode(entry)?)))
            .collect::<io::Result<Vec<_>>>()?;
        entries.iter().for_each(|entry| self.admissions.note(entry));
        {
            let mut recent = self.recent();
            encoded.iter().zip(entries).for_each(|((_, bytes), entry)| recent.push(bytes.len(), entry));
        }
        if made(Mistake::AppendNotSynced) {
            self.store.log_append(encoded, Box::new(drop));
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.store.log_append(encoded, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = index_after(last_log_id);
        self.recent().truncate(from);
        self.admissions.truncate(from);
        self.store.log_truncate(from)
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.floor.raise(Some(log_id));
        self.recent().purge(log_id.index);
        self.admissions.purge(log_id.index);
        self.store.log_purge(log_id.index, Slot::Purged, encode(&log_id)?)
    }
}
