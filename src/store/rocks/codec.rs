//! What a key and a value look like on disk. Every value carries a checksum of its own, over its
//! key too: RocksDB's are per block, and do not follow a value from the caller into the block.

use std::io;

use crate::id::{ActorId, Epoch};
use crate::limits::MAX_STORED_VALUE_BYTES;
use crate::store::error::{corrupt, refused};
use crate::store::{ChunkDigest, CopyKey};

pub(super) const SUM_BYTES: usize = 16;

/// The first 16 bytes of blake3 over column, key and value.
pub(super) fn checksum(column: u8, key: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[column]).update(&(key.len() as u64).to_be_bytes()).update(key).update(value);
    let mut sum = [0; SUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// A value as it is stored.
pub(super) fn seal(column: u8, key: &[u8], value: &[u8]) -> io::Result<Vec<u8>> {
    if value.len() > MAX_STORED_VALUE_BYTES {
        return Err(refused(format!("{} bytes are more than the store keeps in one value", value.len())));
    }
    Ok([&checksum(column, key, value), value].concat())
}

/// A value as it was given, or `InvalidData`. `what` names it in the error.
pub(super) fn unseal<'a>(
    column: u8,
    key: &[u8],
    stored: &'a [u8],
    what: impl FnOnce() -> String,
) -> io::Result<&'a [u8]> {
    match stored.split_at_checked(SUM_BYTES) {
        Some((sum, value)) if sum == checksum(column, key, value) => Ok(value),
        _ => Err(corrupt(format!("{} does not match its checksum", what()))),
    }
}

/// Two byte strings in one.
pub(super) fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u64).to_be_bytes(), first, second].concat()
}

/// What [`join`] joined.
pub(super) fn split(mut bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let length = usize::try_from(take_u64(&mut bytes)?).ok()?;
    let (first, second) = bytes.split_at_checked(length)?;
    Some((first.to_vec(), second.to_vec()))
}

/// Names and bytes of long copies are kept apart, so that listing the names reads few bytes; short ones are kept
/// together, many in a bundle.
#[derive(Clone, Copy)]
pub(super) enum CopyPart {
    Name = 0,
    Bytes = 1,
    Bundle = 2,
}

/// The beginning of the key of every copy, or of every copy of one actor. No actor's is the
/// beginning of another's.
pub(super) fn copy_prefix(part: CopyPart, actor: Option<&ActorId>) -> Vec<u8> {
    let names = actor.map_or(0, |actor| actor.kind().len() + actor.key().len());
    // What else a key has is no longer than this.
    let mut out = Vec::with_capacity(names + 64);
    out.push(part as u8);
    if let Some(actor) = actor {
        for text in [actor.kind(), actor.key()] {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
    }
    out
}

pub(super) fn copy_key(part: CopyPart, key: &CopyKey) -> Vec<u8> {
    let mut out = copy_prefix(part, Some(&key.actor));
    out.extend(key.epoch.0.to_be_bytes());
    out.extend(key.seq.to_be_bytes());
    out.extend(key.digest);
    out
}

/// The key of a bundle of copies.
pub(super) fn bundle_key(number: u64) -> [u8; 9] {
    let mut out = [CopyPart::Bundle as u8; 9];
    out[1..].copy_from_slice(&number.to_be_bytes());
    out
}

pub(super) fn parse_bundle_key(bytes: &[u8]) -> Option<u64> {
    let (_, number) = bytes.split_first()?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// A chunk needs no checksum: its name is one.
pub(super) fn chunk_key(part: CopyPart, actor: &ActorId, chunk: &ChunkDigest) -> Vec<u8> {
    let mut out = copy_prefix(part, Some(actor));
    out.extend(chunk);
    out
}

pub(super) fn parse_chunk_owner(bytes: &[u8]) -> Option<ActorId> {
    let (_, mut rest) = bytes.split_at_checked(1)?;
    take_actor(&mut rest)
}

pub(super) fn parse_copy_key(bytes: &[u8]) -> Option<CopyKey> {
    let (_, mut rest) = bytes.split_at_checked(1)?;
    let actor = take_actor(&mut rest)?;
    let epoch = Epoch(take_u64(&mut rest)?);
    let seq = take_u64(&mut rest)?;
    let digest = rest.try_into().ok()?;
    Some(CopyKey { actor, epoch, seq, digest })
}

fn take_actor(rest: &mut &[u8]) -> Option<ActorId> {
    let kind = take_text(rest)?;
    ActorId::new(kind, take_text(rest)?).ok()
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bound_to_its_column_and_key() {
        let stored = seal(b'l', b"key", b"value").unwrap();
        assert_eq!(unseal(b'l', b"key", &stored, String::new).unwrap(), b"value");
        assert!(unseal(b'l', b"yek", &stored, String::new).is_err());
        assert!(unseal(b'c', b"key", &stored, String::new).is_err());
        assert!(unseal(b'l', b"key", &stored[..SUM_BYTES - 1], String::new).is_err());
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b'l', b"key", &flipped, String::new).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn copy_keys_survive_a_round_trip_and_prefixes_keep_actors_apart() {
        let actor = ActorId::new("kind", "a").unwrap();
        let key = CopyKey { actor: actor.clone(), epoch: Epoch(7), seq: 9, digest: [3; 32] };
        let bytes = copy_key(CopyPart::Name, &key);
        assert_eq!(parse_copy_key(&bytes), Some(key));
        assert!(bytes.starts_with(&copy_prefix(CopyPart::Name, Some(&actor))));
        let longer = ActorId::new("kind", "ab").unwrap();
        assert!(
            !copy_prefix(CopyPart::Name, Some(&longer))
                .starts_with(&copy_prefix(CopyPart::Name, Some(&actor)))
        );
        for cut in 0..bytes.len() {
            assert_eq!(parse_copy_key(&bytes[..cut]), None);
        }
    }

    #[test]
    fn joined_bytes_come_apart_and_short_ones_do_not() {
        assert_eq!(split(&join(b"ab", b"cde")), Some((b"ab".to_vec(), b"cde".to_vec())));
        assert_eq!(split(&join(b"", b"")), Some((vec![], vec![])));
        assert_eq!(split(&u64::MAX.to_be_bytes()), None);
        assert_eq!(split(b"short"), None);
    }
}
