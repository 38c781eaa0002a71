//! What one commit cannot do without: a write that is synced, and a round trip to another process.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use benches::{Sample, percentiles};

use super::{ALONE, FLIGHT_1, ROUND_TRIPS, SYNCS, TIME, WARM_UP};
use crate::common::fail;
use crate::remote::BareLink;

const BLOCK: usize = 512;

/// One after the other. This future is polled by a thread of its own, so that it may wait for the disk.
pub async fn run(dir: &Path) -> Sample {
    let link = BareLink::connect(dir).await;
    let mut file = File::create(dir.join("log")).unwrap_or_else(fail);
    let (mut syncs, mut trips, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP + TIME {
        let start = Instant::now();
        file.write_all(&[7; BLOCK]).unwrap_or_else(fail);
        file.sync_data().unwrap_or_else(fail);
        let synced = start.elapsed();
        link.ask().await;
        let all = start.elapsed();
        if begin.elapsed() > WARM_UP {
            syncs.push(micros(synced));
            trips.push(micros(all - synced));
            both.push(micros(all));
        }
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let rates = [(FLIGHT_1, &both), (SYNCS, &syncs), (ROUND_TRIPS, &trips)];
    let rates = rates.map(|(name, all)| (name.to_owned(), 1e6 / mean(all)));
    let mut sample = percentiles(ALONE, both);
    sample.extend(rates);
    sample
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
