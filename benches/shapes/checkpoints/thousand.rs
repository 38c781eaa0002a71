//! As much state, but of a thousand actors: back from two holders at once.

use std::time::{Duration, Instant};

use ::standin::actor::Kind;
use ::standin::testing::Cluster;
use ::standin::{CreateOptions, Placement};
use futures_util::StreamExt;

use super::standin::Blob;
use super::{noise, rate};
use crate::common::fail;

const ACTORS: usize = 1000;
const HOST: usize = 2;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(600);

/// From the admission of a replacement with an empty disk until all run there, in MB a second.
pub async fn run(bytes: usize) -> f64 {
    let mut cluster = Cluster::start(3, |peer| peer.kind(Kind::of::<Blob>())).await.unwrap_or_else(fail);
    let (peer, home) = (cluster.peer(0), CreateOptions::from(Placement::On(cluster.node(HOST))));
    let create = |n: usize| {
        let (peer, home) = (peer.clone(), home.clone());
        async move {
            let blob = Blob(noise(bytes / ACTORS, n as u64));
            peer.create(n.to_string(), blob, home).await.unwrap_or_else(fail);
        }
    };
    futures_util::stream::iter(0..ACTORS).for_each_concurrent(AT_ONCE, create).await;
    cluster.kill(HOST);
    cluster.replace(HOST).await.unwrap_or_else(fail);
    let begin = Instant::now();
    let back = cluster.peer(HOST).wait_until(|status| status.actors_here == ACTORS, PATIENCE);
    back.await.unwrap_or_else(fail);
    let back = begin.elapsed();
    cluster.shutdown().await;
    rate(bytes, back)
}
