//! A directed graph, read from a SNAP edge list: `#` comments, `from<TAB>to`, plain or zstd.
//!
//! The file is input from outside: every line, name and count has a bound, and whatever breaks one
//! is an error that names the line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ruzstd::decoding::StreamingDecoder;

use crate::rmat::Rmat;

/// Longest line, in bytes.
const MAX_LINE_BYTES: u64 = 4096;
/// Most nodes. Below 50 million no rank can overflow: `85 * N * ONE` still fits 64 bits.
const MAX_NODES: usize = 1 << 24;
/// Most edges, duplicates included.
const MAX_EDGES: usize = 1 << 27;
/// The first bytes of every zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why an edge list was refused.
#[derive(Debug)]
pub enum GraphError {
    /// The file could not be read to its end, or is not what its first bytes say.
    Io(PathBuf, io::Error),
    /// A line that is no edge.
    Line { number: u64, problem: &'static str },
    /// More nodes or edges than this program can rank exactly.
    TooLarge(&'static str),
    /// Not one edge or name in the whole file.
    Empty,
}

impl std::error::Error for GraphError {}

impl std::fmt::Display for GraphError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GraphError::Io(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            GraphError::Line { number, problem } => write!(f, "line {number} of the edge list {problem}"),
            GraphError::TooLarge(what) => write!(f, "the edge list has too many {what}"),
            GraphError::Empty => f.write_str("the edge list has no edges"),
        }
    }
}

/// Nodes in byte order of their names; edges without duplicates and self-loops.
#[derive(Debug, PartialEq, Eq)]
pub struct Graph {
    names: Vec<String>,
    /// (from, to), sorted.
    edges: Vec<(u32, u32)>,
}

impl Graph {
    /// Reads an edge list from a file. Whether it is compressed is told by its first bytes.
    pub fn open(path: &Path) -> Result<Self, GraphError> {
        let io_error = |error| GraphError::Io(path.to_owned(), error);
        let mut file = BufReader::new(File::open(path).map_err(io_error)?);
        let compressed = file.fill_buf().map_err(io_error)?.starts_with(&ZSTD_MAGIC);
        let mut reader = Reader::default();
        if compressed {
            while !file.fill_buf().map_err(io_error)?.is_empty() {
                let mut frame =
                    StreamingDecoder::new(&mut file).map_err(|e| io_error(io::Error::other(e)))?;
                reader.read(path, BufReader::new(&mut frame))?;
                // The decoder computes the checksum and leaves the comparison to its caller.
                let stated = frame.decoder.get_checksum_from_data();
                if stated.is_some() && stated != frame.decoder.get_calculated_checksum() {
                    return Err(io_error(io::Error::other("its checksum does not match: it is damaged")));
                }
            }
        } else {
            reader.read(path, file)?;
        }
        reader.finish()
    }

    /// A generated graph: its nodes are numbers.
    pub fn generate(rmat: Rmat) -> Self {
        let mut edges: Vec<_> = rmat.edges().filter(|(from, to)| from != to).collect();
        edges.sort_unstable();
        edges.dedup();
        Self { names: Self::names_of(rmat), edges }
    }

    /// The names of the nodes of a generated graph, in byte order.
    pub fn names_of(rmat: Rmat) -> Vec<String> {
        let width = rmat.nodes().saturating_sub(1).to_string().len();
        (0..rmat.nodes()).map(|node| format!("{node:0width$}")).collect()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The nodes' names, in byte order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The edges as (from, to), sorted.
    pub fn edges(&self) -> &[(u32, u32)] {
        &self.edges
    }

    /// How many edges leave each node.
    pub fn outdegrees(&self) -> Vec<u32> {
        let mut degrees = vec![0; self.names.len()];
        for &(from, _) in &self.edges {
            degrees[from as usize] += 1;
        }
        degrees
    }
}

/// What was read so far: names are numbered in order of appearance.
#[derive(Default)]
struct Reader {
    numbers: HashMap<String, u32>,
    edges: Vec<(u32, u32)>,
    lines: u64,
}

impl Reader {
    fn read(&mut self, path: &Path, mut input: impl BufRead) -> Result<(), GraphError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut input)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut line)
                .map_err(|error| GraphError::Io(path.to_owned(), error))?;
            if length == 0 {
                return Ok(());
            }
            self.lines += 1;
            self.line(&line)?;
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), GraphError> {
        let bad = |problem| GraphError::Line { number: self.lines, problem };
        if line.len() as u64 > MAX_LINE_BYTES {
            return Err(bad("is longer than 4096 bytes"));
        }
        let line = std::str::from_utf8(line).map_err(|_| bad("is not UTF-8"))?.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut tokens = line.split_ascii_whitespace();
        let (Some(from), Some(to), None) = (tokens.next(), tokens.next(), tokens.next()) else {
            return Err(bad("is not `from<TAB>to`"));
        };
        // Names end up on a terminal, where a control character can do harm.
        if from.chars().chain(to.chars()).any(char::is_control) {
            return Err(bad("has a control character in a name"));
        }
        let (from, to) = (self.number(from)?, self.number(to)?);
        if self.edges.len() == MAX_EDGES {
            return Err(GraphError::TooLarge("edges"));
        }
        if from != to {
            self.edges.push((from, to));
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> Result<u32, GraphError> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let number = self.numbers.len();
        if number == MAX_NODES {
            return Err(GraphError::TooLarge("nodes"));
        }
        self.numbers.insert(name.to_owned(), number as u32);
        Ok(number as u32)
    }

    /// Renumbers the nodes in byte order of their names.
    fn finish(self) -> Result<Graph, GraphError> {
        let mut names: Vec<(String, u32)> = self.numbers.into_iter().collect();
        if names.is_empty() {
            return Err(GraphError::Empty);
        }
        names.sort_unstable();
        let mut place = vec![0; names.len()];
        for (new, (_, old)) in names.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        let renumber = |(from, to): (u32, u32)| (place[from as usize], place[to as usize]);
        let mut edges: Vec<_> = self.edges.into_iter().map(renumber).collect();
        edges.sort_unstable();
        edges.dedup();
        Ok(Graph { names: names.into_iter().map(|(name, _)| name).collect(), edges })
    }
}

/// A graph from text, for tests.
#[cfg(test)]
pub fn parse(text: impl AsRef<[u8]>) -> Result<Graph, GraphError> {
    let mut reader = Reader::default();
    reader.read(Path::new("test"), text.as_ref())?;
    reader.finish()
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
