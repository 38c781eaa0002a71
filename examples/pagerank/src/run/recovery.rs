//! One kill, and how long it took until everything was as before. All times count from the start of
//! the run.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use standin::id::NodeId;

/// From SIGKILL to the first correct answer.
#[derive(Debug)]
pub struct Recovery {
    pub node: NodeId,
    /// The iteration that was complete when it was killed.
    pub iteration: u64,
    /// The partition that is asked until it answers; none lived there.
    pub probe: Option<usize>,
    /// How many actors lived there.
    actors: usize,
    pub killed: Duration,
    recovered: BTreeSet<String>,
    detect: Option<Duration>,
    admit: Option<Duration>,
    restore: Option<Duration>,
    answer: Option<Duration>,
}

/// Milliseconds from SIGKILL; null for what did not happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KillReport {
    pub node: NodeId,
    /// Not among the keys of the JSON object, but in the table.
    #[serde(skip)]
    pub iteration: u64,
    pub detect_ms: Option<u64>,
    pub admit_ms: Option<u64>,
    pub restore_ms: Option<u64>,
    pub answer_ms: Option<u64>,
    pub actors: usize,
}

impl Recovery {
    pub fn new(node: NodeId, iteration: u64, actors: usize, probe: Option<usize>, killed: Duration) -> Self {
        Self {
            node,
            iteration,
            probe,
            actors,
            killed,
            recovered: BTreeSet::new(),
            detect: None,
            admit: None,
            restore: None,
            answer: None,
        }
    }

    /// A survivor, or the replacement, noticed. True the first time.
    pub fn detected(&mut self, now: Duration) -> bool {
        let first = self.detect.is_none();
        self.detect.get_or_insert(now);
        first
    }

    /// Its replacement is a member. True the first time.
    pub fn admitted(&mut self, now: Duration) -> bool {
        let first = self.admit.is_none();
        self.admit.get_or_insert(now);
        self.detected(now);
        first
    }

    /// One of its actors runs again. True when it was the last of them.
    pub fn recovered(&mut self, actor: String, now: Duration) -> bool {
        let new = self.recovered.insert(actor);
        let last = new && self.recovered.len() == self.actors;
        if last {
            self.restore.get_or_insert(now);
        }
        last
    }

    /// The partition answered, and correctly. True the first time.
    pub fn answered(&mut self, now: Duration) -> bool {
        let first = self.answer.is_none();
        self.answer.get_or_insert(now);
        first
    }

    /// How many of its actors run again, and how many there are.
    pub fn actors(&self) -> (usize, usize) {
        (self.recovered.len(), self.actors)
    }

    pub fn is_admitted(&self) -> bool {
        self.admit.is_some()
    }

    pub fn needs_answer(&self) -> bool {
        self.probe.is_some() && self.answer.is_none()
    }

    /// Whether nothing is left to wait for.
    pub fn is_over(&self) -> bool {
        self.is_admitted() && self.recovered.len() >= self.actors && !self.needs_answer()
    }

    pub fn report(&self) -> KillReport {
        let since = |moment: Option<Duration>| {
            moment.map(|m| u64::try_from(m.saturating_sub(self.killed).as_millis()).unwrap_or(u64::MAX))
        };
        KillReport {
            node: self.node.clone(),
            iteration: self.iteration,
            detect_ms: since(self.detect),
            admit_ms: since(self.admit),
            restore_ms: since(self.restore),
            answer_ms: since(self.answer),
            actors: self.recovered.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn recovery(actors: usize, probe: Option<usize>) -> Recovery {
        Recovery::new(NodeId::new("worker-7").unwrap(), 20, actors, probe, at(1000))
    }

    #[test]
    fn the_first_of_each_counts() {
        let mut recovery = recovery(2, Some(6));
        assert!(recovery.detected(at(1900)) && !recovery.detected(at(1950)));
        assert!(recovery.admitted(at(2000)) && !recovery.admitted(at(2100)));
        assert!(!recovery.recovered("a".to_owned(), at(2200)));
        assert!(!recovery.recovered("a".to_owned(), at(2300)), "the same actor twice is one");
        assert!(!recovery.is_over());
        assert!(recovery.recovered("b".to_owned(), at(2400)));
        assert!(!recovery.is_over());
        assert!(recovery.answered(at(2250)) && !recovery.answered(at(2700)));
        assert!(recovery.is_over());
        let report = recovery.report();
        assert_eq!(
            (report.detect_ms, report.admit_ms, report.restore_ms, report.answer_ms, report.actors),
            (Some(900), Some(1000), Some(1400), Some(1250), 2)
        );
    }

    #[test]
    fn an_admission_that_is_seen_first_is_also_the_detection() {
        let mut recovery = recovery(0, None);
        recovery.admitted(at(1500));
        assert_eq!(recovery.report().detect_ms, Some(500));
        assert!(recovery.is_over(), "nobody lived there, and nobody is asked");
    }
}
