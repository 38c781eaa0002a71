//! This library: two peers with real stores; the actor lives on the second and takes checkpoints every second.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::standin::actor::ActorRef;
use ::standin::id::NodeId;
use ::standin::identity::DevAuthority;
use ::standin::{Peer, Placement};
use benches::Sample;
use benches::counter::{Add, Long, Sum};

use super::{Carrier, Server, fail, measure, server, stand_by};

const PATIENCE: Duration = Duration::from_secs(30);

async fn peer(dir: &Path, name: &str, contact: Option<SocketAddr>) -> Peer {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_else(fail);
    let authority = DevAuthority::from_pem(&read("ca.pem"), &read("ca.key")).unwrap_or_else(fail);
    let node = NodeId::new(name).unwrap_or_else(fail);
    let identity = authority.issue(&node).unwrap_or_else(fail);
    let peer = Peer::builder(node)
        .identity(identity)
        .data_dir(dir.join(name))
        .bootstrap(contact.is_none())
        .contacts(contact)
        .kind(Sum::kind())
        .start()
        .await
        .unwrap_or_else(fail);
    peer.joined(PATIENCE).await.unwrap_or_else(fail);
    peer
}

/// Founds the cluster.
pub async fn serve(dir: &Path) {
    let peer = peer(dir, "server", None).await;
    stand_by(peer.status().addr.expect("it listens")).await;
    peer.shutdown().await;
}

#[derive(Clone)]
struct Remote {
    peer: Peer,
    sum: ActorRef<Sum>,
    _server: Arc<Server>,
}

impl super::Remote for Remote {
    async fn ask(&self, n: u64) -> u64 {
        self.peer.ask(&self.sum, Add(n)).await.unwrap_or_else(fail)
    }

    async fn ask_long(&self, bytes: Vec<u8>) -> u64 {
        self.peer.ask(&self.sum, Long(bytes)).await.unwrap_or_else(fail)
    }
}

pub async fn run(dir: &Path) -> Sample {
    let (certificate, key) = DevAuthority::create("bench").unwrap_or_else(fail).to_pem();
    std::fs::write(dir.join("ca.pem"), certificate).unwrap_or_else(fail);
    std::fs::write(dir.join("ca.key"), key).unwrap_or_else(fail);
    let server = server(Carrier::Standin, dir);
    let contact = server.greeting.parse().unwrap_or_else(fail);
    let peer = peer(dir, "client", Some(contact)).await;
    let home = Placement::On(NodeId::new("server").unwrap_or_else(fail));
    let sum = peer.create("sum", Sum(0), home).await.unwrap_or_else(fail);
    let remote = Remote { peer: peer.clone(), sum, _server: Arc::new(server) };
    let sample = measure(remote).await;
    peer.shutdown().await;
    sample
}
