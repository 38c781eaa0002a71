//! What happened in a run, line by line, in simulated time; and the same for who draws it.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::report::{Answer, Entry, Happening};

thread_local! {
    /// When the run on this thread began.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When its calls came to their ends, and how.
    static ANSWERS: RefCell<Vec<(u64, Answer)>> = const { RefCell::new(vec![]) };
}

/// What is kept of a run for drawing: more is not drawn.
const MOST_ENTRIES: usize = 2_000_000;

/// The simulated time since then; outside of a simulation, the time since the run with real processes began.
pub fn elapsed() -> Duration {
    START.get().map_or_else(crate::run::elapsed, |start| start.elapsed())
}

fn now_ms() -> u64 {
    u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Notes that a call of the run on this thread came to its end.
pub fn answered(answer: Answer) {
    ANSWERS.with_borrow_mut(|answers| {
        if answers.len() < MOST_ENTRIES {
            answers.push((now_ms(), answer));
        }
    });
}

/// That time, for log lines.
pub struct Elapsed;

impl FormatTime for Elapsed {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let at = elapsed();
        write!(w, "{:>5}.{:06}", at.as_secs(), at.subsec_micros())
    }
}

/// A growing list of lines, and one of entries. Clones are the same ones.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    entries: Vec<Entry>,
}

impl Trace {
    /// An empty one, that begins now.
    pub fn new() -> Self {
        START.set(Some(Instant::now()));
        ANSWERS.take();
        Self(Arc::default())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub fn say(&self, text: impl std::fmt::Display) {
        let at = elapsed();
        let line = format!("{:>5}.{:03} {text}", at.as_secs(), at.subsec_millis());
        // For a run that does not end.
        tracing::info!("{text}");
        self.kept().lines.push(line);
    }

    /// Adds an entry. It is no line: what is drawn changes no trace.
    pub fn note(&self, what: Happening) {
        let mut kept = self.kept();
        if kept.entries.len() < MOST_ENTRIES {
            kept.entries.push(Entry { at_ms: now_ms(), what });
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.kept().lines.clone()
    }

    /// All entries so far, and the ends of all calls on this thread, in order of time.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all = self.kept().entries.clone();
        let answers = ANSWERS.with_borrow(Clone::clone).into_iter();
        all.extend(answers.map(|(at_ms, answer)| Entry { at_ms, what: Happening::Answered { answer } }));
        all.sort_by_key(|entry| entry.at_ms);
        all
    }
}
