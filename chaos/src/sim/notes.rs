//! What a run notes of itself for who draws it: which process is whose, and which acts belong to which fault.

use standin::Peer;
use std::collections::BTreeMap;

use crate::plan::Fault;
use crate::report::Happening;
use crate::trace::Trace;

pub(super) struct Notes {
    trace: Trace,
    /// The newest process of each peer, and how many there were in all.
    newest: BTreeMap<usize, u64>,
    lives: u64,
    /// The fault that begins, or of which an act is done, at this moment.
    fault: Option<u64>,
    /// Acts to come, and whose they are.
    acts: BTreeMap<u64, u64>,
}

impl Notes {
    pub(super) fn new(trace: Trace) -> Self {
        Self { trace, newest: BTreeMap::new(), lives: 0, fault: None, acts: BTreeMap::new() }
    }

    pub(super) fn phase(&self, name: &str) {
        self.trace.note(Happening::Phase { name: name.into() });
    }

    pub(super) fn placed(&self, actor: String, peer: usize) {
        self.trace.note(Happening::Placed { actor, peer });
    }

    /// A process began. The number of its life.
    pub(super) fn started(&mut self, at: usize, peer: &Peer) -> u64 {
        let status = peer.status();
        self.lives += 1;
        let (life, leads) = (self.lives, status.leads.then_some(status.term));
        self.trace.note(Happening::Started { peer: at, life, lease: status.holds_lease, leads });
        self.newest.insert(at, life);
        life
    }

    /// The newest process of a peer is gone.
    pub(super) fn ended(&self, at: usize) {
        if let Some(life) = self.newest.get(&at).copied() {
            self.trace.note(Happening::Ended { peer: at, life });
        }
    }

    pub(super) fn froze(&self, peer: usize) {
        if let Some(life) = self.newest.get(&peer).copied() {
            self.trace.note(Happening::Froze { peer, life });
        }
    }

    pub(super) fn thawed(&self, peer: usize) {
        if let Some(life) = self.newest.get(&peer).copied() {
            self.trace.note(Happening::Thawed { peer, life });
        }
    }

    pub(super) fn struck(&mut self, fault: u64, what: &Fault) {
        self.fault = Some(fault);
        let (family, what) = (what.family(), format!("{what:?}"));
        self.trace.note(Happening::Struck { fault, family, what });
    }

    /// The fault of this moment strikes a peer.
    pub(super) fn hit(&self, peer: usize) {
        if let Some(fault) = self.fault {
            self.trace.note(Happening::Hit { fault, peer });
        }
    }

    /// An act is to be done later; it is the fault's of this moment.
    pub(super) fn planned(&mut self, act: u64) {
        if let Some(fault) = self.fault {
            self.acts.insert(act, fault);
        }
    }

    pub(super) fn begins(&mut self, act: u64) {
        self.fault = self.acts.get(&act).copied();
    }

    /// An act was done. With its last one, a fault is over.
    pub(super) fn done(&mut self, act: u64) {
        self.acts.remove(&act);
        let Some(fault) = self.fault.take() else { return };
        if !self.acts.values().any(|other| *other == fault) {
            self.trace.note(Happening::Mended { fault });
        }
    }

    pub(super) fn all_mended(&mut self) {
        self.acts.clear();
        self.trace.note(Happening::AllMended);
    }
}
