//! kameo: QUIC by libp2p, a stream for each request, up to 1024 at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::kameo::actor::{RemoteActorRef, Spawn};
use ::kameo::message::{Context, Message};
use ::kameo::remote::{Behaviour, messaging};
use ::kameo::{Actor, RemoteActor, mailbox, remote_message};
use futures_util::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Carrier, Server, fail, server, stand_by};

const NAME: &str = "sum";

#[derive(Actor, RemoteActor)]
pub struct Sum(u64);

#[derive(Serialize, Deserialize)]
pub struct Add(u64);

#[derive(Serialize, Deserialize)]
pub struct Long(#[serde(with = "serde_bytes")] Vec<u8>);

#[remote_message]
impl Message<Add> for Sum {
    type Reply = u64;
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, u64>) -> u64 {
        self.0 += n;
        self.0
    }
}

#[remote_message]
impl Message<Long> for Sum {
    type Reply = u64;
    async fn handle(&mut self, Long(bytes): Long, _: &mut Context<Self, u64>) -> u64 {
        bytes.len() as u64
    }
}

/// Listens, dials the other if there is one, and returns where it is.
async fn join(other: Option<Multiaddr>) -> Multiaddr {
    let behaviour = |key: &libp2p::identity::Keypair| {
        let config = messaging::Config::default().with_max_concurrent_streams(1024);
        Behaviour::new(key.public().to_peer_id(), config)
    };
    let swarm = SwarmBuilder::with_new_identity().with_tokio().with_quic();
    let mut swarm = swarm.with_behaviour(behaviour).unwrap_or_else(fail).build();
    swarm.behaviour().init_global();
    swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap_or_else(fail)).unwrap_or_else(fail);
    if let Some(other) = other {
        swarm.dial(other).unwrap_or_else(fail);
    }
    let (listens, listening) = oneshot::channel();
    tokio::spawn(async move {
        let mut listens = Some(listens);
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    if let Some(listens) = listens.take() {
                        let _ = listens.send(address);
                    }
                }
                SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                    swarm.add_peer_address(peer_id, endpoint.get_remote_address().clone());
                }
                _ => {}
            }
        }
    });
    listening.await.unwrap_or_else(fail)
}

pub async fn serve() {
    let addr = join(None).await;
    let sum = Sum::spawn_with_mailbox(Sum(0), mailbox::bounded(1024));
    sum.register(NAME).await.unwrap_or_else(fail);
    stand_by(addr).await;
}

#[derive(Clone)]
pub struct Remote {
    sum: RemoteActorRef<Sum>,
    _server: Arc<Server>,
}

impl super::Remote for Remote {
    async fn ask(&self, n: u64) -> u64 {
        self.sum.ask(&Add(n)).await.unwrap_or_else(fail)
    }

    async fn ask_long(&self, bytes: Vec<u8>) -> u64 {
        self.sum.ask(&Long(bytes)).await.unwrap_or_else(fail)
    }
}

pub async fn connect(dir: &Path) -> Remote {
    let server = server(Carrier::Kameo, dir);
    join(Some(server.greeting.parse().unwrap_or_else(fail))).await;
    loop {
        if let Ok(Some(sum)) = RemoteActorRef::<Sum>::lookup(NAME).await {
            return Remote { sum, _server: Arc::new(server) };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
