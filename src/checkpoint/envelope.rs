//! What is stored of a checkpoint: a format version, the kind's version, the state, its reliable messages.

use serde::{Deserialize, Serialize};

/// The layout of this envelope.
const FORMAT: u16 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    format: u16,
    pub(crate) kind_version: u32,
    #[serde(with = "serde_bytes")]
    pub(crate) state: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) sessions: Vec<u8>,
}

impl Envelope {
    pub(crate) fn seal(kind_version: u32, state: Vec<u8>, sessions: Vec<u8>) -> Vec<u8> {
        crate::wire::encode(&Self { format: FORMAT, kind_version, state, sessions })
    }

    /// Reads an envelope, which may be anything.
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, String> {
        let envelope: Self = rmp_serde::from_slice(bytes).map_err(|e| e.to_string())?;
        if envelope.format != FORMAT {
            return Err(format!("format {} where this version reads {FORMAT}", envelope.format));
        }
        Ok(envelope)
    }
}

/// The digest by which a checkpoint's bytes are known: blake3 of the whole envelope.
pub(crate) fn digest(envelope: &[u8]) -> [u8; 32] {
    *blake3::hash(envelope).as_bytes()
}
