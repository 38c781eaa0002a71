//! What a memory disk holds, and the writes that change it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::id::ActorId;
use crate::store::bounds::LogBounds;
use crate::store::error::corrupt;
use crate::store::{ChunkDigest, CopyKey, Slot};

type Chunk = bytes::Bytes;
type Bytes = Arc<[u8]>;

/// A disk's content.
#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) slots: BTreeMap<Slot, Bytes>,
    pub(super) bounds: LogBounds,
    pub(super) log: BTreeMap<u64, Bytes>,
    pub(super) snapshot: Option<(Bytes, Bytes)>,
    pub(super) copies: BTreeMap<CopyKey, Bytes>,
    pub(super) chunks: BTreeMap<ActorId, BTreeMap<ChunkDigest, Chunk>>,
    /// What cannot be read any more.
    pub(super) rotten: BTreeSet<Part>,
}

/// Something with a checksum of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Slot(Slot),
    Entry(u64),
    Snapshot,
}

/// One write, checked. Applied to what readers see at once, and to what a crash leaves later.
#[derive(Clone)]
pub(super) enum Write {
    Slot(Slot, Bytes),
    Append(LogBounds, Vec<(u64, Bytes)>),
    Truncate(u64),
    Purge(u64, Slot, Bytes),
    Reset(Bytes),
    Snapshot(Bytes, Bytes),
    Copies(Vec<(CopyKey, Bytes)>),
    DeleteCopies(Vec<CopyKey>),
    Chunks(ActorId, Vec<(ChunkDigest, Chunk)>),
    DeleteChunks(ActorId, Vec<ChunkDigest>),
}

impl Image {
    /// Whether the checksum of a part is right.
    pub(super) fn readable(&self, part: Part) -> io::Result<()> {
        if self.rotten.contains(&part) { Err(corrupt(format!("{part:?} is spoiled"))) } else { Ok(()) }
    }

    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Slot(slot, value) => {
                self.rotten.remove(&Part::Slot(slot));
                self.slots.insert(slot, value);
            }
            Write::Append(bounds, entries) => {
                self.bounds = bounds;
                self.log.extend(entries);
            }
            Write::Truncate(first) => self.cut(self.bounds.after_truncate(first)),
            Write::Purge(last, slot, value) => {
                self.cut(self.bounds.after_purge(last));
                self.slots.insert(slot, value);
            }
            Write::Reset(identity) => {
                let copies = std::mem::take(&mut self.copies);
                let chunks = std::mem::take(&mut self.chunks);
                let slots = BTreeMap::from([(Slot::Identity, identity)]);
                *self = Self { slots, copies, chunks, ..Self::default() };
            }
            Write::Snapshot(meta, bytes) => {
                self.rotten.remove(&Part::Snapshot);
                self.snapshot = Some((meta, bytes));
            }
            Write::Copies(copies) => self.copies.extend(copies),
            Write::DeleteCopies(keys) => keys.iter().for_each(|key| drop(self.copies.remove(key))),
            Write::Chunks(actor, chunks) => self.chunks.entry(actor).or_default().extend(chunks),
            Write::DeleteChunks(actor, digests) => {
                let Some(chunks) = self.chunks.get_mut(&actor) else { return };
                chunks.retain(|digest, _| !digests.contains(digest));
                if chunks.is_empty() {
                    self.chunks.remove(&actor);
                }
            }
        }
    }

    fn cut(&mut self, kept: LogBounds) {
        self.bounds = kept;
        // Split rather than scan: a purge keeps most of the log.
        self.log = self.log.split_off(&kept.start);
        self.log.split_off(&kept.end);
        self.rotten
            .retain(|part| !matches!(part, Part::Entry(index) if !(kept.start..kept.end).contains(index)));
    }
}

pub(super) fn shared<K>(values: Vec<(K, impl AsRef<[u8]>)>) -> Vec<(K, Bytes)> {
    values.into_iter().map(|(key, value)| (key, value.as_ref().into())).collect()
}
