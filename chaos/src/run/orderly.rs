//! Processes that end in good order, or are drained before.

use std::time::Duration;
use tokio::time::Instant;

use super::stage::{Act, Ending, Stage};
use super::words::Want;
use crate::plan::{Back, Who};

/// How long a peer that is drained may take, and how long it is waited for beyond that.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);
const GRACE: Duration = Duration::from_secs(4);
/// How often its end is looked for.
const LOOK_MS: u64 = 100;

impl Stage {
    /// Tells a peer to stop, after it has moved its actors away and left or at once.
    pub fn begin_end(&mut self, id: u64, who: Who, away_ms: u64, leaves: bool, detail: &str) {
        let Some(at) = self.find(who) else { return };
        let Some(process) = self.fleet.seats[at].process.clone() else { return };
        self.struck(id, if leaves { "drain" } else { "orderly stop" }, &[at], detail);
        if leaves {
            // What it moved away stays there, if it cannot leave.
            self.by_hand = true;
            self.fleet.seats[at].wiped = Some(Instant::now());
        }
        // Whatever comes between, it needs a restart.
        self.fleet.seats[at].sick = true;
        self.desk.set(at, None);
        let want = Want::End { drains: leaves, deadline_ms: DRAIN_DEADLINE.as_millis() as u64 };
        let told = process.clone();
        let end = tokio::spawn(async move { drop(told.ask(want).await) });
        let until = Instant::now() + DRAIN_DEADLINE + GRACE;
        self.later(LOOK_MS, id, Act::End(Ending { at, process, end, until, away_ms, leaves }));
    }

    /// Starts a machine again whose process has ended in good order, or did not in time.
    pub async fn end(&mut self, id: u64, ending: Ending) {
        let now = self.fleet.seats[ending.at].process.as_ref();
        if now.is_none_or(|now| now.name().number != ending.process.name().number) {
            return; // something else struck it first
        }
        if !ending.end.is_finished() && Instant::now() < ending.until {
            return self.later(LOOK_MS, id, Act::End(ending));
        }
        self.fleet.end(ending.at).await;
        if ending.leaves {
            // Only now it surely votes no more.
            self.fleet.seats[ending.at].wiped = Some(Instant::now());
        }
        self.later(ending.away_ms, id, Act::Return(ending.at, Back::Disk));
    }
}
