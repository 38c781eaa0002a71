//! Ends of a bare quinn connection on loopback.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig,
};
use standin::limits::MAX_PACKET_BYTES;

use crate::common::fail;

/// How large its packets may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// As quinn comes: what fits into Ethernet's usual frame.
    Usual,
    /// As this library lets them be where the network does.
    Large,
}

impl Packets {
    fn transport(self) -> Arc<TransportConfig> {
        let mut quic = TransportConfig::default();
        if self == Self::Large {
            let mut packets = MtuDiscoveryConfig::default();
            packets.upper_bound(MAX_PACKET_BYTES);
            quic.mtu_discovery_config(Some(packets));
        }
        Arc::new(quic)
    }

    fn endpoint(self, server: Option<ServerConfig>) -> Endpoint {
        let mut config = EndpointConfig::default();
        if self == Self::Large {
            config.max_udp_payload_size(MAX_PACKET_BYTES).unwrap_or_else(fail);
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(fail);
        Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).unwrap_or_else(fail)
    }

    /// An end that accepts.
    pub fn server(self, mut config: ServerConfig) -> Endpoint {
        config.transport_config(self.transport());
        self.endpoint(Some(config))
    }

    /// An end that dials.
    pub fn client(self, mut config: ClientConfig) -> Endpoint {
        config.transport_config(self.transport());
        let mut endpoint = self.endpoint(None);
        endpoint.set_default_client_config(config);
        endpoint
    }
}
