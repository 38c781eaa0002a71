//! What happened in a run, line by line, in simulated time.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// A growing list of lines. Clones are the same one.
#[derive(Clone)]
pub struct Trace {
    start: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    /// An empty one, that begins now.
    pub fn new() -> Self {
        Self { start: Instant::now(), lines: Arc::default() }
    }

    /// Adds a line.
    pub fn say(&self, text: impl std::fmt::Display) {
        let at = self.start.elapsed();
        let line = format!("{:>5}.{:03} {text}", at.as_secs(), at.subsec_millis());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
