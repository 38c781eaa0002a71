//! Which processes each peer had, and how each was when.

use std::collections::BTreeMap;

use super::timeline::{Band, State};

/// One process, as it is now.
#[derive(Debug, Clone, Default)]
pub struct Process {
    peer: usize,
    /// Whether it holds a lease; nothing, before it had one.
    pub lease: Option<bool>,
    pub frozen: bool,
    pub failed: bool,
    pub retired: bool,
    pub ended: bool,
}

impl Process {
    fn state(&self) -> State {
        match self {
            Self { ended: true, .. } => State::Down,
            Self { retired: true, .. } => State::Retired,
            Self { failed: true, .. } => State::Failed,
            Self { frozen: true, .. } => State::Frozen,
            Self { lease: Some(true), .. } => State::Up,
            Self { lease: Some(false), .. } => State::Paused,
            Self { lease: None, .. } => State::Starting,
        }
    }
}

/// All processes of all peers.
#[derive(Debug, Default)]
pub struct Lives {
    processes: BTreeMap<u64, Process>,
    /// The newest of each peer.
    newest: Vec<Option<u64>>,
    /// Each peer's bands, and those of its older processes. The last of each life is open.
    rows: Vec<(Vec<Band>, Vec<Band>)>,
}

impl Lives {
    pub fn new(peers: usize) -> Self {
        let row = || (vec![Band { from_ms: 0, to_ms: 0, state: State::Down, life: 0 }], vec![]);
        let rows = std::iter::repeat_with(row).take(peers).collect();
        Self { processes: BTreeMap::new(), newest: vec![None; peers], rows }
    }

    pub fn knows(&self, peer: usize) -> bool {
        peer < self.rows.len()
    }

    pub fn newest(&self, peer: usize) -> Option<u64> {
        self.newest.get(peer).copied().flatten()
    }

    /// Whether a process runs actors now.
    pub fn runs(&self, life: u64) -> bool {
        self.processes.get(&life).is_some_and(|process| process.state() == State::Up)
    }

    /// A process began in a peer's name. The one before may go on, beside it.
    pub fn started(&mut self, at: u64, peer: usize, life: u64, lease: bool) {
        if let Some(older) = self.newest(peer).filter(|life| !self.processes[life].ended) {
            let state = self.processes[&older].state();
            self.rows[peer].1.push(Band { from_ms: at, to_ms: at, state, life: older });
        }
        self.newest[peer] = Some(life);
        let process = Process { peer, lease: lease.then_some(true), ..Process::default() };
        let state = process.state();
        self.processes.insert(life, process);
        next(&mut self.rows[peer].0, at, Some(Band { from_ms: at, to_ms: at, state, life }));
    }

    /// Something about a process is another now.
    pub fn change(&mut self, at: u64, life: u64, how: impl FnOnce(&mut Process)) {
        let Some(process) = self.processes.get_mut(&life) else { return };
        let before = process.state();
        how(process);
        let (state, peer) = (process.state(), process.peer);
        if state == before {
            return;
        }
        let (bands, older) = &mut self.rows[peer];
        let band = Band { from_ms: at, to_ms: at, state, life };
        if self.newest[peer] == Some(life) {
            next(bands, at, Some(band));
        } else if let Some(open) = older.iter_mut().rev().find(|band| band.life == life) {
            open.to_ms = at;
            // An older process that is gone leaves no band of its own: the peer is not down.
            older.extend((state != State::Down).then_some(band));
        }
    }

    /// Every peer's bands, and those of its older processes.
    pub fn finish(mut self, end: u64) -> Vec<(Vec<Band>, Vec<Band>)> {
        let processes = self.processes;
        let gone = |life: u64| processes.get(&life).is_none_or(|process| process.ended);
        for (bands, older) in &mut self.rows {
            next(bands, end, None);
            let mut seen = std::collections::BTreeSet::new();
            for band in older.iter_mut().rev() {
                if seen.insert(band.life) && !gone(band.life) {
                    band.to_ms = end;
                }
            }
            older.retain(|band| band.from_ms < band.to_ms);
        }
        self.rows
    }
}

/// Ends the last band of a row, and begins another. What lasted no time is left out.
fn next(bands: &mut Vec<Band>, at: u64, band: Option<Band>) {
    if let Some(last) = bands.last_mut() {
        last.to_ms = at;
    }
    bands.pop_if(|last| last.from_ms == last.to_ms);
    bands.extend(band);
}
