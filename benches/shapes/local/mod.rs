//! Messages within one process: two tokio workers, mailboxes of 1024 where they are bounded.

mod actix;
mod floor;
mod kameo;
mod ractor;
mod skynet;
mod standin;

use std::future::Future;
use std::time::{Duration, Instant};

use benches::Sample;
use clap::ValueEnum;

use crate::common::{fail, on_tokio};

/// What a mailbox holds.
const MAILBOX: usize = 1024;
/// Pairs of a caller and an actor that talk at once.
const PAIRS: u64 = 16;
/// Those that send to one actor at once.
const FAN_IN: u64 = 4;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One caller asks one actor, one message after the other; a second.
    Ask1,
    /// Sixteen such pairs at once; asks a second.
    Ask16,
    /// One caller tells one actor; tells a second, until the last is handled.
    Tell1,
    /// Four callers tell one actor.
    FanIn,
    /// 111,111 actors: each makes ten and asks them; milliseconds.
    Skynet,
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    Floor,
    Standin,
    Ractor,
    Kameo,
    Actix,
}

/// An actor that adds up what it is sent.
trait Counter: Clone + Send + Sync + 'static {
    /// Adds, and returns the sum.
    fn ask(&self, n: u64) -> impl Future<Output = u64> + Send;
    /// Adds, waiting for room if there is a bound.
    fn tell(&self, n: u64) -> impl Future<Output = ()> + Send;
}

/// Runs one shape with one contender, on a runtime of its own.
pub fn run(shape: Shape, contender: Contender) -> Sample {
    let (name, value) = match contender {
        Contender::Actix => actix::run(shape),
        Contender::Floor => {
            on_tokio(async move { one(shape, || async { floor::counter() }, skynet::floor).await })
        }
        Contender::Standin => on_tokio(standin::run(shape)),
        Contender::Ractor => on_tokio(async move { one(shape, ractor::counter, skynet::ractor).await }),
        Contender::Kameo => {
            on_tokio(async move { one(shape, || async { kameo::counter() }, skynet::kameo).await })
        }
    };
    [(name.to_owned(), value)].into()
}

async fn one<C, M, F, S>(shape: Shape, make: M, skynet: impl FnOnce() -> S) -> (&'static str, f64)
where
    C: Counter,
    M: Fn() -> F,
    F: Future<Output = C>,
    S: Future<Output = u64> + Send + 'static,
{
    match shape {
        Shape::Ask1 => ("per second", asks(vec![make().await], 300_000).await),
        Shape::Ask16 => {
            let mut counters = Vec::new();
            for _ in 0..PAIRS {
                counters.push(make().await);
            }
            ("per second", asks(counters, 50_000).await)
        }
        Shape::Tell1 => ("per second", tells(make().await, 1, 1_000_000).await),
        Shape::FanIn => ("per second", tells(make().await, FAN_IN, 250_000).await),
        Shape::Skynet => {
            let (sum, took) = timed(skynet()).await;
            assert_eq!(sum, 4_999_950_000, "the sum of all numbers below 100,000");
            ("ms", took.as_secs_f64() * 1e3)
        }
    }
}

/// One driver for each counter, each asking so often.
async fn asks<C: Counter>(counters: Vec<C>, each: u64) -> f64 {
    let drivers = counters.len() as f64;
    let drive = |counter: C| async move {
        for n in 1..=each {
            assert_eq!(counter.ask(1).await, n);
        }
    };
    let ((), took) = timed(joined(counters.into_iter().map(drive))).await;
    drivers * each as f64 / took.as_secs_f64()
}

async fn tells<C: Counter>(counter: C, senders: u64, each: u64) -> f64 {
    let drive = |counter: C| async move {
        for _ in 0..each {
            counter.tell(1).await;
        }
    };
    let all = senders * each;
    let (sum, took) = timed(async {
        joined((0..senders).map(|_| drive(counter.clone()))).await;
        counter.ask(0).await
    })
    .await;
    assert_eq!(sum, all, "messages are missing");
    all as f64 / took.as_secs_f64()
}

/// Runs all at once, as tasks.
async fn joined<F: Future<Output = ()> + Send + 'static>(all: impl Iterator<Item = F>) {
    for task in all.map(tokio::spawn).collect::<Vec<_>>() {
        task.await.unwrap_or_else(fail);
    }
}

/// A task's result, and how long it took.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let result = work.await;
    (result, begin.elapsed())
}
