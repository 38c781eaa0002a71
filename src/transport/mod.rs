//! Peers talk here: QUIC with mutual TLS, and the only folder that names quinn and rustls.
//!
//! Each peer dials every other peer that it wants something from, and the acceptor answers on the dialer's
//! streams; so a pair of peers has up to two connections, and no rule about who calls whom. What happens to
//! one request:
//!
//! 1. [`Transport::request`] finds the `link` to its destination and queues the frame there, in the call
//!    itself, so that one caller's order is kept. A link without a session dials first (`dial`).
//! 2. The session's writer for that [`Lane`] (`lane`) takes all that waits (`queue`), claims each request, which from
//!    then on counts as sent, and writes them in one go.
//! 3. The other end (`accept`, `serve`) hands it to the [`Handler`] with a [`Reply`] that never blocks; replies gather
//!    (`outlet`) and are written in one go, too.
//! 4. The answer resolves the caller's future. If the connection breaks instead, a request that was never claimed is
//!    *not sent*, and any other one is *unknown*.
//!
//! Nothing that a stranger sends gets past TLS, and nothing gets past the hello (`wire`) but a peer whose
//! certificate names the node that it claims to be, in this cluster (ARCHITECTURE.md, invariant 10).

mod accept;
mod config;
mod counters;
mod dial;
mod endpoint;
#[cfg(any(test, feature = "testing"))]
mod faults;
mod frame;
mod lane;
mod link;
mod links;
mod log_limit;
mod outlet;
mod queue;
mod reply;
mod request;
mod serve;
mod session;
#[cfg(feature = "testing")]
mod simulated;
mod socket;
mod stream;
mod tls;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use config::TransportConfig;
pub use counters::CountersSnapshot;
pub use endpoint::{Transport, TransportError, Way};
#[cfg(any(test, feature = "testing"))]
pub use faults::LinkTable;
#[cfg(feature = "testing")]
pub(crate) use frame::{Batch, FrameReader};
pub use reply::Reply;
pub use request::{Dest, Handler, Remote, RequestError, Waiting};
#[cfg(feature = "testing")]
pub use simulated::{HostTraffic, SimNetwork, Traffic, Weather};
pub use socket::Network;
pub use stream::{FramedRecv, FramedSend, FramedStream, StreamError};
pub use wire::{Hello, Lane, PROTOCOL_VERSION, Refusal};

/// A lock whose holder panicked is still a lock: what it guards is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
