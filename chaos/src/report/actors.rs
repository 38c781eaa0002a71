//! Where each actor ran, and when it was restored.

use std::collections::BTreeMap;

use super::timeline::{Actor, Restore, Span};

/// One actor, as it is now.
#[derive(Debug, Default)]
struct Now {
    /// Its peer, and that one's process.
    home: Option<(usize, u64)>,
    /// Since when it runs.
    since: Option<u64>,
    /// When it last ran.
    left: Option<u64>,
    row: Actor,
    /// It was restored, and has not run since.
    restored: bool,
}

impl Now {
    fn stop(&mut self, at: u64) {
        if let (Some(from_ms), Some((peer, _))) = (self.since.take(), self.home) {
            self.left = Some(at);
            self.row.spans.push(Span { from_ms, to_ms: at, peer });
        }
    }

    fn run(&mut self, at: u64) {
        if self.since.is_some() {
            return;
        }
        self.since = Some(at);
        if std::mem::take(&mut self.restored)
            && let (Some(restore), Some(left)) = (self.row.restores.last_mut(), self.left)
        {
            restore.gap_ms = Some(at.saturating_sub(left));
        }
    }
}

/// All actors, by name.
#[derive(Debug, Default)]
pub struct Actors(BTreeMap<String, Now>);

impl Actors {
    fn named(&mut self, name: &str) -> &mut Now {
        let now = self.0.entry(name.to_owned()).or_default();
        if now.row.name.is_empty() {
            now.row.name = name.to_owned();
        }
        now
    }

    /// An actor's home is a process now; whether it runs there is told by [`Actors::host`].
    pub fn placed(&mut self, at: u64, name: &str, peer: usize, life: u64) {
        let now = self.named(name);
        now.stop(at);
        now.home = Some((peer, life));
    }

    /// The same, with the state of a checkpoint.
    pub fn restored(&mut self, at: u64, name: &str, home: (usize, u64), from_seq: u64, downtime_ms: u64) {
        let now = self.named(name);
        let was_there = now.since.is_some();
        let in_place = was_there && now.home == Some(home);
        self.placed(at, name, home.0, home.1);
        let now = self.named(name);
        now.restored = true;
        if was_there {
            // Nobody saw it stop: what the cluster says is all there is.
            now.left = Some(at.saturating_sub(downtime_ms));
        }
        let (at_ms, peer, gap_ms) = (at, home.0, None);
        now.row.restores.push(Restore { at_ms, peer, from_seq, downtime_ms, gap_ms, in_place });
    }

    /// A process runs its actors, or it does not.
    pub fn host(&mut self, at: u64, peer: usize, life: u64, runs: bool) {
        for now in self.0.values_mut().filter(|now| now.home == Some((peer, life))) {
            if runs { now.run(at) } else { now.stop(at) }
        }
    }

    /// All rows.
    pub fn finish(self, end: u64) -> Vec<Actor> {
        let row = |mut now: Now| {
            now.stop(end);
            now.row.spans.retain(|span| span.from_ms < span.to_ms);
            now.row
        };
        let mut rows: Vec<Actor> = self.0.into_values().map(row).collect();
        // By kind, and then as people count: 2 before 10.
        let order = |row: &Actor| {
            let kind = row.name.split('/').next().unwrap_or_default().to_owned();
            (kind, row.name.len(), row.name.clone())
        };
        rows.sort_by_cached_key(order);
        rows
    }
}
