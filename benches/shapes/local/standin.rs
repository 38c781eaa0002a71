//! This library: one peer, with its real store; the kind takes checkpoints every second.

use std::time::Duration;

use ::standin::actor::ActorRef;
use ::standin::id::NodeId;
use ::standin::identity::Identity;
use ::standin::{Peer, Placement};
use benches::counter::{Add, Sum};

use super::{Shape, fail, one, skynet};

#[derive(Clone)]
pub struct Counter(Peer, ActorRef<Sum>);

impl super::Counter for Counter {
    async fn ask(&self, n: u64) -> u64 {
        self.0.ask(&self.1, Add(n)).await.unwrap_or_else(fail)
    }

    async fn tell(&self, n: u64) {
        self.0.tell(&self.1, Add(n)).await.unwrap_or_else(fail);
    }
}

pub async fn run(shape: Shape) -> (&'static str, f64) {
    let dir = tempfile::tempdir().unwrap_or_else(fail);
    let node = NodeId::new("bench").unwrap_or_else(fail);
    let identity = Identity::development("bench", &node).unwrap_or_else(fail);
    let builder = Peer::builder(node).identity(identity).data_dir(dir.path()).bootstrap(true);
    let peer = builder.kind(Sum::kind()).start().await.unwrap_or_else(fail);
    peer.joined(Duration::from_secs(30)).await.unwrap_or_else(fail);
    let made = std::sync::atomic::AtomicU64::new(0);
    let make = || async {
        let key = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let actor = peer.create(key, Sum(0), Placement::Here).await.unwrap_or_else(fail);
        Counter(peer.clone(), actor)
    };
    let figure = one(shape, make, || skynet::standin(peer.clone())).await;
    peer.shutdown().await;
    figure
}
