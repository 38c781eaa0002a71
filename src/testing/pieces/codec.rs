//! What becomes bytes, and is read again.

use bytes::Bytes;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use std::hint::black_box;

use super::{Failure, Piece, Round};
use crate::actor::{Message, Mode, append_message, decode_message, decode_reply, encode_reply};
use crate::checkpoint::{Content, Sealed};
use crate::id::ActorName;
use crate::limits::MAX_FRAME_BYTES;
use crate::transport::{Batch, FrameReader};
use crate::wire::{Mail, answer, begin_call, read_answer};

/// Calls that one write carries.
const CALLS: u64 = 64;
/// The number of a request, and that with the status of an answer.
const HEAD: usize = 8;
const ANSWER_HEAD: usize = 9;
const SMALL_STATE: usize = 200;
const LONG_STATE: usize = 64 << 10;

pub(super) const CALL: Piece = Piece { name: "remote call and answer, encoded", times: CALLS, begin: call };
pub(super) const CHECKPOINT: Piece =
    Piece { name: "checkpoint of 200 bytes, sealed", times: 1, begin: || Ok(checkpoint(SMALL_STATE)) };
pub(super) const LONG_CHECKPOINT: Piece =
    Piece { name: "checkpoint of 64 KiB, sealed", times: 1, begin: || Ok(checkpoint(LONG_STATE)) };

#[derive(Serialize, Deserialize)]
struct Add(u64);

impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

/// Calls are written in frames, read, answered, and their answers are read.
fn call() -> Result<Round, Failure> {
    Ok(Box::new(|measure| {
        measure(&mut || {
            let answered = requests().and_then(|wire| answers(&wire)).and_then(|wire| sum(&wire));
            assert_eq!(answered.ok(), Some((1..=CALLS).sum()), "an answer is missing");
        });
    }))
}

fn requests() -> Result<Vec<u8>, Failure> {
    let mut batch = Batch::default();
    for n in 1..=CALLS {
        let to = ActorName { kind: "sum", key: "1" };
        let call = begin_call(to, Add::NAME, Mode::Ask).ok_or("its name is too long")?;
        batch.push(&n.to_be_bytes(), &append_message(call, &Add(n))?);
    }
    Ok(batch.take().concat())
}

fn answers(wire: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut batch = Batch::default();
    each_frame(wire, |frame| {
        if let Mail::Call(call) = Mail::read(&frame[HEAD..])? {
            let Add(n) = decode_message(call.payload)?;
            let mut head = [0; ANSWER_HEAD];
            head[..HEAD].copy_from_slice(&frame[..HEAD]);
            batch.push(&head, &answer(encode_reply(&n)));
        }
        Ok(())
    })?;
    Ok(batch.take().concat())
}

fn sum(wire: &[u8]) -> Result<u64, Failure> {
    let mut sum = 0;
    each_frame(wire, |frame| {
        if frame.len() >= ANSWER_HEAD {
            sum += decode_reply::<Add>(&read_answer(frame.slice(ANSWER_HEAD..))??)?;
        }
        Ok(())
    })?;
    Ok(sum)
}

fn each_frame(wire: &[u8], mut see: impl FnMut(Bytes) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut reader = FrameReader::new(wire, MAX_FRAME_BYTES);
    while let Some(frame) = reader.next().now_or_never().transpose()?.flatten() {
        see(frame)?;
    }
    Ok(())
}

/// The state is sealed, and known by its digest.
fn checkpoint(bytes: usize) -> Round {
    let state: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    Box::new(move |measure| {
        let mut state = Some(state.clone());
        measure(&mut || {
            let state = state.take().unwrap_or_default().into();
            black_box(Sealed::whole(&Content { kind_version: 1, state, sessions: Bytes::new() }));
        });
    })
}
