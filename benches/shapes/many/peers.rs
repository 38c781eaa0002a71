//! Several real peers of one process: real QUIC, real disks, nothing that looks on.

use std::net::SocketAddr;
use std::path::PathBuf;

use standin::Peer;
use standin::actor::Kind;
use standin::id::NodeId;
use standin::identity::DevAuthority;
use tempfile::TempDir;

use super::PATIENCE;
use super::small::Small;
use crate::common::fail;

pub struct Peers {
    authority: DevAuthority,
    root: TempDir,
    disks: usize,
    pub peers: Vec<Peer>,
}

impl Peers {
    pub async fn start(n: usize) -> Self {
        let authority = DevAuthority::create("bench").unwrap_or_else(fail);
        let root = tempfile::tempdir().unwrap_or_else(fail);
        let mut all = Self { authority, root, disks: 0, peers: vec![] };
        for at in 0..n {
            let peer = all.launch(at).await;
            all.peers.push(peer);
        }
        all
    }

    /// A peer with an empty disk, once it is a member.
    async fn launch(&mut self, at: usize) -> Peer {
        let node = NodeId::new(format!("peer-{at}")).unwrap_or_else(fail);
        let identity = self.authority.issue(&node).unwrap_or_else(fail);
        let contacts: Vec<SocketAddr> = self.peers.iter().filter_map(|peer| peer.status().addr).collect();
        let builder = Peer::builder(node).identity(identity).data_dir(self.new_disk());
        let builder = builder.bootstrap(contacts.is_empty()).contacts(contacts);
        let kind = Kind::of::<Small>().handles::<super::small::Change>().handles::<super::small::Save>();
        let peer = builder.kind(kind).start().await.unwrap_or_else(fail);
        peer.joined(PATIENCE).await.unwrap_or_else(fail);
        peer
    }

    fn new_disk(&mut self) -> PathBuf {
        self.disks += 1;
        self.root.path().join(self.disks.to_string())
    }

    /// The last peer ends without a word to the others; another with an empty disk is admitted in its place.
    pub async fn replace_last(&mut self) {
        let Some(old) = self.peers.pop() else { return };
        old.shutdown().await;
        drop(old);
        let peer = self.launch(self.peers.len()).await;
        self.peers.push(peer);
    }

    pub async fn shutdown(self) {
        for peer in self.peers {
            peer.shutdown().await;
        }
    }
}
