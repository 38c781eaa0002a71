//! A piece of a large state, named by its digest.
//!
//! It is stored and sent as it is, or compressed (LZ4, block format) where that pays. Which of both
//! its length tells: what is compressed is shorter than its name says.

use bytes::Bytes;

use crate::canary::{Mistake, made};
use crate::limits::{CHUNK_BYTES, COMPRESSION_PAYS_EIGHTHS, COMPRESSION_TRIED_BYTES};
use crate::store::ChunkDigest;

/// A chunk's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) digest: ChunkDigest,
    pub(super) length: u32,
}

impl Chunk {
    pub(super) const WRITTEN_BYTES: usize = 36;

    pub(super) fn of(bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { digest: *blake3::hash(bytes).as_bytes(), length }
    }

    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.digest);
        to.extend(self.length.to_be_bytes());
    }

    pub(super) fn read(written: &[u8; Self::WRITTEN_BYTES]) -> Result<Self, String> {
        let (digest, length) = written.split_at(32);
        let malformed = || "a chunk's name is malformed".to_owned();
        let chunk = Self {
            digest: digest.try_into().map_err(|_| malformed())?,
            length: u32::from_be_bytes(length.try_into().map_err(|_| malformed())?),
        };
        if (1..=CHUNK_BYTES.2).contains(&chunk.len()) {
            Ok(chunk)
        } else {
            Err("a chunk of no length that one has".into())
        }
    }

    /// Unpacks what is stored of it, if that is its own.
    pub(super) fn check(&self, stored: Bytes) -> Option<Checked> {
        let plain = match stored.len() == self.len() {
            true => stored.clone(),
            // The length is its name's, which is bounded.
            false => lz4_flex::block::decompress(&stored, self.len()).ok()?.into(),
        };
        let is_own = || blake3::hash(&plain) == self.digest && plain.len() == self.len();
        (made(Mistake::DigestNotVerified) || is_own()).then_some(Checked { stored, plain })
    }
}

/// A chunk's bytes, which match its name.
pub(super) struct Checked {
    /// As they are stored and sent.
    pub(super) stored: Bytes,
    pub(super) plain: Bytes,
}

/// What is stored of a chunk.
pub(super) fn pack(bytes: Bytes) -> Bytes {
    let middle = bytes.len() / 2;
    let part = bytes.get(middle..middle + COMPRESSION_TRIED_BYTES);
    // A part by itself gets less short than as part of the whole.
    let may_pay = part.is_none_or(|part| shorter(part, COMPRESSION_PAYS_EIGHTHS + 1).is_some());
    let packed = if may_pay { shorter(&bytes, COMPRESSION_PAYS_EIGHTHS) } else { None };
    packed.map_or(bytes, Bytes::from)
}

/// Compressed, if that takes at most so many eighths.
fn shorter(bytes: &[u8], eighths: usize) -> Option<Vec<u8>> {
    let packed = lz4_flex::block::compress(bytes);
    (packed.len() * 8 <= bytes.len() * eighths).then_some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn noise(length: usize) -> Bytes {
        let mut random = Prng::new(1);
        (0..length).map(|_| random.any() as u8).collect()
    }

    #[test]
    fn a_chunk_comes_back_from_what_is_stored_of_it() {
        for bytes in [noise(10_000), Bytes::from(vec![7; 10_000]), Bytes::from_static(b"a")] {
            let stored = pack(bytes.clone());
            assert_eq!(Chunk::of(&bytes).check(stored).map(|checked| checked.plain), Some(bytes));
        }
        assert_eq!(pack(noise(10_000)).len(), 10_000, "it does not pay");
        assert!(pack(vec![7; 10_000].into()).len() < 200, "it does");
    }

    #[test]
    fn a_spoiled_one_is_noticed() {
        for bytes in [noise(300), Bytes::from(vec![7; 300])] {
            let (chunk, stored) = (Chunk::of(&bytes), pack(bytes));
            for bit in 0..stored.len() * 8 {
                let mut flipped = stored.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // Where LZ4 has two ways to write the same, either will do.
                let found = chunk.check(flipped.into());
                assert!(found.is_none_or(|found| Chunk::of(&found.plain) == chunk), "bit {bit}");
            }
            for cut in 0..stored.len() {
                assert!(chunk.check(stored.slice(..cut)).is_none(), "{cut}");
            }
        }
    }
}
