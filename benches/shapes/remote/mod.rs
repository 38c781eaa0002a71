//! Messages between two processes over loopback, an actor behind them.

mod floor;
mod kameo;
mod ractor;
mod standin;
pub mod tells;

use std::ffi::OsString;
use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use benches::{Sample, median, percentiles};
use clap::ValueEnum;
use tokio::runtime::{self, Handle};

use crate::common::{fail, on_tokio};
use crate::quic::Packets;

const WARM_UP: u64 = 2_000;
const SEQUENTIAL: u64 = 20_000;
const SERIES: usize = 5;
/// Callers that ask in a loop, at once.
const CALLERS: u64 = 256;
const AT_ONCE: u64 = 200_000;
const KIB: usize = 1024;

pub const IN_TURN: &str = "in turn";

/// Who carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Carrier {
    /// Bare quinn with mutual TLS: one stream, frames, one writer.
    Floor,
    /// The same with [packets](crate::quic::Packets) as large as this library's.
    FloorLargePackets,
    /// That, with a thread of its own for the connection at each end, which runs nothing else, as this library's.
    FloorApart,
    Standin,
    /// TCP without encryption.
    RactorCluster,
    /// QUIC by libp2p, 1024 streams.
    Kameo,
}

impl Carrier {
    /// How large the floor's packets may get.
    fn packets(self) -> Packets {
        match self {
            Self::FloorLargePackets | Self::FloorApart => Packets::Large,
            _ => Packets::Usual,
        }
    }

    /// Where the floor's connection runs.
    fn quic(self) -> Handle {
        if self != Self::FloorApart {
            return Handle::current();
        }
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap_or_else(fail);
        let quic = runtime.handle().clone();
        // As long as the process lives.
        std::mem::forget(runtime);
        quic
    }
}

/// An actor in the other process that adds up what it is sent.
trait Remote: Clone + Send + Sync + 'static {
    fn ask(&self, n: u64) -> impl Future<Output = u64> + Send;
    /// A long message; its length comes back.
    fn ask_long(&self, bytes: Vec<u8>) -> impl Future<Output = u64> + Send;
}

/// Serves until its standard input ends. What it prints first tells the other process where it is.
pub fn serve(carrier: Carrier, dir: &Path) {
    match carrier {
        Carrier::Floor | Carrier::FloorLargePackets | Carrier::FloorApart => {
            on_tokio(floor::serve(dir, carrier));
        }
        Carrier::Standin => on_tokio(standin::serve(dir)),
        Carrier::RactorCluster => on_tokio(ractor::serve()),
        Carrier::Kameo => on_tokio(kameo::serve()),
    }
}

/// Measures one carrier, with a second process of this program.
pub fn run(carrier: Carrier) -> Sample {
    let dir = tempfile::tempdir().unwrap_or_else(fail);
    match carrier {
        Carrier::Floor | Carrier::FloorLargePackets | Carrier::FloorApart => {
            on_tokio(async { measure(floor::connect(dir.path(), carrier).await).await })
        }
        Carrier::Standin => on_tokio(standin::run(dir.path())),
        Carrier::RactorCluster => on_tokio(async { measure(ractor::connect(dir.path()).await).await }),
        Carrier::Kameo => on_tokio(async { measure(kameo::connect(dir.path()).await).await }),
    }
}

async fn measure<R: Remote>(remote: R) -> Sample {
    let mut sum = 0;
    for _ in 0..WARM_UP {
        sum += 1;
        assert_eq!(remote.ask(1).await, sum);
    }
    let (mut rates, mut micros) = (Vec::new(), Vec::new());
    for _ in 0..SERIES {
        let begin = Instant::now();
        for _ in 0..SEQUENTIAL {
            sum += 1;
            let begin = Instant::now();
            assert_eq!(remote.ask(1).await, sum);
            micros.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        rates.push(SEQUENTIAL as f64 / begin.elapsed().as_secs_f64());
    }
    let short = at_once(&remote, |remote, _| async move { assert!(remote.ask(1).await > 0) }).await;
    let long = at_once(&remote, |remote, bytes: Arc<Vec<u8>>| async move {
        assert_eq!(remote.ask_long(bytes.to_vec()).await, KIB as u64);
    });
    let long = long.await;
    let mut sample = percentiles(IN_TURN, micros);
    sample.extend(
        [
            ("in turn, a second", median(&rates)),
            ("256 at once, a second", short),
            ("256 at once of 1 KiB, a second", long),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    sample
}

async fn at_once<R: Remote, F: Future<Output = ()> + Send>(
    remote: &R,
    one: impl Fn(R, Arc<Vec<u8>>) -> F + Clone + Send + 'static,
) -> f64 {
    let bytes = Arc::new(vec![7; KIB]);
    let mut rates = Vec::new();
    for _ in 0..3 {
        let begin = Instant::now();
        let done = by_callers(AT_ONCE, |share| {
            let (remote, bytes, one) = (remote.clone(), bytes.clone(), one.clone());
            async move {
                for _ in 0..share {
                    one(remote.clone(), bytes.clone()).await;
                }
            }
        });
        rates.push(done.await as f64 / begin.elapsed().as_secs_f64());
    }
    median(&rates)
}

/// Lets callers do their shares of so many at once; how many that are in all.
async fn by_callers<F>(all: u64, caller: impl Fn(u64) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let share = all / CALLERS;
    let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(caller(share))).collect();
    for caller in callers {
        caller.await.unwrap_or_else(fail);
    }
    share * CALLERS
}

/// The other process. It ends with this one, which holds its standard input.
pub struct Server {
    /// What it said first.
    pub greeting: String,
    child: Child,
}

impl Server {
    /// Starts this program once more, with these arguments.
    pub fn start(args: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap_or_else(fail));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(fail);
        let mut greeting = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut greeting).unwrap_or_else(fail);
        Self { greeting: greeting.trim().to_owned(), child }
    }

    /// Lets it end, and waits for that.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap_or_else(fail);
    }
}

fn server(carrier: Carrier, dir: &Path) -> Server {
    Server::start(["serve".into(), crate::common::name(carrier).into(), dir.into()])
}

/// Asks over the bare link, one after the other.
pub struct BareLink(floor::Remote);

impl BareLink {
    pub async fn connect(dir: &Path) -> Self {
        Self(floor::connect(dir, Carrier::Floor).await)
    }

    pub async fn ask(&self) {
        self.0.ask(1).await;
    }
}

/// Tells the other process where this one is, and waits until that has gone.
pub async fn stand_by(greeting: impl std::fmt::Display) {
    println!("{greeting}");
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    drop(end.await);
}
