//! What a run and its peer processes say to each other: one JSON object a line, over the peer's
//! standard input and output.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use standin::id::NodeId;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::graph::{Graph, GraphError};
use crate::rank::Jumps;
use crate::rmat::Rmat;

/// Longest line, in bytes.
pub const MAX_LINE_BYTES: u64 = 1 << 20;
/// Most ranks in one line: 21 bytes each at most.
pub const RANKS_PER_LINE: usize = 16_384;

/// What a peer is told to do. It answers each with the report of the same place below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Wait until all peers are members, then create the actors on them.
    Create { source: Source, nodes: Vec<NodeId>, job: Job },
    /// Begin the job if that was not done yet, and wait until all partitions are further than this.
    Await { beyond: Option<u64>, partitions: usize },
    /// Ask a partition where it is, until it answers.
    Probe { partition: usize },
    /// Say all ranks of the last iteration.
    Collect { partitions: usize },
}

/// Where the graph comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Edges(PathBuf),
    Rmat(Rmat),
}

impl Source {
    /// How the graph is generated, if it is.
    pub fn rmat(&self) -> Option<Rmat> {
        match self {
            Source::Edges(_) => None,
            Source::Rmat(rmat) => Some(*rmat),
        }
    }

    /// The whole graph.
    ///
    /// # Errors
    /// The file cannot be read, or is no graph.
    pub fn open(&self) -> Result<Graph, GraphError> {
        match self {
            Source::Edges(path) => Graph::open(path),
            Source::Rmat(rmat) => Ok(Graph::generate(*rmat)),
        }
    }
}

/// What is to be computed, besides the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub partitions: usize,
    pub iterations: u64,
    /// Shortest time from one superstep to the next.
    pub pace_ms: u64,
    pub jumps: Jumps,
    /// How often segments keep their ranks, if they do.
    pub cut_every_ms: Option<u64>,
}

/// What a peer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Report {
    /// It listens here, and asks to be admitted.
    Listening { addr: SocketAddr },
    /// It is a member.
    Joined,
    /// All actors exist.
    Created,
    /// All partitions have reached an iteration.
    Reached { iteration: u64 },
    /// A partition answered: where it is, and the sum of its ranks there.
    Answer { partition: usize, iteration: u64, sum: u64 },
    /// Some of a partition's ranks, from a place on.
    Ranks { partition: usize, first: usize, ranks: Vec<u64> },
    /// There are no more ranks.
    Collected,
    /// The last `create`, `await` or `collect` came to nothing. It may be told again.
    Failed { error: String },
    /// Something happened in the cluster.
    Saw { event: Sighting },
    /// It cannot go on.
    Fatal { error: String },
}

/// What the run makes of the library's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Sighting {
    Down {
        node: NodeId,
    },
    Replaced {
        node: NodeId,
    },
    /// It may still hold a lease, so its successor waits.
    InUse {
        retry_after_ms: u64,
    },
    Leader {
        node: Option<NodeId>,
        term: u64,
    },
    Recovered {
        actor: String,
    },
    Lost {
        actor: String,
    },
    Repaired {
        copies: u64,
    },
    Other {
        text: String,
    },
}

/// Reads one object; none at the end of the input.
///
/// # Errors
/// A line that is too long, or is not such an object.
pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let length = from.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line).await?;
    if length == 0 { Ok(None) } else { parse(&line).map(Some) }
}

/// Reads the object of one line.
///
/// # Errors
/// The line is too long, or is not such an object.
pub fn parse<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    if line.len() as u64 > MAX_LINE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 1 MiB"));
    }
    let garbled = |error| {
        let start = String::from_utf8_lossy(line.get(..80).unwrap_or(line)).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("not an object of ours: {start:?}: {error}"))
    };
    serde_json::from_slice(line).map_err(garbled)
}

/// Writes one object.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), object: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reads(mut bytes: &[u8]) -> io::Result<Option<Report>> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn objects_survive_the_trip_in_order() {
        let said = [
            Report::Listening { addr: "127.0.0.1:1".parse().unwrap() },
            Report::Failed { error: "a\nb".to_owned() },
            Report::Ranks { partition: 3, first: 0, ranks: vec![u64::MAX; RANKS_PER_LINE] },
            Report::Saw { event: Sighting::Down { node: NodeId::new("worker-1").unwrap() } },
        ];
        let mut pipe = Vec::new();
        for report in &said {
            write(&mut pipe, report).await.unwrap();
        }
        let mut pipe = pipe.as_slice();
        for report in said {
            assert_eq!(read(&mut pipe).await.unwrap(), Some(report));
        }
        assert_eq!(read::<Report>(&mut pipe).await.unwrap(), None);
    }

    #[tokio::test]
    async fn garbage_and_endless_lines_are_errors() {
        assert!(reads(b"hello\n").await.is_err());
        assert!(reads(b"{\"say\":\"no such thing\"}\n").await.is_err());
        assert!(reads(b"{\"say\":\"joi").await.is_err());
        let mut endless = tokio::io::BufReader::new(tokio::io::repeat(b' '));
        let error = read::<Report>(&mut endless).await.unwrap_err();
        assert!(error.to_string().contains("1 MiB"));
    }
}
