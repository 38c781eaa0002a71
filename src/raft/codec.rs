//! Bytes to values and back. What comes in is hostile until decoded.

use serde::{Serialize, de::DeserializeOwned};
use std::io;

pub(super) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
