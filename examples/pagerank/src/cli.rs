//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use standin::id::NodeId;

use crate::rank::Jumps;
use crate::rmat::{MAX_SCALE, Rmat};
use crate::wire::Source;

/// Most peers, partitions and iterations of one run: all of it lives on one machine.
const MAX_PEERS: u64 = 64;
const MAX_PARTITIONS: u64 = 1024;
const MAX_ITERATIONS: u64 = 10_000;

/// PageRank on peers that may die: one process a peer, killed and replaced in the middle.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What else this program can be.
#[derive(Subcommand)]
pub enum Role {
    /// One peer: started by the run, spoken to over its standard input and output.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// The job, and what is to go wrong in it.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// Edge list in SNAP format, plain or .zst
    #[arg(long, value_name = "FILE", default_value_os_t = default_edges())]
    pub edges: PathBuf,
    /// Rank a generated R-MAT graph of 2^SCALE nodes instead (as in Graph500, 16 edges for each)
    #[arg(long, value_name = "SCALE", conflicts_with = "edges")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SCALE)))]
    pub rmat: Option<u32>,
    /// Another seed is another such graph
    #[arg(long, value_name = "N", default_value_t = 1, requires = "rmat")]
    pub seed: u64,
    /// Iterations to compute
    #[arg(long, value_name = "K", default_value_t = 50, value_parser = within(1, MAX_ITERATIONS))]
    pub iterations: u64,
    /// Jump to another quarter of the nodes after so many iterations (topic-sensitive PageRank); 0: anywhere
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = within(0, MAX_ITERATIONS))]
    pub topic_every: u64,
    /// Peers, each a process of its own
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = within(1, MAX_PEERS))]
    pub peers: u64,
    /// Partitions of the graph, each an actor
    #[arg(long, value_name = "P", default_value_t = 44, value_parser = within(1, MAX_PARTITIONS))]
    pub partitions: u64,
    /// Kill a peer with SIGKILL after an iteration; NODE is worker-N, leader or coordinator (may be repeated)
    #[arg(long = "kill", value_name = "NODE@ITERATION")]
    pub kills: Vec<Kill>,
    /// What the replacement finds on its disk; none: there is no replacement
    #[arg(long, value_enum, default_value_t = Replace::Empty)]
    pub replace: Replace,
    /// Wait before the replacement starts
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub after: f64,
    /// The replacement listens where the dead peer did
    #[arg(long)]
    pub same_port: bool,
    /// Shortest time from one superstep to the next
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, value_parser = within(0, 3_600_000))]
    pub pace: u64,
    /// Supersteps from one checkpoint of a partition to the next, at most
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = within(1, MAX_ITERATIONS))]
    pub checkpoint_every: u64,
    /// What survives failures; in supersteps of many MB the reliable messages cost more than the arithmetic
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Checkpoints::Reliable)]
    #[arg(conflicts_with = "checkpoint_every")]
    pub checkpoints: Checkpoints,
    /// Keep the peers' directories and logs here [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Do not compute the ranks in this process as well, to compare with
    #[arg(long)]
    pub unchecked: bool,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    pub json: bool,
    /// Give up, and say where it hangs
    #[arg(long, value_name = "SECONDS", default_value = "110", value_parser = seconds)]
    pub deadline: f64,
}

/// One peer, as the run starts it.
#[derive(Args, Clone)]
pub struct WorkerArgs {
    /// Its node id
    #[arg(long)]
    pub node: NodeId,
    /// Where it listens; port 0 takes a free one
    #[arg(long)]
    pub listen: SocketAddr,
    /// Members to ask for admission
    #[arg(long, value_delimiter = ',')]
    pub contacts: Vec<SocketAddr>,
    /// Its certificate and key
    #[arg(long)]
    pub identity: PathBuf,
    /// Its disk
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Found the cluster
    #[arg(long)]
    pub bootstrap: bool,
    /// Messages from one checkpoint of a partition to the next, at most; 0: segments instead, with plain messages
    #[arg(long)]
    pub checkpoint_every: u64,
}

/// What is kept of the job while it runs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checkpoints {
    /// All messages are reliable, and only who died goes back
    Reliable,
    /// Plain messages; all keep the same superstep, and go back to it after a failure
    EverySecond,
    /// Plain messages, and no checkpoints after the first: after a failure all begin anew
    Off,
}

/// What a replacement finds on its disk.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    Empty,
    Disk,
    None,
}

/// Whom to kill, and after which iteration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    pub victim: Victim,
    pub iteration: u64,
}

/// A peer by its name, or by what it does at that moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Victim {
    Node(NodeId),
    Leader,
    Coordinator,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (victim, iteration) = text.rsplit_once('@').ok_or("not NODE@ITERATION")?;
        let iteration = iteration.parse().map_err(|_| format!("{iteration:?} is no iteration"))?;
        let victim = match victim {
            "leader" => Victim::Leader,
            "coordinator" => Victim::Coordinator,
            node => Victim::Node(NodeId::new(node).map_err(|error| error.to_string())?),
        };
        Ok(Kill { victim, iteration })
    }
}

impl RunArgs {
    /// The node ids of all peers.
    pub fn nodes(&self) -> Vec<NodeId> {
        (1..=self.peers).filter_map(|n| NodeId::new(format!("worker-{n}")).ok()).collect()
    }

    /// Where the graph comes from.
    pub fn source(&self) -> Source {
        match self.rmat {
            Some(scale) => Source::Rmat(Rmat { scale, seed: self.seed }),
            None => Source::Edges(self.edges.clone()),
        }
    }

    /// Where the walk jumps to.
    pub fn jumps(&self) -> Jumps {
        if self.topic_every == 0 { Jumps::Anywhere } else { Jumps::Topics(self.topic_every) }
    }

    /// How many actors of this job live on a peer that has so many of its partitions.
    pub fn actors_of(&self, partitions: usize, coordinates: bool) -> usize {
        // Links that are read from a file are actors of their own.
        let each = if self.rmat.is_none() { 2 } else { 1 };
        let is_reliable = self.checkpoints == Checkpoints::Reliable;
        each * partitions + usize::from(coordinates && is_reliable)
    }

    /// What no single flag can check.
    pub fn check(&self) -> Result<(), String> {
        let nodes = self.nodes();
        if !self.kills.is_empty() && self.peers < 3 && self.replace != Replace::Disk {
            return Err(
                "--kill needs 3 peers: of fewer, no majority is left to admit a replacement".to_owned()
            );
        }
        for Kill { victim, iteration } in &self.kills {
            if let Victim::Node(node) = victim
                && !nodes.contains(node)
            {
                return Err(format!("--kill {node}: the peers are worker-1 to worker-{}", self.peers));
            }
            if *victim == Victim::Coordinator && self.checkpoints != Checkpoints::Reliable {
                return Err("--kill coordinator: there is one only if messages are reliable".to_owned());
            }
            if *iteration >= self.iterations {
                return Err(format!("--kill at iteration {iteration}: there are only {}", self.iterations));
            }
        }
        Ok(())
    }
}

/// The graph that comes with the example.
pub fn default_edges() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/debian-bookworm-depends.tsv.zst").into()
}

fn within(least: u64, most: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(least..=most)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("not within a day".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<RunArgs, String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?;
        cli.run.check().map(|()| cli.run)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_readme_is_there() {
        let run = parse(
            "pagerank --edges f --iterations 9 --peers 3 --partitions 6 --kill worker-2@4 --kill leader@5 \
             --kill coordinator@6 --replace disk --after 1.5 --same-port --pace 20 --checkpoint-every 3 \
             --data-dir d --json --deadline 60",
        )
        .unwrap();
        let victims: Vec<_> = run.kills.iter().map(|kill| (&kill.victim, kill.iteration)).collect();
        let node = Victim::Node(NodeId::new("worker-2").unwrap());
        assert_eq!(victims, [(&node, 4), (&Victim::Leader, 5), (&Victim::Coordinator, 6)]);
        assert_eq!((run.replace, run.after, run.same_port), (Replace::Disk, 1.5, true));
        assert!(parse("pagerank").is_ok());
    }

    #[test]
    fn a_generated_graph_is_told_apart_from_a_file() {
        let run = parse("pagerank --rmat 9 --seed 4 --checkpoints every-second --unchecked").unwrap();
        assert_eq!(run.source(), Source::Rmat(Rmat { scale: 9, seed: 4 }));
        assert_eq!((run.checkpoints, run.actors_of(3, true)), (Checkpoints::EverySecond, 3));
        let run = parse("pagerank").unwrap();
        assert_eq!((run.source(), run.actors_of(3, true)), (Source::Edges(default_edges()), 7));
    }

    #[test]
    fn nonsense_is_refused_before_anything_starts() {
        for line in [
            "--kill worker-2",
            "--kill worker-2@x",
            "--kill a/b@2",
            "--kill worker-12@2",
            "--kill worker-1@50",
            "--peers 2 --kill worker-2@2",
            "--peers 0",
            "--partitions 0",
            "--after -1",
            "--deadline NaN",
            "--replace half",
            "--rmat 40",
            "--seed 3",
            "--rmat 9 --edges f",
            "--checkpoints off --checkpoint-every 2",
            "--checkpoints off --kill coordinator@3",
        ] {
            assert!(parse(&format!("pagerank {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn a_worker_is_told_all_it_needs() {
        let line = "pagerank worker --node worker-3 --listen 127.0.0.1:0 --contacts 127.0.0.1:1,127.0.0.1:2 \
                    --identity i --data-dir d --checkpoint-every 1";
        let Some(Role::Worker(worker)) = Cli::try_parse_from(line.split_whitespace()).unwrap().role else {
            panic!("not a worker");
        };
        assert_eq!((worker.node.as_str(), worker.contacts.len(), worker.bootstrap), ("worker-3", 2, false));
    }
}
