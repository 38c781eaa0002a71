//! What happened in a run, line by line, in simulated time.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

thread_local! {
    /// When the run on this thread began.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The simulated time since then; outside of a simulation, the time since the run with real processes began.
pub fn elapsed() -> Duration {
    START.get().map_or_else(crate::run::elapsed, |start| start.elapsed())
}

/// That time, for log lines.
pub struct Elapsed;

impl FormatTime for Elapsed {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let at = elapsed();
        write!(w, "{:>5}.{:06}", at.as_secs(), at.subsec_micros())
    }
}

/// A growing list of lines. Clones are the same one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    /// An empty one, that begins now.
    pub fn new() -> Self {
        START.set(Some(Instant::now()));
        Self(Arc::default())
    }

    /// Adds a line.
    pub fn say(&self, text: impl std::fmt::Display) {
        let at = elapsed();
        let line = format!("{:>5}.{:03} {text}", at.as_secs(), at.subsec_millis());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
