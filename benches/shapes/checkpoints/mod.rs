//! One actor with much state: its checkpoint on two other peers, once in full and once with little changed, and back
//! from there.

mod floor;
mod standin;
mod thousand;

use std::time::Duration;

use ::standin::testing::Prng;
use benches::Sample;
use clap::ValueEnum;

use crate::common::on_tokio;
use crate::quic::Packets;

/// Who keeps the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Keeper {
    /// The slower of bare quinn, to two receivers at once, and of the bare disk, three files.
    Floor,
    /// The same with [packets](Packets) as large as this library's.
    FloorLargePackets,
    /// Three peers in one process.
    Standin,
}

pub const FULL: &str = "in full, MB a second";
pub const BACK: &str = "restored, MB a second";
pub const THOUSAND: &str = "a thousand restored, MB a second";
pub const MOVED: &str = "sent of it when 1% changed, %";
pub const CHANGED: &str = "when 1% changed, s";
pub const QUINN: &str = "over bare quinn, MB a second";
pub const DISK: &str = "onto the bare disk, MB a second";
pub const BOTH: &str = "over bare quinn, then onto the bare disk, MB a second";
pub const MEMORY: &str = "most memory, of the state";

/// Measures one of them with so many MiB.
pub fn run(keeper: Keeper, mib: usize) -> Sample {
    match keeper {
        Keeper::Floor => on_tokio(floor::run(mib << 20, Packets::Usual)),
        Keeper::FloorLargePackets => on_tokio(floor::run(mib << 20, Packets::Large)),
        Keeper::Standin => on_tokio(async move {
            let mut sample = standin::run(mib << 20).await;
            sample.insert(THOUSAND.to_owned(), thousand::run(mib << 20).await);
            sample
        }),
    }
}

/// This library alone, with one actor.
pub fn standin_alone(bytes: usize) -> Sample {
    on_tokio(standin::run(bytes))
}

fn rate(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

/// Bytes that nothing compresses.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Prng::new(seed);
    (0..bytes / 8).flat_map(|_| random.any().to_ne_bytes()).collect()
}
