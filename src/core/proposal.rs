//! A command on its way: from whoever proposes it into the logs of all.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::command::Command;
use crate::limits::MAX_PROPOSAL_BYTES;

/// A [`Command`] and its bytes. Clones share both: the leader writes one to its disk and sends it to every follower,
/// each of which writes it to a disk again and applies it, and none of them makes it into bytes or reads it once more.
#[derive(Clone)]
pub struct Proposal(Arc<Both>);

struct Both {
    command: Command,
    /// Once anybody needed them. MessagePack.
    bytes: OnceLock<Vec<u8>>,
}

impl From<Command> for Proposal {
    fn from(command: Command) -> Self {
        Self(Arc::new(Both { command, bytes: OnceLock::new() }))
    }
}

impl Proposal {
    /// The same command without the bytes it came as. They are whoever's that sent it, and may have more in them than
    /// the command.
    pub fn written_anew(self) -> Self {
        let command = Arc::try_unwrap(self.0).map_or_else(|shared| shared.command.clone(), |own| own.command);
        command.into()
    }

    /// What it is written as; none if it cannot be written.
    fn bytes(&self) -> Option<&[u8]> {
        if let Some(bytes) = self.0.bytes.get() {
            return Some(bytes);
        }
        let encoded = rmp_serde::to_vec(&self.0.command).ok()?;
        Some(self.0.bytes.get_or_init(|| encoded))
    }

    /// Whether an entry can be so long: it must go into a frame.
    pub fn fits(&self) -> bool {
        self.bytes().is_some_and(|bytes| bytes.len() <= MAX_PROPOSAL_BYTES)
    }
}

impl Deref for Proposal {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.0.command
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Proposal {}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unwritten = || ser::Error::custom("a command that cannot be written");
        serializer.serialize_bytes(self.bytes().ok_or_else(unwritten)?)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Read)
    }
}

struct Read;

impl de::Visitor<'_> for Read {
    type Value = Proposal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a command")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Proposal, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Proposal, E> {
        let command = rmp_serde::from_slice(&bytes).map_err(E::custom)?;
        Ok(Proposal(Arc::new(Both { command, bytes: bytes.into() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_the_same_and_is_written_as_it_came() {
        let proposal = Proposal::from(Command::CloseSessions { sessions: vec![7, 1 << 40] });
        assert!(proposal.0.bytes.get().is_none());
        let frame = rmp_serde::to_vec(&proposal).unwrap();
        let read: Proposal = rmp_serde::from_slice(&frame).unwrap();
        assert_eq!(read, proposal);
        assert_eq!(read.0.bytes.get(), proposal.0.bytes.get());
        assert_eq!(rmp_serde::to_vec(&read).unwrap(), frame);
        assert_eq!(rmp_serde::from_read::<_, Proposal>(&frame[..]).unwrap(), proposal);
    }

    #[test]
    fn bytes_behind_a_command_are_gone_once_it_is_written_anew() {
        let proposal = Proposal::from(Command::CloseSessions { sessions: vec![7] });
        let frame = rmp_serde::to_vec(&proposal).unwrap();
        let more = [rmp_serde::to_vec(&*proposal).unwrap(), vec![0; 1000]].concat();
        let more = rmp_serde::to_vec(serde_bytes::Bytes::new(&more)).unwrap();
        let read: Proposal = rmp_serde::from_slice(&more).unwrap();
        assert!(rmp_serde::to_vec(&read).unwrap().len() > 1000);
        for read in [(read.clone(), Some(read.clone())), (read, None)] {
            assert_eq!(rmp_serde::to_vec(&read.0.written_anew()).unwrap(), frame);
        }
    }

    #[test]
    fn one_that_is_too_long_for_a_frame_does_not_fit() {
        let of = |n: usize| Proposal::from(Command::CloseSessions { sessions: vec![u64::MAX; n] });
        assert!(of(1000).fits());
        assert!(!of(MAX_PROPOSAL_BYTES / 9 + 1).fits());
    }

    #[test]
    fn what_is_no_command_is_refused_before_anybody_keeps_it() {
        for junk in [&b""[..], b"\xff", b"\x81\xa5Found\x92"] {
            let frame = rmp_serde::to_vec(serde_bytes::Bytes::new(junk)).unwrap();
            assert!(rmp_serde::from_slice::<Proposal>(&frame).is_err(), "{junk:?}");
        }
    }
}
