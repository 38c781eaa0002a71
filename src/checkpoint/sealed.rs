//! A checkpoint that is ready to be stored and sent: its manifest, and the chunks of a large one.

use bytes::Bytes;
use fastcdc::v2020::FastCDC;
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::sync::Arc;

use super::chunk::{Chunk, pack};
use super::content::Content;
use super::manifest::{self, Manifest};
use crate::limits::{CHUNK_BYTES, CHUNKED_BYTES, CUT_PART_BYTES, PARALLEL_CUTS};
use crate::store::ChunkDigest;
use crate::task::apart;

/// From which length on states are cut, and into what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutting {
    pub(crate) from: usize,
    /// Shortest (but for the last), usual and longest chunk.
    pub(crate) chunk: (usize, usize, usize),
    /// How much is cut by itself.
    pub(crate) part: usize,
}

impl Cutting {
    /// The smallest chunks that can be cut.
    pub(crate) fn small(from: usize) -> Self {
        Self { from, chunk: (64, 256, 1024), part: 4 << 10 }
    }
}

impl Default for Cutting {
    fn default() -> Self {
        Self { from: CHUNKED_BYTES, chunk: CHUNK_BYTES, part: CUT_PART_BYTES }
    }
}

/// A checkpoint, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(super) manifest: Bytes,
    pub(super) digest: [u8; 32],
    /// Each once, in the order of the manifest.
    pub(super) chunks: Vec<Piece>,
    /// Of what it holds, in bytes.
    pub(super) length: u64,
}

/// A chunk as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    pub(super) stored: Bytes,
    /// Whether this disk has it already.
    pub(super) is_here: bool,
}

impl Sealed {
    /// Seals a small checkpoint.
    pub(crate) fn whole(content: &Content) -> Self {
        Self::new(manifest::of_whole(content), vec![], content)
    }

    /// One that was taken apart, and is whole again.
    pub(super) fn again(bytes: Bytes, manifest: &Manifest, content: &Content) -> Self {
        let (mut seen, mut chunks) = (BTreeSet::new(), vec![]);
        for (layout, all) in [(&manifest.state, &content.state), (&manifest.sessions, &content.sessions)] {
            let mut begin = 0;
            for chunk in layout.chunks() {
                let end = begin + chunk.len();
                if seen.insert(chunk.digest) {
                    chunks.push(Piece { chunk: *chunk, stored: all.slice(begin..end), is_here: false });
                }
                begin = end;
            }
        }
        Self { digest: manifest::digest(&bytes), manifest: bytes, chunks, length: content.len() as u64 }
    }

    fn new(manifest: Vec<u8>, chunks: Vec<Piece>, content: &Content) -> Self {
        let digest = manifest::digest(&manifest);
        Self { manifest: manifest.into(), digest, chunks, length: content.len() as u64 }
    }

    /// Cuts a large checkpoint where its content says (FastCDC; Xia and others, 2020), so that what did not change
    /// is in the same chunks as before. Nothing is copied but what is compressed; and that is only what is not
    /// `here` on this disk, for it is not news to others either, mostly.
    ///
    /// Parts of it are cut apart from the threads that answer heartbeats, and two at once. What is put in or taken out
    /// moves the seams between them, so that around each of those a few chunks are new, too.
    ///
    /// # Errors
    /// If this peer ends.
    pub(super) async fn cut(
        content: &Content,
        cutting: Cutting,
        here: BTreeSet<ChunkDigest>,
    ) -> io::Result<Self> {
        let (here, mut seen, mut pieces) = (Arc::new(here), BTreeSet::new(), vec![]);
        let [mut state, mut sessions] = [vec![], vec![]];
        for (bytes, chunks) in [(&content.state, &mut state), (&content.sessions, &mut sessions)] {
            let cut = |part: Bytes| {
                let here = here.clone();
                apart(move || cut_part(&part, cutting, &here))
            };
            let mut parts = pin!(stream::iter(parts(bytes, cutting.part)).map(cut).buffered(PARALLEL_CUTS));
            while let Some(part) = parts.next().await {
                for piece in part? {
                    chunks.push(piece.chunk);
                    if seen.insert(piece.chunk.digest) {
                        pieces.push(piece);
                    }
                }
            }
        }
        Ok(Self::new(manifest::of_chunks(content.kind_version, &state, &sessions), pieces, content))
    }
}

/// Pieces of so many bytes, and one of what is left.
fn parts(bytes: &Bytes, length: usize) -> impl Iterator<Item = Bytes> + '_ {
    (0..bytes.len()).step_by(length).map(move |at| bytes.slice(at..bytes.len().min(at + length)))
}

/// All chunks of a part, in their order. What occurs twice is packed once.
fn cut_part(part: &Bytes, cutting: Cutting, here: &BTreeSet<ChunkDigest>) -> Vec<Piece> {
    let (shortest, usual, longest) = cutting.chunk;
    let mut packed = BTreeMap::<ChunkDigest, Bytes>::new();
    let piece = |cut: fastcdc::v2020::Chunk| {
        let bytes = part.slice(cut.offset..cut.offset + cut.length);
        let chunk = Chunk::of(&bytes);
        let is_here = here.contains(&chunk.digest);
        let stored = packed.entry(chunk.digest).or_insert_with(|| if is_here { bytes } else { pack(bytes) });
        Piece { chunk, stored: stored.clone(), is_here }
    };
    FastCDC::new(part, shortest, usual, longest).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn content(state: Vec<u8>) -> Content {
        Content { kind_version: 1, state: state.into(), sessions: Bytes::from_static(b"sessions") }
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut random = Prng::new(3);
        (0..length / 8).flat_map(|_| random.any().to_be_bytes()).collect()
    }

    const CUTTING: Cutting = Cutting { from: 0, chunk: CHUNK_BYTES, part: 2 << 20 };

    async fn cut(content: &Content, here: &BTreeSet<ChunkDigest>) -> Sealed {
        Sealed::cut(content, CUTTING, here.clone()).await.unwrap()
    }

    #[tokio::test]
    async fn the_chunks_in_their_order_are_the_content() {
        let content = content(noise(3 << 20));
        let sealed = cut(&content, &BTreeSet::new()).await;
        let manifest = Manifest::read(&sealed.manifest).unwrap();
        assert_eq!(manifest.state.len() + manifest.sessions.len(), content.len());
        let all: Vec<u8> = sealed.chunks.iter().flat_map(|piece| piece.stored.to_vec()).collect();
        assert_eq!(all, [&content.state[..], &content.sessions].concat(), "noise is not compressed");
        let again = Sealed::again(sealed.manifest.clone(), &manifest, &content);
        assert_eq!(again, sealed);
        assert!(sealed.chunks.len() > 100 && sealed.chunks.iter().all(|p| p.chunk.len() <= CHUNK_BYTES.2));
    }

    #[tokio::test]
    async fn little_is_new_where_little_has_changed() {
        let before = content(noise(8 << 20));
        let here = cut(&before, &BTreeSet::new()).await.chunks.iter().map(|p| p.chunk.digest).collect();
        let mut state = before.state.to_vec();
        // One in a hundred bytes: changed in their places, put in, and taken out.
        state[1 << 20..(1 << 20) + (40 << 10)].fill(1);
        state.splice(3 << 20..3 << 20, [7; 20 << 10]);
        state.drain(6 << 20..(6 << 20) + (20 << 10));
        let after = content(state);
        let sealed = cut(&after, &here).await;
        let new: usize = sealed.chunks.iter().filter(|p| !p.is_here).map(|p| p.chunk.len()).sum();
        assert!(new <= after.len() * 3 / 100, "{new} of {} bytes are new", after.len());
    }

    #[tokio::test]
    async fn what_occurs_twice_is_stored_once() {
        let sealed = cut(&content(vec![0; 4 << 20]), &BTreeSet::new()).await;
        assert!(sealed.chunks.len() <= 3, "{}", sealed.chunks.len());
        assert!(sealed.chunks[0].stored.len() < sealed.chunks[0].chunk.len() / 10, "compressed");
        assert_eq!(Manifest::read(&sealed.manifest).unwrap().state.len(), 4 << 20);
    }
}
