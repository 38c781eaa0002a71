//! Chunks on the wire: which of a copy's the other end lacks, and then those.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::io;

use super::chunk::{Checked, Chunk};
use super::other;
use crate::transport::{FramedRecv, FramedSend};

/// Places of chunks in [`Manifest::distinct`](super::manifest::Manifest::distinct).
pub(super) type Places = BTreeSet<usize>;

/// One bit for each chunk.
fn encode(wanted: &Places, of: usize) -> Bytes {
    let mut bits = vec![0_u8; of.div_ceil(8)];
    for at in wanted {
        bits[at / 8] |= 1 << (at % 8);
    }
    bits.into()
}

fn decode(bits: &[u8], of: usize) -> io::Result<Places> {
    if bits.len() != of.div_ceil(8) {
        return Err(other("a wish of another length than the manifest's"));
    }
    Ok((0..of).filter(|at| bits[at / 8] & (1 << (at % 8)) != 0).collect())
}

/// Asks for chunks of a copy.
pub(super) async fn ask(to: &mut FramedSend, wanted: &Places, of: usize) -> io::Result<()> {
    to.send(encode(wanted, of)).await.map_err(other)
}

/// Hears which chunks of a copy the other end lacks.
pub(super) async fn hear(from: &mut FramedRecv, of: usize) -> io::Result<Places> {
    let frame = from.recv().await.map_err(other)?.ok_or_else(|| other("no word of what is wanted"))?;
    decode(&frame, of)
}

/// The next of the chunks that were asked for; none if the other end has no valid one.
pub(super) async fn receive(from: &mut FramedRecv, chunk: &Chunk) -> io::Result<Option<Checked>> {
    let stored =
        from.recv().await.map_err(other)?.ok_or_else(|| other("fewer chunks than were asked for"))?;
    Ok(chunk.check(stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_heard_as_it_was_said() {
        for of in [1, 7, 8, 9, 1000] {
            let wanted = (0..of).filter(|at| at % 3 == 0).collect();
            assert_eq!(decode(&encode(&wanted, of), of).unwrap(), wanted);
            assert!(decode(&encode(&wanted, of), of + 8).is_err());
        }
        assert_eq!(decode(&[0xff], 3).unwrap().len(), 3, "what is beyond the manifest is nothing");
    }
}
