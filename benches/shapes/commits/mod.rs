//! Durable commits: entries that a majority of disks has, one at a time and many at once.

mod etcd;
mod floor;
mod memory;
mod openraft;
mod section;
mod standin;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use benches::{Sample, percentiles};
use clap::ValueEnum;

use crate::common::{fail, on_tokio};

pub use section::section;

/// What is written, in bytes.
const VALUE: usize = 256;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_millis(1500);
/// Writers that wait for one commit each, at once.
const MANY: [(usize, &str); 2] = [(64, FLIGHT_64), (1024, FLIGHT_1024)];

const ALONE: &str = "one in flight";
pub const FLIGHT_1: &str = "one in flight, a second";
pub const FLIGHT_64: &str = "64 in flight, a second";
pub const FLIGHT_1024: &str = "1,024 in flight, a second";
const P50: &str = "one in flight, p50 us";
const P99: &str = "one in flight, p99 us";
const SYNCS: &str = "bare synced writes, a second";
const ROUND_TRIPS: &str = "bare round trips, a second";

/// Who commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// One synced write, and one round trip between two processes over bare quinn.
    Floor,
    /// A process for each peer, and the writers in the one that leads.
    Standin,
    /// The same with the writers in one that follows.
    StandinFollower,
    /// All peers in one process, and the writers too.
    StandinOneProcess,
    /// openraft alone, all members in one process: a log in memory, function calls for a network.
    Openraft,
    /// Three processes, and the writers in a fourth.
    Etcd,
}

/// Where entries are committed.
trait Commits: Clone + Send + Sync + 'static {
    /// Returns when one more is.
    fn commit(&self, number: u64) -> impl Future<Output = ()> + Send;
}

/// Measures one of them with so many voters.
pub fn run(log: Log, voters: usize) -> Sample {
    let dir = tempfile::tempdir().unwrap_or_else(fail);
    match log {
        Log::Floor => on_tokio(floor::run(dir.path())),
        Log::Standin => on_tokio(standin::processes(dir.path(), voters, true)),
        Log::StandinFollower => on_tokio(standin::processes(dir.path(), voters, false)),
        Log::StandinOneProcess => on_tokio(standin::one_process(voters)),
        Log::Openraft => on_tokio(openraft::run(voters)),
        Log::Etcd => on_tokio(etcd::run(dir.path(), voters)),
    }
}

/// What else a process of this program may be: see [`serve`].
#[derive(Debug, Clone, clap::Args)]
pub struct Member {
    dir: PathBuf,
    name: String,
    contact: Option<std::net::SocketAddr>,
}

/// One more peer, until standard input ends.
pub fn serve(member: &Member) {
    on_tokio(standin::serve(member));
}

async fn measure(log: impl Commits) -> Sample {
    in_flight(&log, 16, WARM_UP).await;
    let (rate, micros) = in_flight(&log, 1, TIME).await;
    let mut sample = percentiles(ALONE, micros);
    sample.insert(FLIGHT_1.to_owned(), rate);
    for (writers, name) in MANY {
        sample.insert(name.to_owned(), in_flight(&log, writers, TIME).await.0);
    }
    sample
}

/// Commits a second, and how long each took.
async fn in_flight(log: &impl Commits, writers: usize, time: Duration) -> (f64, Vec<f64>) {
    let begin = Instant::now();
    let writer = |first: usize| {
        let log = log.clone();
        tokio::spawn(async move {
            let (mut micros, mut number) = (Vec::new(), first as u64);
            while begin.elapsed() < time {
                let begin = Instant::now();
                log.commit(number).await;
                micros.push(begin.elapsed().as_secs_f64() * 1e6);
                number += writers as u64;
            }
            micros
        })
    };
    let mut all = Vec::new();
    for writer in (0..writers).map(writer).collect::<Vec<_>>() {
        all.extend(writer.await.unwrap_or_else(fail));
    }
    (all.len() as f64 / begin.elapsed().as_secs_f64(), all)
}
