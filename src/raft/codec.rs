//! Bytes to values and back. What comes in is hostile until decoded.

use serde::ser::{SerializeMap, Serializer};
use serde::{Serialize, de::DeserializeOwned};
use std::io;

use crate::core::state::State;
use crate::limits::LINES_PER_TURN;

pub(super) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(invalid)
}

fn invalid(e: rmp_serde::encode::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, e)
}

/// The bytes of [`encode`]. A directory may be long: others get their turn in between.
pub(super) async fn encode_state(state: &State) -> io::Result<Vec<u8>> {
    let State { cluster, members, actors, sessions } = state;
    let mut out = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut out);
    // A struct is a sequence of its fields.
    serializer.serialize_tuple(4).map_err(invalid)?;
    cluster.serialize(&mut serializer).map_err(invalid)?;
    members.serialize(&mut serializer).map_err(invalid)?;
    let mut map = serializer.serialize_map(Some(actors.len())).map_err(invalid)?;
    for (n, line) in actors.iter().enumerate() {
        map.serialize_entry(&line.id(), &line.actor()).map_err(invalid)?;
        if n % LINES_PER_TURN == LINES_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    map.end().map_err(invalid)?;
    sessions.serialize(&mut serializer).map_err(invalid)?;
    Ok(out)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
