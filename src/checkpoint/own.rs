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

/// What is kept of chunks of a copy that were read at once, by their places; none where this disk has no valid one.
type Turn<T> = Vec<(usize, Option<T>)>;

impl Shared {
    /// The manifest of a copy on this disk, if it is there and whole. An error says that the disk could not tell.
    pub(super) async fn own_copy(&self, key: &CopyKey) -> io::Result<Option<Bytes>> {
        let (store, key) = (self.store.clone(), key.clone());
        apart(move || read_copy(&*store, &key)).await?
    }

    /// Which chunks of an actor's copies this disk has, by name.
    pub(super) async fn own_chunk_names(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>> {
        let (store, actor) = (self.store.clone(), actor.clone());
        apart(move || store.chunks_of(&actor)).await?
    }

    /// What is to be kept of chunks of a copy on this disk, in this order. An error says that the disk could not tell.
    pub(super) fn own_chunks<'a, T: Send + 'static>(
        &'a self,
        actor: &'a ActorId,
        chunks: Vec<(usize, Chunk)>,
        keep: fn(Checked) -> T,
    ) -> impl Stream<Item = io::Result<Turn<T>>> + Send + 'a {
        let read = move |turn| self.read_turn(actor, turn, keep);
        stream::iter(turns(chunks)).map(read).buffered(CHUNK_READS_AHEAD)
    }

    async fn read_turn<T: Send + 'static>(
        &self,
        actor: &ActorId,
        turn: Vec<(usize, Chunk)>,
        keep: fn(Checked) -> T,
    ) -> io::Result<Turn<T>> {
        let (store, actor) = (self.store.clone(), actor.clone());
        let read = move |(at, chunk): (usize, Chunk)| {
            let checked = read_chunk(&*store, &actor, &chunk)?;
            Ok((at, checked.map(keep)))
        };
        apart(move || turn.into_iter().map(read).collect()).await?
    }

    /// Whether this disk has a valid copy with all of its chunks.
    pub(super) async fn is_whole(&self, key: &CopyKey) -> bool {
        let Some(chunks) = self.own_copy(key).await.ok().flatten().and_then(chunks_of) else { return false };
        let are_here =
            |turn: io::Result<Turn<()>>| turn.is_ok_and(|turn| turn.iter().all(|(_, c)| c.is_some()));
        let turns = self.own_chunks(&key.actor, chunks.into_iter().enumerate().collect(), drop);
        turns.all(|turn| ready(are_here(turn))).await
    }

    /// The same at once, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_whole_now(&self, key: &CopyKey) -> bool {
        let is_here = |chunk: &Chunk| matches!(read_chunk(&*self.store, &key.actor, chunk), Ok(Some(_)));
        let chunks = read_copy(&*self.store, key).ok().flatten().and_then(chunks_of);
        chunks.is_some_and(|chunks| chunks.iter().all(is_here))
    }
}

/// The chunks that a valid manifest names.
fn chunks_of(manifest: Bytes) -> Option<Vec<Chunk>> {
    Some(Manifest::read(&manifest).ok()?.distinct())
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
    let why = match store.copy_get(key) {
        Ok(Some(bytes)) if is_copy(&bytes, key) => return Ok(Some(bytes.into())),
        Ok(Some(_)) => "it does not match its digest".to_owned(),
        Ok(None) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => e.to_string(),
        Err(e) => return Err(e),
    };
    tracing::warn!(actor = %key.actor, seq = key.seq, why, "a copy on this disk is spoiled");
    Ok(None)
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
