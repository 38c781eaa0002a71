//! What two peers say before anything else, and the numbers that tell streams and closings apart.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::canary::{Mistake, made};
use crate::id::{ClusterId, Incarnation, NodeId, RaftId};
use crate::limits::HEAVY_MESSAGE_BYTES;

/// The version of everything on the wire. Peers of different versions refuse each other.
pub const PROTOCOL_VERSION: u16 = 8;
/// The protocol name inside TLS.
pub(super) const ALPN: &[u8] = b"standin/1";

/// The first byte of every stream.
pub(super) const TAG_HELLO: u8 = 0;
pub(super) const TAG_BULK: u8 = 3;

/// Application codes that close a connection.
pub(super) const CLOSE_DONE: u32 = 0;
/// The reason is an encoded [`Refusal`].
pub(super) const CLOSE_REFUSED: u32 = 1;
/// Resets a stream whose sender gave up before its end.
pub(super) const RESET_ABANDONED: u32 = 2;

/// Who speaks: the first frame in each direction of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The wire's version.
    pub version: u16,
    /// The cluster's name, as in the certificate.
    pub cluster: String,
    /// Which founding of that cluster, once known.
    pub cluster_id: Option<ClusterId>,
    /// The node, as in the certificate.
    pub node_id: NodeId,
    /// Which life of the node, once admitted.
    pub incarnation: Option<Incarnation>,
    /// Which disk, once admitted.
    pub raft_id: Option<RaftId>,
    /// Where it accepts connections.
    pub listen: SocketAddr,
}

/// Why a peer does not talk to another. It travels to the one that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A newer process took over the node id. Stop.
    #[error("retired: incarnation {by} took over this node id")]
    Retired {
        /// The newer process.
        by: Incarnation,
    },
    /// Another cluster, or another founding of a cluster of the same name.
    #[error("this is a peer of another cluster")]
    WrongCluster,
    /// The certificate names another node than the hello.
    #[error("the certificate names another node than the hello claims")]
    WrongNode,
    /// Another version of the wire.
    #[error("this peer speaks another version of the protocol")]
    Version,
    /// Too many connections or requests. Try again later.
    #[error("overloaded; try again later")]
    Overloaded,
    /// Bytes that no peer of this version sends.
    #[error("malformed bytes")]
    Malformed,
}

/// Which of a connection's long-lived streams a request takes, so that a heartbeat never waits behind a user's traffic,
/// nor a short message behind a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Raft, heartbeats, admission: small and urgent.
    Control,
    /// Users' calls.
    Call,
    /// Those of them that are long. Long replies of both take this way too.
    Heavy,
}

impl Lane {
    pub(super) const ALL: [Lane; 3] = [Lane::Control, Lane::Call, Lane::Heavy];

    /// The lane of a user's message of so many bytes.
    pub fn of_message(bytes: usize) -> Self {
        if bytes < HEAVY_MESSAGE_BYTES { Lane::Call } else { Lane::Heavy }
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            Lane::Control => 1,
            Lane::Call => 2,
            Lane::Heavy => 4,
        }
    }

    pub(super) fn of_tag(tag: u8) -> Option<Lane> {
        Self::ALL.into_iter().find(|lane| lane.tag() == tag)
    }

    /// Among the streams of one connection; bulk streams have that of a lane, too.
    pub(super) fn priority(self) -> i32 {
        match self {
            Lane::Control => 2,
            Lane::Call => 1,
            Lane::Heavy => 0,
        }
    }
}

/// The version stands in front of the rest, so that it can be read before the rest is understood.
pub(super) fn encode_hello(hello: &Hello) -> Vec<u8> {
    let mut out = hello.version.to_be_bytes().to_vec();
    out.extend(rmp_serde::to_vec(hello).unwrap_or_default());
    out
}

pub(super) fn decode_hello(frame: &[u8], own: u16) -> Result<Hello, Refusal> {
    let (version, body) = frame.split_first_chunk::<2>().ok_or(Refusal::Malformed)?;
    if u16::from_be_bytes(*version) != own && !made(Mistake::OtherVersionAccepted) {
        return Err(Refusal::Version);
    }
    rmp_serde::from_slice(body).map_err(|_| Refusal::Malformed)
}

pub(super) fn encode_refusal(refusal: &Refusal) -> Vec<u8> {
    rmp_serde::to_vec(refusal).unwrap_or_default()
}

pub(super) fn decode_refusal(bytes: &[u8]) -> Option<Refusal> {
    rmp_serde::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_survives_the_wire_and_another_version_is_told_apart_from_garbage() {
        let hello = Hello {
            version: PROTOCOL_VERSION,
            cluster: "demo".into(),
            cluster_id: Some(ClusterId([7; 16])),
            node_id: NodeId::new("worker-7").unwrap(),
            incarnation: Some(Incarnation(12)),
            raft_id: None,
            listen: "[::1]:7001".parse().unwrap(),
        };
        let frame = encode_hello(&hello);
        assert_eq!(decode_hello(&frame, PROTOCOL_VERSION), Ok(hello));
        for cut in 0..frame.len() {
            assert_eq!(decode_hello(&frame[..cut], PROTOCOL_VERSION), Err(Refusal::Malformed), "{cut} bytes");
        }
        assert_eq!(decode_hello(&[0xff, 0xff, 99, 99], PROTOCOL_VERSION), Err(Refusal::Version));
        assert_eq!(decode_hello(&frame, PROTOCOL_VERSION + 1), Err(Refusal::Version));
        let refusal = Refusal::Retired { by: Incarnation(9) };
        assert_eq!(decode_refusal(&encode_refusal(&refusal)), Some(refusal));
        assert_eq!(decode_refusal(b"bye"), None);
    }
}
