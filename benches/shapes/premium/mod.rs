//! What a job pays for surviving its machines: PageRank on a large graph, with checkpoints every second, without, and on
//! bare tasks.

use std::io;

use benches::{Goal, Measure, Sample, Section};
use clap::{Parser, ValueEnum};
use pagerank::cli::Cli;

use crate::common::{compare, fail, on_tokio};

/// Who does the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// Bare tokio: a task for each partition in one process, and channels between them.
    Floor,
    /// Actors on three peers, each a process of its own; none of them keeps anything.
    NoCheckpoints,
    /// The same with checkpoints every second.
    Standin,
    /// Reliable messages, and only who died goes back: checkpoints as fast as they become durable.
    Reliable,
}

const WALL: &str = "wall time of a superstep, ms";
const CPU: &str = "processor time of a superstep, ms";
const SENT: &str = "over loopback in a superstep, MB";
/// The ranks as one number: all contenders must come to the same.
const RANKS: &str = "ranks";
const PARTITIONS: usize = 6;
/// Supersteps of a topic: after twice as many the ranks would begin to stand still.
const TOPIC: u64 = 10;
/// So many times fewer supersteps where each takes so much longer.
const SHORTER: u64 = 10;

/// Runs one of them.
pub fn run(contender: Contender, scale: u32, iterations: u64) -> Sample {
    let (checkpoints, iterations) = match contender {
        Contender::Floor | Contender::NoCheckpoints => ("off", iterations),
        Contender::Standin => ("every-second", iterations),
        Contender::Reliable => ("reliable", iterations / SHORTER),
    };
    let flags = format!(
        "pagerank --rmat {scale} --topic-every {TOPIC} --iterations {iterations} --partitions {PARTITIONS} --peers 3 \
         --unchecked --json --deadline 900 --checkpoints {checkpoints}"
    );
    let job = Cli::try_parse_from(flags.split_whitespace()).unwrap_or_else(fail).run;
    let (digest, took, cpu, sent) = if contender == Contender::Floor {
        let outcome = on_tokio(pagerank::bare::run(&job)).unwrap_or_else(fail);
        (outcome.digest, outcome.took.as_secs_f64(), outcome.cpu_s, 0.0)
    } else {
        let summary = on_tokio(pagerank::lead(&job)).unwrap_or_else(fail);
        (summary.digest, summary.steps_s, summary.steps_cpu_s, summary.steps_loopback_bytes)
    };
    let each = |total: f64| total / iterations as f64;
    let mut sample: Sample = [(WALL, each(took * 1e3)), (CPU, each(cpu * 1e3)), (SENT, each(sent / 1e6))]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    if contender != Contender::Reliable {
        // Not all of the digest fits the number, and what does is enough to tell.
        let ranks = digest.get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        sample.insert(RANKS.to_owned(), ranks.expect("a digest has 64 digits") as f64);
    }
    sample
}

/// All of them, in turn.
///
/// # Errors
/// If one fails, or comes to other ranks than the rest.
pub fn section(scale: u32, rounds: usize) -> io::Result<Section> {
    let iterations = iterations(scale);
    let how = ["one-premium", &scale.to_string(), &iterations.to_string()];
    let figures = compare(Contender::value_variants(), rounds, &how)?;
    let mut ranks = figures.iter().filter(|((_, what), _)| what == RANKS).flat_map(|(_, ranks)| &ranks.0);
    let first = ranks.next();
    if !ranks.all(|other| Some(other) == first) {
        return Err(io::Error::other("two contenders came to different ranks"));
    }
    Ok(Section {
        title: "The insurance premium".into(),
        text: text(scale, iterations),
        measures: vec![Measure::less(WALL, "ms"), Measure::less(CPU, "ms"), Measure::less(SENT, "MB")],
        // 3% more wall time.
        goals: vec![Goal::new(WALL, "no-checkpoints", 1.0 / 1.03)],
        figures,
        latency: None,
    })
}

/// So many that a run takes half a minute on two cores: time for many checkpoints.
fn iterations(scale: u32) -> u64 {
    if scale >= 20 { 300 } else { 600 }
}

fn text(scale: u32, iterations: u64) -> String {
    format!(
        "PageRank, {iterations} supersteps on an R-MAT graph of scale {scale} (2^{scale} nodes, sixteen edges for each \
         before duplicates go), in {PARTITIONS} partitions that send to each other what their nodes give; every \
         {TOPIC} supersteps the walk jumps elsewhere, so that the ranks never stand still. The arithmetic is on whole \
         numbers, and the ranks of floor, no-checkpoints and standin must be the same to the last bit. The floor is a \
         tokio task for each partition, in one process. The others are three processes on this machine, two copies of \
         each checkpoint. standin: all keep the same superstep every second, and would go back to it. reliable: \
         nothing goes back but who died, and messages are kept until a checkpoint of their receiver holds them; a \
         tenth of the supersteps.\n\n\
         Where it goes, at scale 20 (`perf`, on a machine that others used as well; processor time of a superstep, not \
         wall time): bare tasks 43 ms; three processes 92 ms, for 15 MB that are written as bytes, encrypted, sent and \
         read; with checkpoints 100 ms. Of what the checkpoints add, two fifths are chunks (cuts, digests, LZ4, and all that \
         again at the holders), a quarter is RocksDB, the rest copies of bytes, memory and TLS; Raft does not show. A \
         superstep of reliable messages took about nine times as long as one of plain messages: each superstep's \
         messages are part of checkpoints, which follow each other without a pause."
    )
}
