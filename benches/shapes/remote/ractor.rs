//! ractor_cluster: TCP, no encryption.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, client_connect};

use super::{Carrier, Server, fail, server, stand_by};

const GROUP: &str = "sums";
const COOKIE: &str = "bench";

pub struct Sum;

#[derive(RactorClusterMessage)]
pub enum Add {
    #[rpc]
    Ask(u64, RpcReplyPort<u64>),
    #[rpc]
    Long(Vec<u8>, RpcReplyPort<u64>),
}

impl Actor for Sum {
    type Msg = Add;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Add>, (): ()) -> Result<u64, ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![me.get_cell()]);
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Add>, message: Add, sum: &mut u64) -> Result<(), ActorProcessingErr> {
        let (answer, reply) = match message {
            Add::Ask(n, reply) => {
                *sum += n;
                (*sum, reply)
            }
            Add::Long(bytes, reply) => (bytes.len() as u64, reply),
        };
        let _ = reply.send(answer);
        Ok(())
    }
}

async fn node(name: &str) -> (ActorRef<NodeServerMessage>, u16) {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(fail);
    let port = free.local_addr().unwrap_or_else(fail).port();
    drop(free);
    let server =
        NodeServer::new(port, COOKIE.to_owned(), name.to_owned(), "127.0.0.1".to_owned(), None, None);
    (Actor::spawn(None, server, ()).await.unwrap_or_else(fail).0, port)
}

pub async fn serve() {
    let (_, port) = node("server").await;
    Actor::spawn(None, Sum, ()).await.unwrap_or_else(fail);
    stand_by(format!("127.0.0.1:{port}")).await;
}

#[derive(Clone)]
pub struct Remote {
    sum: ActorRef<Add>,
    _server: Arc<Server>,
}

impl super::Remote for Remote {
    async fn ask(&self, n: u64) -> u64 {
        call!(self.sum, Add::Ask, n).unwrap_or_else(fail)
    }

    async fn ask_long(&self, bytes: Vec<u8>) -> u64 {
        call!(self.sum, Add::Long, bytes).unwrap_or_else(fail)
    }
}

pub async fn connect(dir: &Path) -> Remote {
    let server = server(Carrier::RactorCluster, dir);
    let (node, _) = node("client").await;
    client_connect(&node, server.greeting.clone()).await.unwrap_or_else(fail);
    loop {
        if let Some(cell) = pg::get_members(&GROUP.to_owned()).into_iter().next() {
            return Remote { sum: cell.into(), _server: Arc::new(server) };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
