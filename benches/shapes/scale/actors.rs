//! A directory of many actors, as one peer keeps it: no cluster, no network, a disk of memory.

use benches::Sample;
use standin::testing::Directory;

use super::worked;
use crate::common::fail;

pub const MEMORY: &str = "memory of one peer for each actor";
const SNAPSHOT_BYTES: &str = "snapshot, for each actor";
const SNAPSHOT: &str = "snapshot taken";
const INSTALL: &str = "snapshot taken over by a new learner";
const CREATE: &str = "one more actor, its entries applied";

pub const MEASURES: [(&str, &str); 5] =
    [(MEMORY, "bytes"), (SNAPSHOT_BYTES, "bytes"), (SNAPSHOT, "ms"), (INSTALL, "ms"), (CREATE, "us")];

pub const ABOUT: &str = "The directory as every peer keeps it, of actors with a name of 15 bytes and a committed \
     checkpoint on three disks, at home on 31 members in turn. Memory is what the process holds more (its resident \
     set), allocator and all. A snapshot is taken as openraft has it taken: the state is copied, encoded, and written \
     to a disk of memory. A new learner decodes it, writes it, and replaces what it had; the way over the network is \
     not in it. One more actor is two entries, its creation and its first checkpoint. Times are processor time of one \
     thread.";

const MEMBERS: u64 = 31;
const BATCH: u64 = 500;
/// Of small directories there are several, or their memory would drown in pages.
const AT_LEAST: u64 = 100_000;
const MORE: u64 = 2_000;

pub fn run(actors: u64) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap_or_else(fail);
    runtime.block_on(measure(actors))
}

async fn measure(actors: u64) -> Sample {
    let times = (AT_LEAST / actors).max(1);
    // What the first one needs once only is there then.
    drop(directory(BATCH).await);
    let before = resident();
    let mut all = Vec::new();
    for _ in 0..times {
        all.push(directory(actors).await);
    }
    let memory = (resident() - before) / (times * actors) as f64;
    let mut one = all.swap_remove(0);
    drop(all);
    let create = one_more(&mut one, actors).await;
    let begin = worked();
    let mut taken = Vec::new();
    for _ in 0..times {
        taken.push(one.snapshot().await.unwrap_or_else(fail));
    }
    let snapshot = (worked() - begin) / times as f64;
    let bytes = taken[0].bytes() as f64 / (actors + MORE) as f64;
    let mut new = Directory::new(MEMBERS).await.unwrap_or_else(fail);
    let begin = worked();
    for snapshot in taken {
        new.install(snapshot).await.unwrap_or_else(fail);
    }
    let install = (worked() - begin) / times as f64;
    let all = usize::try_from(actors + MORE).unwrap_or_else(fail);
    assert_eq!(new.actors(), (all, all));
    [
        (MEMORY, memory),
        (SNAPSHOT_BYTES, bytes),
        (SNAPSHOT, snapshot * 1e3),
        (INSTALL, install * 1e3),
        (CREATE, create * 1e6),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

async fn directory(actors: u64) -> Directory {
    let mut directory = Directory::new(MEMBERS).await.unwrap_or_else(fail);
    for first in (0..actors).step_by(BATCH as usize) {
        let entry = directory.prepare(first..actors.min(first + BATCH), 0).unwrap_or_else(fail);
        directory.apply(entry).await.unwrap_or_else(fail);
    }
    let all = usize::try_from(actors).unwrap_or_else(fail);
    assert_eq!(directory.actors(), (all, all), "an actor has no checkpoint");
    directory
}

/// How long one more takes, in seconds.
async fn one_more(directory: &mut Directory, actors: u64) -> f64 {
    // All over the names, each between two that are there.
    let number = |n: u64| 10_000_000 + n * 7919 % (MORE * 10) * 100;
    let entry = |n| directory.prepare(number(n)..number(n) + 1, n).unwrap_or_else(fail);
    let entries: Vec<_> = (0..MORE).map(entry).collect();
    let begin = worked();
    for entry in entries {
        directory.apply(entry).await.unwrap_or_else(fail);
    }
    let all = (worked() - begin) / MORE as f64;
    let count = usize::try_from(actors + MORE).unwrap_or_else(fail);
    assert_eq!(directory.actors(), (count, count), "an actor has no checkpoint");
    all
}

/// What this process holds in memory, in bytes, exactly.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0
}
