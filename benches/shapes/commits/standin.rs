//! This library, on real QUIC, certificates and disks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::standin::Peer;
use ::standin::id::NodeId;
use ::standin::identity::DevAuthority;
use ::standin::testing::{Cluster, commit_nothing};
use benches::Sample;

use super::{Commits, Member, measure};
use crate::common::fail;
use crate::remote::{Server, stand_by};

const PATIENCE: Duration = Duration::from_secs(60);

impl Commits for Peer {
    async fn commit(&self, number: u64) {
        commit_nothing(self, number).await.unwrap_or_else(fail);
    }
}

pub async fn one_process(voters: usize) -> Sample {
    let mut cluster = Cluster::start(voters, |peer| peer).await.unwrap_or_else(fail);
    let leader = cluster.leader().await.unwrap_or_else(fail);
    let sample = measure(cluster.peer(leader).clone()).await;
    cluster.shutdown().await;
    sample
}

/// The founder leads: nothing happens to it.
pub async fn processes(dir: &Path, voters: usize, leads: bool) -> Sample {
    let (certificate, key) = DevAuthority::create("bench").unwrap_or_else(fail).to_pem();
    std::fs::write(dir.join("ca.pem"), certificate).unwrap_or_else(fail);
    std::fs::write(dir.join("ca.key"), key).unwrap_or_else(fail);
    let mut others = Vec::new();
    let mine = if leads {
        let mine = peer(dir, "writer", None).await;
        others.extend((1..voters).map(|n| other(dir, n, mine.status().addr)));
        mine
    } else {
        others.push(other(dir, 1, None));
        let founder = others[0].greeting.parse().unwrap_or_else(fail);
        others.extend((2..voters).map(|n| other(dir, n, Some(founder))));
        peer(dir, "writer", Some(founder)).await
    };
    let all_vote = |status: &::standin::Status| {
        !status.joint && status.members.len() == voters && status.members.values().all(|m| m.votes)
    };
    mine.wait_until(all_vote, PATIENCE).await.unwrap_or_else(fail);
    assert_eq!(mine.status().leads, leads, "the founder does not lead any more");
    let sample = measure(mine.clone()).await;
    assert_eq!(mine.status().leads, leads, "the founder does not lead any more");
    mine.shutdown().await;
    others.into_iter().for_each(Server::end);
    sample
}

fn other(dir: &Path, n: usize, contact: Option<SocketAddr>) -> Server {
    let contact = contact.map(|contact| contact.to_string().into());
    let args = ["serve-commits".into(), dir.into(), format!("other-{n}").into()];
    Server::start(args.into_iter().chain(contact))
}

pub async fn serve(Member { dir, name, contact }: &Member) {
    let peer = peer(dir, name, *contact).await;
    stand_by(peer.status().addr.expect("it listens")).await;
    peer.shutdown().await;
}

async fn peer(dir: &Path, name: &str, contact: Option<SocketAddr>) -> Peer {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_else(fail);
    let authority = DevAuthority::from_pem(&read("ca.pem"), &read("ca.key")).unwrap_or_else(fail);
    let node = NodeId::new(name).unwrap_or_else(fail);
    let identity = authority.issue(&node).unwrap_or_else(fail);
    let builder = Peer::builder(node).identity(identity).data_dir(dir.join(name));
    let peer = builder.bootstrap(contact.is_none()).contacts(contact).start().await.unwrap_or_else(fail);
    peer.joined(PATIENCE).await.unwrap_or_else(fail);
    peer
}
