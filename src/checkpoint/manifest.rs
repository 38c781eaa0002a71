//! What a copy is known by. A small checkpoint is its manifest; of a large one it names the chunks.
//!
//! The committed digest is the manifest's, and a chunk is named by its own: whoever has a manifest that
//! matches can tell each chunk of it from a spoiled one. (A hash list, as in Merkle's trees.)

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::chunk::Chunk;
use super::content::Content;
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_MANIFEST_BYTES, MAX_SESSIONS_BYTES};

/// The layout of this manifest.
const FORMAT: u16 = 3;

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    format: u16,
    kind_version: u32,
    #[serde(borrow)]
    state: Part<'a>,
    #[serde(borrow)]
    sessions: Part<'a>,
}

#[derive(Serialize, Deserialize)]
enum Part<'a> {
    #[serde(borrow, with = "serde_bytes")]
    Whole(&'a [u8]),
    /// Its [`Chunk`]s, in order.
    #[serde(borrow, with = "serde_bytes")]
    Chunks(&'a [u8]),
}

/// A manifest, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) kind_version: u32,
    pub(super) state: Layout,
    pub(super) sessions: Layout,
}

/// Where some bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    Whole(Bytes),
    Chunks(Vec<Chunk>),
}

/// The digest by which a copy is known: blake3 of its manifest.
pub(super) fn digest(manifest: &[u8]) -> [u8; 32] {
    *blake3::hash(manifest).as_bytes()
}

/// The manifest of a checkpoint that is stored in one piece.
pub(super) fn of_whole(content: &Content) -> Vec<u8> {
    write(content.kind_version, Part::Whole(&content.state), Part::Whole(&content.sessions))
}

/// The manifest of one that lies in chunks.
pub(super) fn of_chunks(kind_version: u32, state: &[Chunk], sessions: &[Chunk]) -> Vec<u8> {
    let [state, sessions] = [state, sessions].map(|chunks| {
        let mut names = Vec::with_capacity(chunks.len() * Chunk::WRITTEN_BYTES);
        chunks.iter().for_each(|chunk| chunk.write(&mut names));
        names
    });
    write(kind_version, Part::Chunks(&state), Part::Chunks(&sessions))
}

fn write(kind_version: u32, state: Part<'_>, sessions: Part<'_>) -> Vec<u8> {
    let bytes = [&state, &sessions].map(|part| match part {
        Part::Whole(bytes) | Part::Chunks(bytes) => bytes.len(),
    });
    let written = Written { format: FORMAT, kind_version, state, sessions };
    crate::wire::encode_around(&written, bytes.iter().sum())
}

impl Manifest {
    /// Reads a manifest, which may be anything.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, String> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err("a manifest beyond the limit".into());
        }
        let written: Written<'_> = rmp_serde::from_slice(bytes).map_err(|e| e.to_string())?;
        if written.format != FORMAT {
            return Err(format!("format {} where this version reads {FORMAT}", written.format));
        }
        Ok(Self {
            kind_version: written.kind_version,
            state: Layout::read(&written.state, bytes, MAX_CHECKPOINT_BYTES)?,
            sessions: Layout::read(&written.sessions, bytes, MAX_SESSIONS_BYTES)?,
        })
    }

    /// Its chunks in order, each as often as it occurs.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.state.chunks().iter().chain(self.sessions.chunks())
    }

    /// Its chunks, each once, in the order in which they first occur. By their places here the two ends of a
    /// stream name them.
    pub(super) fn distinct(&self) -> Vec<Chunk> {
        let mut seen = BTreeSet::new();
        self.chunks().filter(|chunk| seen.insert(chunk.digest)).copied().collect()
    }
}

impl Layout {
    fn read(part: &Part<'_>, within: &Bytes, most: usize) -> Result<Self, String> {
        match part {
            Part::Whole(bytes) => Ok(Self::Whole(within.slice_ref(bytes))),
            Part::Chunks(names) => {
                let (names, []) = names.as_chunks() else { return Err("a chunk's name is cut".into()) };
                let chunks = names.iter().map(Chunk::read).collect::<Result<Vec<_>, _>>()?;
                let length: usize = chunks.iter().map(Chunk::len).sum();
                if length > most {
                    Err("more than a checkpoint may have".into())
                } else {
                    Ok(Self::Chunks(chunks))
                }
            }
        }
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        match self {
            Self::Whole(_) => &[],
            Self::Chunks(chunks) => chunks,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Chunks(chunks) => chunks.iter().map(Chunk::len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content { kind_version: 7, state: vec![1; 100].into(), sessions: vec![2; 10].into() }
    }

    #[test]
    fn a_whole_one_is_read_back_where_it_lies() {
        let bytes = Bytes::from(of_whole(&content()));
        let manifest = Manifest::read(&bytes).unwrap();
        assert_eq!(manifest.kind_version, 7);
        assert_eq!(manifest.state, Layout::Whole(content().state));
        assert_eq!(manifest.sessions, Layout::Whole(content().sessions));
        assert_eq!(manifest.chunks().count(), 0);
    }

    #[test]
    fn what_is_no_manifest_is_an_error() {
        let chunk = Chunk::of(&[5; 1000]);
        let whole = of_chunks(1, &[chunk, chunk], &[]);
        assert_eq!(Manifest::read(&whole.clone().into()).unwrap().state.len(), 2000);
        for cut in 0..whole.len() {
            assert!(Manifest::read(&Bytes::copy_from_slice(&whole[..cut])).is_err(), "{cut}");
        }
        let other =
            Written { format: 2, kind_version: 1, state: Part::Whole(&[]), sessions: Part::Whole(&[]) };
        assert!(Manifest::read(&crate::wire::encode(&other).into()).is_err());
        let torn = write(1, Part::Chunks(&[0; Chunk::WRITTEN_BYTES + 1]), Part::Whole(&[]));
        assert!(Manifest::read(&torn.into()).is_err());
        for length in [0_u32, 1 << 20, u32::MAX] {
            let mut name = vec![];
            Chunk { length, ..chunk }.write(&mut name);
            assert!(Manifest::read(&write(1, Part::Chunks(&name), Part::Whole(&[])).into()).is_err());
        }
        let mut many = vec![];
        let longest = Chunk { length: 64 << 10, ..chunk };
        (0..=MAX_SESSIONS_BYTES >> 16).for_each(|_| longest.write(&mut many));
        assert!(Manifest::read(&write(1, Part::Whole(&[]), Part::Chunks(&many)).into()).is_err(), "too long");
    }
}
