//! A checkpoint that is ready to be stored and sent: its manifest, and the chunks of a large one.

use bytes::Bytes;
use fastcdc::v2020::FastCDC;
use std::collections::BTreeSet;

use super::chunk::{Chunk, pack};
use super::content::Content;
use super::manifest::{self, Manifest};
use crate::limits::{CHUNK_BYTES, CHUNK_TURN_BYTES, CHUNKED_BYTES};
use crate::store::ChunkDigest;

/// From which length on states are cut, and into what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutting {
    pub(crate) from: usize,
    /// Shortest (but for the last), usual and longest chunk.
    pub(crate) chunk: (usize, usize, usize),
}

impl Cutting {
    /// The smallest chunks that can be cut.
    pub(crate) fn small(from: usize) -> Self {
        Self { from, chunk: (64, 256, 1024) }
    }
}

impl Default for Cutting {
    fn default() -> Self {
        Self { from: CHUNKED_BYTES, chunk: CHUNK_BYTES }
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
    pub(super) async fn cut(content: &Content, cutting: &Cutting, here: &BTreeSet<ChunkDigest>) -> Self {
        let mut cutter = Cutter { cutting, here, seen: BTreeSet::new(), pieces: vec![] };
        let state = cutter.cut(&content.state).await;
        let sessions = cutter.cut(&content.sessions).await;
        Self::new(manifest::of_chunks(content.kind_version, &state, &sessions), cutter.pieces, content)
    }
}

struct Cutter<'a> {
    cutting: &'a Cutting,
    here: &'a BTreeSet<ChunkDigest>,
    seen: BTreeSet<ChunkDigest>,
    pieces: Vec<Piece>,
}

impl Cutter<'_> {
    async fn cut(&mut self, bytes: &Bytes) -> Vec<Chunk> {
        let (shortest, usual, longest) = self.cutting.chunk;
        let mut chunks = vec![];
        let mut turn = 0;
        for cut in FastCDC::new(bytes, shortest, usual, longest) {
            let bytes = bytes.slice(cut.offset..cut.offset + cut.length);
            let chunk = Chunk::of(&bytes);
            chunks.push(chunk);
            if self.seen.insert(chunk.digest) {
                let is_here = self.here.contains(&chunk.digest);
                let stored = if is_here { bytes } else { pack(bytes) };
                self.pieces.push(Piece { chunk, stored, is_here });
            }
            turn += cut.length;
            if turn >= CHUNK_TURN_BYTES {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        chunks
    }
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

    async fn cut(content: &Content, here: &BTreeSet<ChunkDigest>) -> Sealed {
        Sealed::cut(content, &Cutting::default(), here).await
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
