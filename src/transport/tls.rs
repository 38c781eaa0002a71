//! TLS 1.3, both sides with certificates, and the QUIC settings around it.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls_pki_types::CertificateDer;

use super::TransportError;
use super::config::TransportConfig;
use super::wire::ALPN;
use crate::identity::{CertificateName, Identity};
use crate::limits::{MAX_HANDSHAKES, MAX_PACKET_BYTES, MAX_STREAMS};

/// The hello and the lanes, beside the bulk streams.
const OWN_STREAMS: u32 = 4;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn unusable(e: impl std::fmt::Display) -> TransportError {
    TransportError::Identity(e.to_string())
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, TransportError> {
    let mut store = RootCertStore::empty();
    identity.roots().iter().try_for_each(|root| store.add(root.clone())).map_err(unusable)?;
    Ok(Arc::new(store))
}

/// No tickets, no resumption: every connection checks both certificates anew, so an expired one ends.
pub(super) fn server_tls(identity: &Identity) -> Result<rustls::ServerConfig, TransportError> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(identity)?, provider()).build();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(clients.map_err(unusable)?)
        .with_single_cert(identity.chain().to_vec(), identity.key().map_err(unusable)?)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

pub(super) fn client_tls(identity: &Identity) -> Result<rustls::ClientConfig, TransportError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(identity.chain().to_vec(), identity.key().map_err(unusable)?)
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

pub(super) fn server_config(config: &TransportConfig) -> Result<quinn::ServerConfig, TransportError> {
    let crypto = QuicServerConfig::try_from(server_tls(&config.identity)?).map_err(unusable)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(Arc::new(quic(config, None)?));
    // A peer that changes its address dials again: its node id is not bound to a path.
    server.migration(false);
    server.max_incoming(MAX_HANDSHAKES);
    Ok(server)
}

pub(super) fn client_config(config: &TransportConfig) -> Result<quinn::ClientConfig, TransportError> {
    let crypto = QuicClientConfig::try_from(client_tls(&config.identity)?).map_err(unusable)?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(quic(config, Some(config.keep_alive))?));
    Ok(client)
}

/// Only dialers keep connections alive, and they close idle ones; so a connection that costs packets is in use.
fn quic(
    config: &TransportConfig,
    keep_alive: Option<Duration>,
) -> Result<quinn::TransportConfig, TransportError> {
    let streams = MAX_STREAMS + OWN_STREAMS;
    let mut packets = MtuDiscoveryConfig::default();
    packets.upper_bound(MAX_PACKET_BYTES);
    let mut quic = quinn::TransportConfig::default();
    quic.mtu_discovery_config(Some(packets))
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::try_from(config.idle_timeout).map_err(unusable)?))
        .keep_alive_interval(keep_alive)
        .initial_rtt(config.initial_rtt)
        .stream_receive_window(VarInt::from_u32(config.stream_window))
        // Room for every stream: a bulk stream that nobody reads must not stop the heartbeats beside it.
        .receive_window(
            VarInt::from_u64(u64::from(config.stream_window) * u64::from(streams)).map_err(unusable)?,
        )
        .send_window(8 * u64::from(config.stream_window));
    Ok(quic)
}

/// Whom the verified certificate at the other end names. None if it names no node.
pub(super) fn peer_name(connection: &quinn::Connection) -> Option<CertificateName> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    CertificateName::of_certificate(chain.first()?).ok().filter(|name| name.node_id().is_some())
}
