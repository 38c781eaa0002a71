//! What a transport is told when it is made.

use std::net::SocketAddr;
use std::time::Duration;

use super::socket::Network;
use super::wire::PROTOCOL_VERSION;
use crate::id::{ClusterId, Incarnation, RaftId};
use crate::identity::Identity;

/// How one peer's transport is to behave. Start from [`TransportConfig::lan`] or [`TransportConfig::wan`].
#[derive(Debug)]
#[non_exhaustive]
pub struct TransportConfig {
    /// Who this peer is.
    pub identity: Identity,
    /// Where it accepts connections. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The address that others are told, if it is not the bound one (which it cannot be for `0.0.0.0`).
    pub advertise: Option<SocketAddr>,
    /// Which founding of the cluster this peer belongs to, if it knows.
    pub cluster_id: Option<ClusterId>,
    /// Which life of its node this process is, if it knows.
    pub incarnation: Option<Incarnation>,
    /// Which disk it has, if it knows.
    pub raft_id: Option<RaftId>,
    /// How long one attempt to reach a peer may take, hello included.
    pub dial_timeout: Duration,
    /// The pause after a first failed attempt; it doubles with each further one.
    pub first_backoff: Duration,
    /// The longest pause between two attempts.
    pub longest_backoff: Duration,
    /// A connection whose other end is silent for this long is dead.
    pub idle_timeout: Duration,
    /// How often the dialer of a connection that is in use shows that it lives.
    pub keep_alive: Duration,
    /// The round trip to assume before the first is measured.
    pub initial_rtt: Duration,
    /// How many bytes of one stream may be under way, unread.
    pub stream_window: u32,
    /// The socket and the runtime to use instead of UDP on tokio.
    pub network: Option<Network>,
    /// The version of the wire that it speaks: [`PROTOCOL_VERSION`], but in tests.
    pub version: u16,
    /// Links to cut, shared by all transports of a test.
    #[cfg(any(test, feature = "testing"))]
    pub faults: Option<super::LinkTable>,
}

impl TransportConfig {
    /// For peers that are well below 10 milliseconds apart.
    pub fn lan(identity: Identity, listen: SocketAddr) -> Self {
        Self {
            identity,
            listen,
            advertise: None,
            cluster_id: None,
            incarnation: None,
            raft_id: None,
            dial_timeout: Duration::from_millis(600),
            first_backoff: Duration::from_millis(20),
            longest_backoff: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_millis(1500),
            initial_rtt: Duration::from_millis(20),
            stream_window: 1 << 20,
            network: None,
            version: PROTOCOL_VERSION,
            #[cfg(any(test, feature = "testing"))]
            faults: None,
        }
    }

    /// For peers on several continents.
    pub fn wan(identity: Identity, listen: SocketAddr) -> Self {
        Self {
            dial_timeout: Duration::from_secs(3),
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_millis(2500),
            idle_timeout: Duration::from_secs(15),
            keep_alive: Duration::from_secs(4),
            initial_rtt: Duration::from_millis(200),
            stream_window: 4 << 20,
            ..Self::lan(identity, listen)
        }
    }
}
