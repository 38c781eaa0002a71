//! How often what happened. Relaxed counters: nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::wire::Refusal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The live counters of one transport.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        /// What the counters of one transport stood at.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct CountersSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Connections accepted, hello included.
    accepted,
    /// Connections that this peer dialed with success.
    dialed,
    /// Attempts to dial that failed.
    dial_failed,
    /// Connections that TLS turned away: no certificate, another authority, expired, another protocol.
    strangers,
    /// Connections that did not say hello in time.
    silent,
    /// Refused because a newer process took over the node id.
    refused_retired,
    /// Refused because of another cluster.
    refused_wrong_cluster,
    /// Refused because the certificate named another node.
    refused_wrong_node,
    /// Refused because of another protocol version.
    refused_version,
    /// Refused because too much was going on already.
    refused_overloaded,
    /// Refused because the hello made no sense.
    refused_malformed,
    /// Oversized, truncated or senseless frames from a peer; each ended its connection.
    bad_frames,
    /// Streams of their own that peers opened here, for what is long.
    streams,
    /// Datagrams that cannot be QUIC.
    noise,
    /// Connections closed because a newer incarnation is known.
    closed_older,
    /// Replies that were too large, or too many at once, to be sent.
    replies_lost,
}

pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn refused(&self, refusal: &Refusal) {
        bump(match refusal {
            Refusal::Retired { .. } => &self.refused_retired,
            Refusal::WrongCluster => &self.refused_wrong_cluster,
            Refusal::WrongNode => &self.refused_wrong_node,
            Refusal::Version => &self.refused_version,
            Refusal::Overloaded => &self.refused_overloaded,
            Refusal::Malformed => &self.refused_malformed,
        });
    }
}
