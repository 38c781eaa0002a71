//! This library: three peers of one process, on real QUIC and real disks.

use std::time::{Duration, Instant};

use benches::Sample;
use pagerank::run::cost::loopback_bytes;
use serde::{Deserialize, Serialize};
use standin::Placement;
use standin::actor::{Actor, Context, Handler, Kind, Message, Policy, When};
use standin::testing::Cluster;

use super::{BACK, CHANGED, FULL, MEMORY, MOVED, noise, rate};
use crate::common::fail;

const PATIENCE: Duration = Duration::from_secs(600);
/// In so many places a hundredth of the state is changed.
const PLACES: usize = 64;
const HOST: usize = 2;

#[derive(Serialize, Deserialize)]
pub(super) struct Blob(#[serde(with = "serde_bytes")] pub(super) Vec<u8>);

impl Actor for Blob {
    const KIND: &'static str = "blob";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// Makes the state so long; it is all new.
#[derive(Serialize, Deserialize)]
struct Fill(usize);
impl Message for Fill {
    const NAME: &'static str = "fill";
    type Reply = ();
}
impl Handler<Fill> for Blob {
    async fn handle(&mut self, Fill(bytes): Fill, _: &mut Context<Self>) {
        self.0 = noise(bytes, 1);
    }
}

/// Changes a hundredth of it.
#[derive(Serialize, Deserialize)]
struct Change;
impl Message for Change {
    const NAME: &'static str = "change";
    type Reply = ();
}
impl Handler<Change> for Blob {
    async fn handle(&mut self, Change: Change, _: &mut Context<Self>) {
        let each = self.0.len() / PLACES;
        for place in self.0.chunks_exact_mut(each) {
            let new = noise(each / 100, 2);
            place[..new.len()].copy_from_slice(&new);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Length;
impl Message for Length {
    const NAME: &'static str = "length";
    type Reply = usize;
}
impl Handler<Length> for Blob {
    async fn handle(&mut self, Length: Length, _: &mut Context<Self>) -> usize {
        self.0.len()
    }
}

pub async fn run(bytes: usize) -> Sample {
    let kind = || Kind::of::<Blob>().handles::<Fill>().handles::<Change>().handles::<Length>();
    let mut cluster = Cluster::start(3, move |peer| peer.kind(kind())).await.unwrap_or_else(fail);
    cluster.everything_lives_again().await.unwrap_or_else(fail);
    let before = status("VmRSS");
    let (peer, home) = (cluster.peer(0).clone(), Placement::On(cluster.node(HOST)));
    let blob = peer.create("blob", Blob(vec![]), home).await.unwrap_or_else(fail);
    peer.ask_within(&blob, Fill(bytes), PATIENCE).await.unwrap_or_else(fail);
    let begin = Instant::now();
    peer.ask_durable(&blob, Length, PATIENCE).await.unwrap_or_else(fail);
    let full = begin.elapsed();
    let most = status("VmHWM") - before;
    peer.ask_within(&blob, Change, PATIENCE).await.unwrap_or_else(fail);
    let (begin, sent) = (Instant::now(), loopback_bytes());
    peer.ask_durable(&blob, Length, PATIENCE).await.unwrap_or_else(fail);
    let (changed, sent) = (begin.elapsed(), loopback_bytes() - sent);
    cluster.kill(HOST);
    cluster.replace(HOST).await.unwrap_or_else(fail);
    let begin = Instant::now();
    assert_eq!(peer.ask_within(&blob, Length, PATIENCE).await.unwrap_or_else(fail), bytes);
    let back = begin.elapsed();
    cluster.shutdown().await;
    let copies = 2.0;
    let figures = [
        (FULL, rate(bytes, full)),
        (BACK, rate(bytes, back)),
        (CHANGED, changed.as_secs_f64()),
        (MOVED, 100.0 * sent / copies / bytes as f64),
        (MEMORY, most / bytes as f64),
    ];
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A figure of this process, in bytes.
fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}
