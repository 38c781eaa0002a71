//! State, messages and replies as bytes. A user's serde code may fail or panic on any of them;
//! here both become errors.

use serde::Serialize;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::api::{Actor, Message, Snapshot};
use crate::error::{CallError, Reason};
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_MESSAGE_BYTES, MAX_PANIC_TEXT_BYTES};

/// Bytes that could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    /// Wraps what a codec says.
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// State of an older version that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The kind does not read this version.
    #[error("{kind} is at version {current} and does not read version {found}")]
    Unsupported {
        /// The kind's name.
        kind: &'static str,
        /// The version of the bytes.
        found: u32,
        /// The version of the running program.
        current: u32,
    },
    /// The kind reads this version, but not these bytes.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// State that could not be turned into an actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes do not decode.
    #[error("the state does not decode: {0}")]
    Codec(#[from] CodecError),
    /// The bytes are of an older version that does not migrate.
    #[error("the state does not migrate: {0}")]
    Migrate(#[from] MigrateError),
    /// The bytes were written by a newer program than this one.
    #[error("the state is of version {found}, newer than this program's {current}")]
    Newer {
        /// The version of the bytes.
        found: u32,
        /// The version of the running program.
        current: u32,
    },
}

/// Writes an actor's state.
///
/// # Errors
/// [`CodecError`] if its codec fails or panics, or the bytes pass [`MAX_CHECKPOINT_BYTES`].
pub fn encode_state<A: Actor>(actor: &A) -> Result<Vec<u8>, CodecError> {
    guarded(|| actor.encode()).and_then(|bytes| within(bytes, MAX_CHECKPOINT_BYTES, "checkpoint"))
}

/// A state of this moment, if its kind has a cheap way to keep one.
pub(super) fn snapshot_of<A: Actor>(actor: &A) -> Result<Option<Snapshot>, CodecError> {
    guarded(|| Ok(actor.snapshot()))
}

/// Writes what was kept, as [`encode_state`] does.
pub(super) fn encode_snapshot(snapshot: Snapshot) -> Result<Vec<u8>, CodecError> {
    guarded(snapshot).and_then(|bytes| within(bytes, MAX_CHECKPOINT_BYTES, "checkpoint"))
}

/// Reads an actor's state of this or an older version.
///
/// # Errors
/// [`StateError`] says which of its ways failed.
pub fn decode_state<A: Actor>(version: u32, bytes: &[u8]) -> Result<A, StateError> {
    if version > A::VERSION {
        return Err(StateError::Newer { found: version, current: A::VERSION });
    }
    if version == A::VERSION {
        return Ok(guarded(|| A::decode(bytes))?);
    }
    Ok(guarded(|| Ok(A::migrate(version, bytes)))??)
}

/// Writes a message for another peer.
///
/// # Errors
/// Not executed: [`Reason::Codec`].
pub fn encode_message<M: Message>(message: &M) -> Result<Vec<u8>, CallError> {
    append_message(room(), message)
}

/// The same behind what is there already.
///
/// # Errors
/// As [`encode_message`].
pub fn append_message<M: Message>(frame: Vec<u8>, message: &M) -> Result<Vec<u8>, CallError> {
    append(frame, message, "message").map_err(|e| CallError::not_executed(Reason::Codec(e.0)))
}

/// Reads a message from another peer.
///
/// # Errors
/// Not executed: [`Reason::Codec`].
pub fn decode_message<M: Message>(payload: &[u8]) -> Result<M, CallError> {
    guarded(|| rmp_serde::from_slice(payload).map_err(CodecError::new))
        .map_err(|e| CallError::not_executed(Reason::Codec(format!("message {}: {e}", M::NAME))))
}

/// Writes a reply for another peer.
///
/// # Errors
/// Executed: [`Reason::Codec`].
pub fn encode_reply<R: Serialize>(reply: &R) -> Result<Vec<u8>, CallError> {
    append(room(), reply, "reply").map_err(|e| CallError::executed(Reason::Codec(e.0)))
}

/// Reads the reply to a message from another peer.
///
/// # Errors
/// Executed: [`Reason::Codec`].
pub fn decode_reply<M: Message>(payload: &[u8]) -> Result<M::Reply, CallError> {
    guarded(|| rmp_serde::from_slice(payload).map_err(CodecError::new))
        .map_err(|e| CallError::executed(Reason::Codec(format!("reply to {}: {e}", M::NAME))))
}

/// For most messages and replies.
fn room() -> Vec<u8> {
    Vec::with_capacity(64)
}

fn append<T: Serialize>(mut bytes: Vec<u8>, value: &T, what: &str) -> Result<Vec<u8>, CodecError> {
    let before = bytes.len();
    let bytes = guarded(move || {
        rmp_serde::encode::write_named(&mut bytes, value).map_err(CodecError::new)?;
        Ok(bytes)
    })?;
    limited(bytes.len() - before, MAX_MESSAGE_BYTES, what)?;
    Ok(bytes)
}

fn within(bytes: Vec<u8>, limit: usize, what: &str) -> Result<Vec<u8>, CodecError> {
    limited(bytes.len(), limit, what).map(|()| bytes)
}

fn limited(length: usize, limit: usize, what: &str) -> Result<(), CodecError> {
    if length > limit {
        return Err(CodecError(format!("a {what} of {length} bytes; the limit is {limit}")));
    }
    Ok(())
}

/// Nothing that `code` may leave half done is looked at after a panic: it builds a new value, or
/// only reads.
fn guarded<T>(code: impl FnOnce() -> Result<T, CodecError>) -> Result<T, CodecError> {
    catch_unwind(AssertUnwindSafe(code))
        .unwrap_or_else(|panic| Err(CodecError(format!("panicked: {}", panic_text(&*panic)))))
}

/// A panic's text, cut to its bound.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&'static str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "a panic without text",
    };
    let end = text.floor_char_boundary(MAX_PANIC_TEXT_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}
