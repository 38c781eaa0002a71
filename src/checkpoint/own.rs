//! What this disk has of a copy. Chunks are read ahead, some at a time, and apart from the threads that answer
//! heartbeats: a disk that is slow or cold holds up nobody else.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::collections::BTreeSet;
use std::future::ready;
use std::io;

use super::chunk::{Checked, Chunk};
use super::manifest::Manifest;
use super::replicate::is_copy;
use crate::id::ActorId;
use crate::limits::{CHUNK_READ_BYTES, CHUNK_READS_AHEAD};
use crate::peer::Shared;
use crate::store::{ChunkDigest, CopyKey, Store};
use crate::task::apart;

/// Chunks of a copy by their places, read at once; none where this disk has no valid one.
type Turn = Vec<(usize, Option<Checked>)>;

impl Shared {
    /// The manifest of a copy on this disk, if it is there and whole. An error says that the disk could not tell.
    pub(super) fn own_copy(&self, key: &CopyKey) -> io::Result<Option<Bytes>> {
        read_copy(&*self.store, key)
    }

    /// Which chunks of an actor's copies this disk has, by name.
    pub(super) async fn own_chunk_names(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>> {
        let (store, actor) = (self.store.clone(), actor.clone());
        apart(move || store.chunks_of(&actor)).await?
    }

    /// Chunks of a copy on this disk, in this order. An error says that the disk could not tell.
    pub(super) fn own_chunks<'a>(
        &'a self,
        actor: &'a ActorId,
        chunks: Vec<(usize, Chunk)>,
    ) -> impl Stream<Item = io::Result<Turn>> + Send + 'a {
        stream::iter(turns(chunks)).map(|turn| self.read_turn(actor, turn)).buffered(CHUNK_READS_AHEAD)
    }

    async fn read_turn(&self, actor: &ActorId, turn: Vec<(usize, Chunk)>) -> io::Result<Turn> {
        let (store, actor) = (self.store.clone(), actor.clone());
        let read = move |(at, chunk): (usize, Chunk)| Ok((at, read_chunk(&*store, &actor, &chunk)?));
        apart(move || turn.into_iter().map(read).collect()).await?
    }

    /// The chunks of a copy on this disk, whose manifest is valid.
    fn chunks_of_own(&self, key: &CopyKey) -> Option<Vec<Chunk>> {
        let manifest = self.own_copy(key).ok()??;
        Some(Manifest::read(&manifest).ok()?.distinct())
    }

    /// Whether this disk has a valid copy with all of its chunks.
    pub(super) async fn is_whole(&self, key: &CopyKey) -> bool {
        let Some(chunks) = self.chunks_of_own(key) else { return false };
        let are_here = |turn: io::Result<Turn>| turn.is_ok_and(|turn| turn.iter().all(|(_, c)| c.is_some()));
        let turns = self.own_chunks(&key.actor, chunks.into_iter().enumerate().collect());
        turns.all(|turn| ready(are_here(turn))).await
    }

    /// The same at once, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_whole_now(&self, key: &CopyKey) -> bool {
        let is_here = |chunk: &Chunk| matches!(read_chunk(&*self.store, &key.actor, chunk), Ok(Some(_)));
        self.chunks_of_own(key).is_some_and(|chunks| chunks.iter().all(is_here))
    }
}

/// What is read at once.
fn turns(chunks: Vec<(usize, Chunk)>) -> impl Iterator<Item = Vec<(usize, Chunk)>> {
    let mut chunks = chunks.into_iter();
    std::iter::from_fn(move || {
        let (mut turn, mut bytes) = (vec![], 0);
        while bytes < CHUNK_READ_BYTES
            && let Some((at, chunk)) = chunks.next()
        {
            bytes += chunk.len();
            turn.push((at, chunk));
        }
        (!turn.is_empty()).then_some(turn)
    })
}

/// The manifest of a copy, if it is there and whole.
pub(super) fn read_copy(store: &dyn Store, key: &CopyKey) -> io::Result<Option<Bytes>> {
    match store.copy_get(key) {
        Ok(Some(bytes)) if is_copy(&bytes, key) => Ok(Some(bytes.into())),
        Ok(found) => {
            if found.is_some() {
                tracing::warn!(actor = %key.actor, seq = key.seq, "a copy on this disk is spoiled");
            }
            Ok(None)
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(actor = %key.actor, seq = key.seq, %e, "a copy on this disk is spoiled");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// A chunk, if it is there and its own. A spoiled one is removed: by its name alone it would be taken for granted.
fn read_chunk(store: &dyn Store, actor: &ActorId, chunk: &Chunk) -> io::Result<Option<Checked>> {
    match store.chunk_get(actor, &chunk.digest) {
        Ok(Some(stored)) => {
            if let Some(checked) = chunk.check(stored.into()) {
                return Ok(Some(checked));
            }
        }
        Ok(None) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {}
        Err(e) => return Err(e),
    }
    tracing::warn!(%actor, "a chunk of a copy on this disk is spoiled");
    store.chunks_delete(actor, &[chunk.digest])?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_and_together_all_in_their_order() {
        let chunk = |length: u32| Chunk { digest: [0; 32], length };
        let all: Vec<_> = (0..100).map(|at| (at, chunk(1 + 1_000 * (at as u32 % 60)))).collect();
        let turns: Vec<_> = turns(all.clone()).collect();
        assert_eq!(turns.concat(), all);
        let bytes = |turn: &[(usize, Chunk)]| turn.iter().map(|(_, chunk)| chunk.len()).sum::<usize>();
        for turn in &turns {
            assert!(bytes(&turn[..turn.len() - 1]) < CHUNK_READ_BYTES);
        }
        assert!(turns[..turns.len() - 1].iter().all(|turn| bytes(turn) >= CHUNK_READ_BYTES));
    }
}
