//! The socket under everything, and what makes one endpoint's packets its own.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Runtime, UdpPoller};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::counters::{Counters, bump};
use crate::limits::SOCKET_BUFFER_BYTES;

/// Bits of a packet's first byte (RFC 9000, section 17).
const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
const QUIC_V1: [u8; 4] = [0, 0, 0, 1];

/// The outside world of a transport: a socket, timers, and where its random numbers come from.
#[derive(Clone)]
pub struct Network {
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) seed: Option<[u8; 32]>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("socket", &self.socket).field("seeded", &self.seed.is_some()).finish()
    }
}

impl Network {
    /// A real UDP socket on tokio.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn udp(listen: SocketAddr) -> io::Result<Self> {
        let (runtime, socket) = (Arc::new(quinn::TokioRuntime), std::net::UdpSocket::bind(listen)?);
        // As far as the system lets it (net.core.rmem_max): what comes while the thread that reads is not running is
        // lost otherwise, and its sender takes that for a full network.
        let _ = set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
        let socket = runtime.wrap_udp_socket(socket)?;
        Ok(Self { socket, runtime, seed: None })
    }

    /// Parts of a simulation. With a seed, connection ids and packet numbers repeat.
    pub fn simulated(
        socket: Arc<dyn AsyncUdpSocket>,
        runtime: Arc<dyn Runtime>,
        seed: Option<[u8; 32]>,
    ) -> Self {
        Self { socket, runtime, seed }
    }
}

/// Counts what cannot be QUIC, and in tests loses what a cut link loses.
pub(super) struct WatchedSocket {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) counters: Arc<Counters>,
    #[cfg(any(test, feature = "testing"))]
    pub(super) faults: super::faults::Faults,
}

impl fmt::Debug for WatchedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AsyncUdpSocket for WatchedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        #[cfg(any(test, feature = "testing"))]
        if self.faults.loses(transmit.destination) {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.inner.poll_recv(cx, buffers, meta))?;
        for (buffer, meta) in buffers.iter().zip(meta.iter()).take(count) {
            let received = buffer.get(..meta.len).unwrap_or_default();
            let noise = received.chunks(meta.stride.max(1)).filter(|packet| !may_be_quic(packet));
            noise.for_each(|_| bump(&self.counters.noise));
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Says no only to what quinn drops as well; it relies on peers that leave the fixed bit alone.
fn may_be_quic(packet: &[u8]) -> bool {
    match packet.split_first() {
        None => false,
        Some((first, _)) if first & FIXED_BIT == 0 => false,
        Some((first, rest)) if first & LONG_HEADER != 0 => rest.starts_with(&QUIC_V1),
        Some(_) => true,
    }
}

/// Signs stateless resets with a key that a restarted process has again, so that the peers of a process that was
/// killed learn at once, from the next one on its port, that their connections are gone.
pub(super) struct ResetKey(pub(super) [u8; blake3::KEY_LEN]);

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0).update(data).finalize_xof().fill(signature);
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        // Compared as hashes: that takes the same time wherever the first difference is.
        match signature.try_into().map(blake3::Hash::from_bytes) {
            Ok(given) if given == expected => Ok(()),
            _ => Err(quinn::crypto::CryptoError),
        }
    }
}

/// Connection ids without a checksum: quinn's own would not recognise those of the process before, and so would not
/// reset them.
pub(super) struct ConnectionIds {
    pub(super) key: [u8; blake3::KEY_LEN],
    pub(super) count: Arc<AtomicU64>,
}

const CONNECTION_ID_BYTES: usize = 8;

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let hash = blake3::keyed_hash(&self.key, &count);
        ConnectionId::new(hash.as_bytes().first_chunk::<CONNECTION_ID_BYTES>().unwrap_or(&count))
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
