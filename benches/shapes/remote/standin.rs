//! This library: two peers with real stores; the actor lives on the second and takes checkpoints every second.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ::standin::actor::ActorRef;
use ::standin::id::NodeId;
use ::standin::{Peer, Placement};
use benches::Sample;
use benches::counter::{Add, Long, Sum};

use super::{Carrier, Server, fail, measure, server};
use crate::ours::{self, make_authority};

async fn peer(dir: &Path, name: &str, contact: Option<SocketAddr>) -> Peer {
    ours::peer(dir, name, contact, |peer| peer.kind(Sum::kind())).await
}

/// Founds the cluster.
pub async fn serve(dir: &Path) {
    ours::serve(peer(dir, "server", None).await).await;
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
    make_authority(dir);
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
