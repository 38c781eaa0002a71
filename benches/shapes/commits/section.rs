//! What is compared, with whom, and what is wanted.

use std::io;
use std::process::Command;

use benches::{Goal, Measure, Section, turns};

use super::{FLIGHT_1, FLIGHT_64, FLIGHT_1024, Log, P50, P99, ROUND_TRIPS, SYNCS, etcd};
use crate::common::name;

/// With so many voters.
///
/// # Errors
/// If a contender cannot be measured.
pub fn section(voters: usize, rounds: usize) -> io::Result<Section> {
    let more = |name, unit| Measure { name, unit, is_more_better: true };
    let less = |name, unit| Measure { name, unit, is_more_better: false };
    let (how, myself) = (voters.to_string(), std::env::current_exe()?);
    let who: Vec<String> = contenders(voters).into_iter().map(name).collect();
    let who: Vec<&str> = who.iter().map(String::as_str).collect();
    let figures = turns(&who, rounds, |contender| {
        let mut command = Command::new(&myself);
        command.args(["one-commits", &how, contender]);
        command
    })?;
    Ok(Section {
        title: format!("Durable commits, {voters} voters"),
        text: text(voters),
        measures: vec![
            more(FLIGHT_1, "commits a second"),
            less(P50, "us"),
            less(P99, "us"),
            more(FLIGHT_64, "commits a second"),
            more(FLIGHT_1024, "commits a second"),
            more(SYNCS, "writes a second"),
            more(ROUND_TRIPS, "a second"),
        ],
        goals: goals(voters),
        figures,
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
    let goal = |measure, of, ratio| Goal { measure, of, ratio };
    if voters > FEW {
        return vec![];
    }
    vec![
        goal(FLIGHT_1, "etcd", 1.0),
        goal(FLIGHT_64, "etcd", 1.0),
        goal(FLIGHT_1024, "etcd", 1.0),
        goal(FLIGHT_1, "floor", 1.0 / 3.0),
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
