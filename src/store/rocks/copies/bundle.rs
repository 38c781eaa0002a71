//! Many short copies in one value: the disk writes, sorts and forgets them as one.

use bytes::Bytes;
use std::io;

use crate::limits::BUNDLE_BYTES;
use crate::store::CopyKey;
use crate::store::error::{corrupt, refused};
use crate::store::rocks::codec::{CopyPart, copy_key};

/// Copies that are written as one value, and how much of it each of them takes.
#[derive(Default)]
pub(super) struct Bundle {
    pub(super) value: Vec<u8>,
    pub(super) copies: Vec<(CopyKey, u32)>,
}

impl Bundle {
    /// Puts copies together, in values of about [`BUNDLE_BYTES`].
    pub(super) fn pack(copies: impl IntoIterator<Item = (CopyKey, Bytes)>) -> io::Result<Vec<Bundle>> {
        let mut packed: Vec<Bundle> = Vec::new();
        for (key, bytes) in copies {
            match packed.last_mut().filter(|last| last.value.len() < BUNDLE_BYTES) {
                Some(last) => last.add(key, &bytes)?,
                None => {
                    let mut next = Bundle::default();
                    next.add(key, &bytes)?;
                    packed.push(next);
                }
            }
        }
        Ok(packed)
    }

    fn add(&mut self, key: CopyKey, bytes: &[u8]) -> io::Result<()> {
        let before = self.value.len();
        for part in [copy_key(CopyPart::Name, &key).as_slice(), bytes] {
            let length = u16::try_from(part.len()).map_err(|_| refused("too long for a bundle of copies"))?;
            self.value.extend(length.to_be_bytes());
            self.value.extend(part);
        }
        self.copies.push((key, (self.value.len() - before) as u32));
        Ok(())
    }
}

/// One of the copies in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// The key of a copy that lies alone.
    pub(super) name: &'a [u8],
    pub(super) bytes: &'a [u8],
    /// How much of the value it takes.
    pub(super) length: u32,
}

/// The copies in a value, in order.
pub(super) fn records(mut value: &[u8]) -> impl Iterator<Item = io::Result<Record<'_>>> {
    std::iter::from_fn(move || {
        if value.is_empty() {
            return None;
        }
        let record = take_record(&mut value);
        if record.is_none() {
            value = &[];
        }
        Some(record.ok_or_else(|| corrupt("a bundle of copies is malformed")))
    })
}

fn take_record<'a>(value: &mut &'a [u8]) -> Option<Record<'a>> {
    let before = value.len();
    let (name, bytes) = (take_part(value)?, take_part(value)?);
    Some(Record { name, bytes, length: (before - value.len()) as u32 })
}

fn take_part<'a>(value: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = value.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *value = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::COPY_APART_BYTES;
    use crate::store::rocks::codec::parse_copy_key;
    use crate::store::tests::copy;

    #[test]
    fn what_is_packed_is_read_back_and_a_bundle_has_a_bound() {
        let lengths = [0, 1, 200, COPY_APART_BYTES - 1];
        let all: Vec<_> = (0..400_u64)
            .map(|n| (copy("a", n), Bytes::from(vec![n as u8; lengths[n as usize % lengths.len()]])))
            .collect();
        let bundles = Bundle::pack(all.clone()).unwrap();
        let mut read = vec![];
        for bundle in &bundles {
            assert!(bundle.value.len() < BUNDLE_BYTES + COPY_APART_BYTES + 512);
            let records: Vec<_> = records(&bundle.value).map(Result::unwrap).collect();
            let keys = records.iter().map(|r| (parse_copy_key(r.name).unwrap(), r.length));
            assert!(keys.eq(bundle.copies.iter().cloned()));
            assert_eq!(records.iter().map(|r| r.length as usize).sum::<usize>(), bundle.value.len());
            read.extend(records.iter().map(|r| (parse_copy_key(r.name).unwrap(), r.bytes.to_vec().into())));
        }
        assert_eq!(read, all);
        assert!((100..200).contains(&bundles.len()), "{}", bundles.len());
        assert!(Bundle::pack([]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_bundle_is_an_error_and_ends() {
        let bundle = &Bundle::pack([(copy("a", 1), vec![7; 20].into())]).unwrap()[0];
        for cut in 1..bundle.value.len() {
            let read: Vec<_> = records(&bundle.value[..cut]).collect();
            assert!(matches!(&read[..], [Err(_)]), "{cut}");
        }
        assert_eq!(records(&[]).count(), 0);
    }
}
