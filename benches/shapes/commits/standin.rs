//! This library, on real QUIC, certificates and disks.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::standin::Peer;
use ::standin::testing::{Cluster, commit_nothing};
use benches::Sample;

use super::{Commits, Member, measure};
use crate::common::fail;
use crate::ours::{self, make_authority};
use crate::remote::Server;

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
    make_authority(dir);
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
    ours::serve(peer(dir, name, *contact).await).await;
}

async fn peer(dir: &Path, name: &str, contact: Option<SocketAddr>) -> Peer {
    ours::peer(dir, name, contact, |peer| peer).await
}
