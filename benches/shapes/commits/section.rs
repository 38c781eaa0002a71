//! What is compared, with whom, and what is wanted.

use std::io;

use benches::{Goal, Measure, Section};

use super::{ALONE, FLIGHT_1, FLIGHT_64, FLIGHT_1024, Log, P50, P99, ROUND_TRIPS, SYNCS, etcd};
use crate::common::compare;

/// With so many voters.
///
/// # Errors
/// If a contender cannot be measured.
pub fn section(voters: usize, rounds: usize) -> io::Result<Section> {
    let figures = compare(&contenders(voters), rounds, &["one-commits", &voters.to_string()])?;
    Ok(Section {
        title: format!("Durable commits, {voters} voters"),
        text: text(voters),
        measures: vec![
            Measure::more(FLIGHT_1, "commits a second"),
            Measure::less(P50, "us"),
            Measure::less(P99, "us"),
            Measure::more(FLIGHT_64, "commits a second"),
            Measure::more(FLIGHT_1024, "commits a second"),
            Measure::more(SYNCS, "writes a second"),
            Measure::more(ROUND_TRIPS, "a second"),
        ],
        goals: goals(voters),
        figures,
        latency: (voters <= FEW).then_some((ALONE, "latency-commits.svg")),
    })
}

/// With few voters, whom etcd's users know; with many, only how our own grows.
fn contenders(voters: usize) -> Vec<Log> {
    let mut all = vec![Log::Floor, Log::Standin, Log::StandinOneProcess, Log::Openraft];
    if voters <= FEW {
        all.push(Log::StandinFollower);
        all.extend(etcd::is_installed().then_some(Log::Etcd));
    }
    all
}

const FEW: usize = 5;

fn goals(voters: usize) -> Vec<Goal> {
    if voters > FEW {
        return vec![];
    }
    vec![
        Goal::new(FLIGHT_1, "etcd", 1.0),
        Goal::new(FLIGHT_64, "etcd", 1.0),
        Goal::new(FLIGHT_1024, "etcd", 1.0),
        Goal::new(FLIGHT_1, "floor", 1.0 / 3.0),
    ]
}

fn text(voters: usize) -> String {
    let what = format!(
        "An entry of 256 bytes (a checkpoint's commit, which is refused when it is applied: there is no such actor) \
         goes into the log and onto the disks of a majority of {voters}; whoever wrote it hears when it is applied. In \
         flight: so many writers, each with one entry at a time, for 1.5 s. All data directories are on one disk. \
         standin: a process for each peer, mutual TLS, the writers in the one that leads; standin-one-process: all of \
         them in one. openraft: alone, in one process, its log in memory and no network, so nothing is durable. "
    );
    let rest = if voters > FEW { "" } else { FEW_TEXT };
    what + rest.trim_start()
}

const FEW_TEXT: &str = "
standin-follower: the writers in a peer that does not lead, so that each entry travels to the leader first. etcd: \
3.4 as Debian has it, three processes without encryption, values of 256 bytes put over gRPC by a fourth process, with \
four connections to the member that leads. standin's writers spare that way, standin-follower's do not: the goals are \
for standin, but hold etcd against both. The floor is a write of 512 bytes that is synced, and then a round trip over \
bare quinn to another process.

Where the time goes, by perf, three peers in one process on two busy cores (so only shares mean anything). One in \
flight waits: for two syncs, that of the leader and that of a follower, which are side by side, a round trip, and the \
turns of a dozen tasks. Of the processor's time 23% is fdatasync (the log file grows, so its inode is written too), \
12% quinn, 7% openraft's core. With 1,024 in flight the processor is the limit: 15% is applying entries, 9% RocksDB's \
writes, 6% quinn, 11% making bytes of entries (once for the disk, and once for each follower).";
