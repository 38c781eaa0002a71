//! Many small actors on five peers: what their checkpoints cost, and how soon they are back.

mod peers;
mod small;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use benches::Sample;
use clap::ValueEnum;
use futures_util::StreamExt;
use pagerank::run::cost::cpu_s;
use standin::actor::ActorRef;
use standin::testing::checkpoints_committed;
use standin::{Peer, Placement};

use self::peers::Peers;
use self::small::{Change, Save, Small};
use crate::common::{fail, on_tokio};

const PEERS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);
/// Of each peer, calls at once.
const AT_ONCE: usize = 2048;
/// How long what goes on is watched, and how often.
const STEADY: Duration = Duration::from_secs(10);
const FLAT_OUT: Duration = Duration::from_secs(8);
const TICK: Duration = Duration::from_millis(20);

pub const CREATED: &str = "created, a second";
pub const LAG: &str = "lag at most, s";
pub const CORES: &str = "cores";
pub const FLAT: &str = "flat out, checkpoints a second";
pub const BACK: &str = "all back, s";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// A fifth of all actors changes every second; then all as fast as they can.
    Change,
    /// All actors live on one peer, which dies.
    Restore,
}

type Actors = Vec<ActorRef<Small>>;

pub fn run(work: Work, actors: usize) -> Sample {
    let figures = match work {
        Work::Change => on_tokio(change(actors)),
        Work::Restore => on_tokio(restore(actors)),
    };
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn change(actors: usize) -> Vec<(&'static str, f64)> {
    let cluster = Peers::start(PEERS).await;
    let begin = Instant::now();
    let made = cluster.peers.iter().enumerate().map(|(at, peer)| create(peer, at, actors / PEERS));
    let all: Vec<Actors> = futures_util::future::join_all(made).await;
    let created = actors as f64 / begin.elapsed().as_secs_f64();
    let (lag, cores) = steady(&cluster.peers, &all).await;
    let flat = flat_out(&cluster.peers, all).await;
    cluster.shutdown().await;
    vec![(CREATED, created), (LAG, lag), (CORES, cores), (FLAT, flat)]
}

async fn create(peer: &Peer, at: usize, actors: usize) -> Actors {
    let one = |n: usize| async move {
        peer.create(format!("{at}-{n}"), Small::new(), Placement::Here).await.unwrap_or_else(fail)
    };
    futures_util::stream::iter(0..actors).map(one).buffered(AT_ONCE).collect().await
}

/// A fifth of all actors changes every second, each of them every fifth second. How long it took at most until a
/// change was in a committed checkpoint, and how many cores all of that kept busy.
async fn steady(peers: &[Peer], all: &[Actors]) -> (f64, f64) {
    // One that got a snapshot has not counted what that held.
    let committed = || peers.iter().map(checkpoints_committed).max().unwrap_or(0);
    let each = all.first().map_or(0, Vec::len);
    let before = all.iter().map(Vec::len).sum::<usize>() as u64;
    while committed() < before {
        tokio::time::sleep(TICK).await;
    }
    let (begin, busy) = (Instant::now(), cpu_s(std::process::id()));
    // When so many had changed that were not committed yet.
    let mut changed: VecDeque<(u64, Instant)> = VecDeque::new();
    let (mut done, mut lag) = (0, Duration::ZERO);
    let mut cores = 0.0;
    loop {
        let elapsed = begin.elapsed();
        if elapsed < STEADY {
            let due = (each as f64 / 5.0 * elapsed.as_secs_f64()) as usize;
            for n in done..due {
                for (peer, actors) in peers.iter().zip(all) {
                    peer.tell(&actors[n % each], Change).await.unwrap_or_else(fail);
                }
            }
            done = due.max(done);
            changed.push_back(((done * peers.len()) as u64, Instant::now()));
        } else if cores == 0.0 {
            cores = (cpu_s(std::process::id()) - busy) / elapsed.as_secs_f64();
        }
        let saved = committed() - before;
        while changed.front().is_some_and(|(many, _)| *many <= saved) {
            changed.pop_front();
        }
        let Some((_, oldest)) = changed.front() else {
            if elapsed >= STEADY {
                return (lag.as_secs_f64(), cores);
            }
            continue;
        };
        lag = lag.max(oldest.elapsed());
        assert!(elapsed < PATIENCE, "{saved} of {} changes are saved", done * peers.len());
        tokio::time::sleep(TICK).await;
    }
}

/// All actors are saved again and again, as many at once as a peer takes; checkpoints a second.
async fn flat_out(peers: &[Peer], all: Vec<Actors>) -> f64 {
    let begin = Instant::now();
    let mut callers = Vec::new();
    for (peer, actors) in peers.iter().zip(all) {
        for some in actors.chunks(actors.len().div_ceil(AT_ONCE)) {
            let (peer, some) = (peer.clone(), some.to_vec());
            callers.push(tokio::spawn(async move {
                let mut saved = 0_u64;
                for actor in some.iter().cycle() {
                    if begin.elapsed() >= FLAT_OUT {
                        break;
                    }
                    peer.ask_within(actor, Save, PATIENCE).await.unwrap_or_else(fail);
                    saved += 1;
                }
                saved
            }));
        }
    }
    let mut saved = 0;
    for caller in callers {
        saved += caller.await.unwrap_or_else(fail);
    }
    saved as f64 / begin.elapsed().as_secs_f64()
}

async fn restore(actors: usize) -> Vec<(&'static str, f64)> {
    let mut cluster = Peers::start(PEERS).await;
    create(&cluster.peers[PEERS - 1], PEERS - 1, actors).await;
    cluster.replace_last().await;
    let begin = Instant::now();
    let back = &cluster.peers[PEERS - 1];
    back.wait_until(|status| status.actors_here == actors, PATIENCE).await.unwrap_or_else(fail);
    let took = begin.elapsed().as_secs_f64();
    cluster.shutdown().await;
    vec![(BACK, took)]
}
