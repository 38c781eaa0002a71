//! What lies in frames of the lanes of calls. Calls and answers are most of all frames there are, and written by hand;
//! the rest is MessagePack, as everywhere else.
//!
//! - A call: a byte for its [`Mode`], the lengths of kind and message (a byte each) and of the key (two bytes), those
//!   three, and, to the end of the frame, the payload.
//! - Its answer: the payload, or an error in MessagePack, and then a byte that tells which.
//! - Anything else: a byte that is no mode, and then [`Rare`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FRAME_AROUND, Malformed, decode, encode};
use crate::actor::Mode;
use crate::core::session::Parcels;
use crate::error::CallError;
use crate::id::ActorName;
use crate::store::CopyKey;

const ASK: u8 = 0;
const ASK_DURABLE: u8 = 1;
const TELL: u8 = 2;
const RARE: u8 = 3;

const REPLY: u8 = 0;
const ERROR: u8 = 1;

/// A message to an actor. What is read of a frame stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    pub(crate) kind: &'a str,
    pub(crate) key: &'a str,
    pub(crate) message: &'a str,
    pub(crate) mode: Mode,
    pub(crate) payload: &'a [u8],
}

/// Something else that takes the same lanes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Rare {
    /// Reliable messages. Its reply is a [`Receipt`](crate::core::session::Receipt).
    Parcels(Parcels),
    /// A short copy, please. Its reply is the copy's manifest, or nothing.
    Copy(CopyKey),
}

/// A frame of those lanes, read.
#[derive(Debug, Clone)]
pub(crate) enum Mail<'a> {
    /// Its reply is an [`answer`].
    Call(Call<'a>),
    Rare(Rare),
}

/// A call but for its payload, which is to be appended. None if a name is longer than any is.
pub(crate) fn begin_call(to: ActorName<'_>, message: &str, mode: Mode) -> Option<Vec<u8>> {
    let mode = match mode {
        Mode::Ask => ASK,
        Mode::AskDurable => ASK_DURABLE,
        Mode::Tell => TELL,
    };
    let [kind, name] = [to.kind, message].map(|text| u8::try_from(text.len()).ok());
    let [key_high, key_low] = u16::try_from(to.key.len()).ok()?.to_be_bytes();
    let mut frame = Vec::with_capacity(FRAME_AROUND);
    frame.extend([mode, kind?, name?, key_high, key_low]);
    [to.kind, to.key, message].iter().for_each(|text| frame.extend_from_slice(text.as_bytes()));
    Some(frame)
}

impl<'a> Call<'a> {
    /// To whom it is.
    pub(crate) fn to(&self) -> ActorName<'a> {
        ActorName { kind: self.kind, key: self.key }
    }

    fn read(frame: &'a [u8]) -> Option<Self> {
        let (&[mode, kind, name, key_high, key_low], rest) = frame.split_first_chunk()?;
        let mode = match mode {
            ASK => Mode::Ask,
            ASK_DURABLE => Mode::AskDurable,
            TELL => Mode::Tell,
            _ => return None,
        };
        let (kind, rest) = text(rest, kind.into())?;
        let (key, rest) = text(rest, u16::from_be_bytes([key_high, key_low]).into())?;
        let (message, payload) = text(rest, name.into())?;
        Some(Self { kind, key, message, mode, payload })
    }
}

fn text(bytes: &[u8], length: usize) -> Option<(&str, &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((str::from_utf8(text).ok()?, rest))
}

impl<'a> Mail<'a> {
    /// Reads a frame that may be anything.
    pub(crate) fn read(frame: &'a [u8]) -> Result<Self, Malformed> {
        match frame.split_first() {
            Some((&RARE, rare)) => decode(rare).map(Mail::Rare),
            _ => Call::read(frame).map(Mail::Call).ok_or_else(|| Malformed("no call".into())),
        }
    }
}

impl Rare {
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = encode(self);
        frame.insert(0, RARE);
        frame
    }
}

/// The answer to a call: the payload of its reply, or why there is none.
pub(crate) fn answer(outcome: Result<Vec<u8>, CallError>) -> Vec<u8> {
    let (mut frame, which) = match outcome {
        Ok(payload) => (payload, REPLY),
        Err(e) => (encode(&e), ERROR),
    };
    frame.push(which);
    frame
}

/// Reads an answer, which may be anything.
pub(crate) fn read_answer(mut frame: Bytes) -> Result<Result<Bytes, CallError>, Malformed> {
    let Some((&which, content)) = frame.split_last() else { return Err(Malformed("empty".into())) };
    match which {
        REPLY => {
            frame.truncate(content.len());
            Ok(Ok(frame))
        }
        ERROR => decode(content).map(Err),
        _ => Err(Malformed("no answer".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    fn call(mode: Mode) -> (Vec<u8>, Call<'static>) {
        let call = Call { kind: "kind", key: "schlüssel", message: "m", mode, payload: b"payload" };
        let mut frame = begin_call(call.to(), call.message, mode).unwrap();
        frame.extend(call.payload);
        (frame, call)
    }

    #[test]
    fn a_call_is_read_as_it_was_written_and_what_is_cut_is_none() {
        for mode in [Mode::Ask, Mode::AskDurable, Mode::Tell] {
            let (frame, call) = call(mode);
            assert!(matches!(Mail::read(&frame), Ok(Mail::Call(read)) if read == call));
            for cut in 0..frame.len() - call.payload.len() {
                assert!(Mail::read(&frame[..cut]).is_err(), "{cut}");
            }
        }
        assert!(begin_call(ActorName { kind: "k", key: "" }, &"m".repeat(256), Mode::Ask).is_none());
    }

    #[test]
    fn whatever_a_frame_holds_it_is_read_or_refused() {
        let (frame, _) = call(Mode::Ask);
        for at in 0..frame.len() {
            for byte in 0..=u8::MAX {
                let mut other = frame.clone();
                other[at] = byte;
                if let Ok(Mail::Call(call)) = Mail::read(&other) {
                    let length = call.kind.len() + call.key.len() + call.message.len() + call.payload.len();
                    assert_eq!(length + 5, other.len());
                }
            }
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let error = CallError::not_executed(Reason::Full);
        for outcome in [Ok(vec![]), Ok(vec![1, 2, 3]), Err(error)] {
            let read = read_answer(answer(outcome.clone()).into());
            assert_eq!(read.unwrap(), outcome.map(Bytes::from));
        }
        for frame in [&[][..], &[7], &[0xc1, ERROR]] {
            assert!(read_answer(Bytes::copy_from_slice(frame)).is_err());
        }
    }
}
