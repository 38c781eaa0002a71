//! When to wait for company.

use std::time::Duration;
use tokio::time::Instant;

/// How many waits after the last batch a burst is over.
const BURST: u32 = 10;

/// Lets the first of a batch wait for the rest while there is much to do. What comes alone goes at once.
#[derive(Debug)]
pub(crate) struct Gather {
    wait: Duration,
    last: Option<Instant>,
}

impl Gather {
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, last: None }
    }

    /// To be called between the first of a batch and the look for others.
    pub(crate) async fn company(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() < self.wait * BURST) {
            tokio::time::sleep(self.wait).await;
        }
        self.last = Some(Instant::now());
    }
}
