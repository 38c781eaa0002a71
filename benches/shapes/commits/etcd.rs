//! etcd as it is packaged: three processes on loopback without encryption, asked over gRPC.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use benches::Sample;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::{Commits, VALUE, measure};
use crate::common::fail;

const PROGRAM: &str = "etcd";
const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// Values are written under so many names.
const KEYS: u64 = 10_000;

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

pub fn is_installed() -> bool {
    Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

struct Member(Child);

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[derive(Clone)]
struct Etcd {
    leader: Arc<Vec<Channel>>,
    next: Arc<AtomicUsize>,
}

impl Commits for Etcd {
    async fn commit(&self, number: u64) {
        let channel = self.leader[self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS].clone();
        let key = format!("key-{}", number % KEYS).into_bytes();
        let put = PutRequest { key, value: vec![7; VALUE] };
        let _: Nothing = ask(channel, "/etcdserverpb.KV/Put", put).await.unwrap_or_else(fail);
    }
}

async fn ask<Q, A>(channel: Channel, path: &'static str, message: Q) -> Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let path = path.parse().unwrap_or_else(fail);
    Ok(grpc.unary(Request::new(message), path, ProstCodec::<Q, A>::default()).await?.into_inner())
}

/// The writers are connected to the member that leads.
pub async fn run(dir: &Path, members: usize) -> Sample {
    let ports = free_ports(2 * members);
    let (clients, peers) = ports.split_at(members);
    let _members: Vec<Member> = (0..members).map(|n| member(dir, n, clients, peers)).collect();
    let endpoint = leader(clients).await;
    let channel = || async { endpoint.connect().await.unwrap_or_else(fail) };
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(channel().await);
    }
    measure(Etcd { leader: Arc::new(channels), next: Arc::default() }).await
}

fn free_ports(many: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(fail);
    let held: Vec<TcpListener> = (0..many).map(bind).collect();
    held.iter().map(|port| port.local_addr().unwrap_or_else(fail).port()).collect()
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn member(dir: &Path, n: usize, clients: &[u16], peers: &[u16]) -> Member {
    let all: Vec<String> = peers.iter().enumerate().map(|(n, port)| format!("m{n}={}", url(*port))).collect();
    let mut command = Command::new(PROGRAM);
    command.args(["--name", &format!("m{n}"), "--data-dir"]).arg(dir.join(format!("m{n}")));
    for (option, port) in [("client", clients[n]), ("peer", peers[n])] {
        let advertise =
            if option == "peer" { "--initial-advertise-peer-urls" } else { "--advertise-client-urls" };
        command.args([&format!("--listen-{option}-urls"), &url(port), advertise, &url(port)]);
    }
    command.args(["--initial-cluster", &all.join(","), "--logger", "zap", "--log-level", "error"]);
    Member(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(fail))
}

async fn leader(clients: &[u16]) -> Endpoint {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for port in clients {
            let endpoint = Endpoint::from_shared(url(*port)).unwrap_or_else(fail);
            let Ok(channel) = endpoint.connect().await else { continue };
            let status =
                ask::<_, StatusResponse>(channel, "/etcdserverpb.Maintenance/Status", Nothing {}).await;
            let Ok(StatusResponse { header: Some(header), leader }) = status else { continue };
            if header.member == leader {
                return endpoint;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("etcd elects no leader")
}
