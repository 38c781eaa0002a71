//! Peers of this library, each in a process of its own, that share a directory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use standin::id::NodeId;
use standin::identity::DevAuthority;
use standin::{Builder, Peer};

use crate::common::fail;
use crate::remote::stand_by;

const PATIENCE: Duration = Duration::from_secs(60);
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// Puts an authority into the directory that all are to share.
pub fn make_authority(dir: &Path) {
    let (certificate, key) = DevAuthority::create("bench").unwrap_or_else(fail).to_pem();
    std::fs::write(dir.join(CERTIFICATE), certificate).unwrap_or_else(fail);
    std::fs::write(dir.join(KEY), key).unwrap_or_else(fail);
}

/// A peer with a real store, once it is a member. The one without a contact founds the cluster.
pub async fn peer(
    dir: &Path,
    name: &str,
    contact: Option<SocketAddr>,
    setup: impl FnOnce(Builder) -> Builder,
) -> Peer {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_else(fail);
    let authority = DevAuthority::from_pem(&read(CERTIFICATE), &read(KEY)).unwrap_or_else(fail);
    let node = NodeId::new(name).unwrap_or_else(fail);
    let identity = authority.issue(&node).unwrap_or_else(fail);
    let builder = Peer::builder(node).identity(identity).data_dir(dir.join(name));
    let builder = setup(builder.bootstrap(contact.is_none()).contacts(contact));
    let peer = builder.start().await.unwrap_or_else(fail);
    peer.joined(PATIENCE).await.unwrap_or_else(fail);
    peer
}

/// Tells the process that started this one where the peer is, and ends it when that process has gone.
pub async fn serve(peer: Peer) {
    stand_by(peer.status().addr.expect("it listens")).await;
    peer.shutdown().await;
}
