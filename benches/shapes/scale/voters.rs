//! A log that more and more peers vote on.

use benches::Sample;

use crate::commits::{FLIGHT_1, FLIGHT_64, FLIGHT_1024, Log, run as commits};

const ALONE: &str = "a commit, one in flight";
const AMONG_64: &str = "a commit, 64 in flight";
const AMONG_1024: &str = "a commit, 1,024 in flight";

pub const MEASURES: [&str; 3] = [ALONE, AMONG_64, AMONG_1024];

pub const ABOUT: &str = "A process for each voter, all of them on this machine: see \"Durable commits\". How much time \
     there is between one commit and the next. One in flight waits for as many disks as a majority has, at once; with \
     many in flight the processor is the limit, and each voter writes, sends and applies every entry, so that on one \
     machine the work grows as they do.";

pub fn run(voters: usize) -> Sample {
    let sample = commits(Log::Standin, voters);
    [(ALONE, FLIGHT_1), (AMONG_64, FLIGHT_64), (AMONG_1024, FLIGHT_1024)]
        .map(|(name, rate)| (name.to_owned(), 1e6 / sample[rate]))
        .into()
}
