//! What a state of the model consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use standin::clock::Mono;
use standin::core::command::Admission;
use standin::core::lease::{Flight, Granter, PeerInput, PeerLease};
use standin::core::state::State;
use standin::id::{Epoch, Incarnation, RaftId};

use super::bounds::Bounds;
pub use super::words::{Message, Wish};

/// A process, a disk, a node or an actor, by its place in the lists below.
pub type Nr = u8;

/// Who votes and who only learns.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Config {
    pub voters: Vec<BTreeSet<RaftId>>,
    pub learners: BTreeSet<RaftId>,
}

/// One checkpoint as it lies on a disk. `activation` is what the model knows and the library does not:
/// how often its actor had been activated when the writer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    pub actor: Nr,
    pub epoch: Epoch,
    pub seq: u64,
    pub activation: u8,
}

/// The replicated state after one committed entry.
#[derive(Debug)]
pub struct Table {
    pub index: u64,
    pub term: u64,
    /// Which proposal in flight this entry ends, and the term that decided it.
    pub ends: Option<(Nr, Flight, u64)>,
    pub state: State,
    /// Since which entry each node's line is as it is.
    pub since: BTreeMap<Nr, u64>,
    /// How often each actor was activated.
    pub activations: BTreeMap<Nr, u8>,
    /// Stands for all of the above: hashing it once is enough.
    pub print: u64,
}

impl Hash for Table {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.print);
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

/// The committed log, from the oldest entry on that somebody has applied last.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Log {
    pub tables: Vec<Arc<Table>>,
    pub config: Config,
}

/// What a leader has in its log beyond what is committed.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Leading {
    pub term: u64,
    /// The index that its first uncommitted entry has.
    pub next: u64,
    /// Uncommitted entries, each with its term.
    pub tail: Vec<(u64, Wish)>,
    /// The newest configuration in its log.
    pub config: Config,
    /// The step of time at which it last began a round of probes.
    pub probed: Option<u8>,
    /// The number of that round.
    pub round: Option<u64>,
}

/// An activation that runs.
#[derive(Debug, Clone, Copy, PartialEq, Hash)]
pub struct Run {
    pub epoch: Epoch,
    pub seq: u64,
    pub activation: u8,
    /// Its handler panicked, or it was ended to be given away; it waits for another epoch.
    pub halted: bool,
    /// Who is to have it, once its last checkpoint counts.
    pub heir: Option<Nr>,
}

/// What a process read from its disk when it started.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Claim {
    pub disk: RaftId,
    pub incarnation: Incarnation,
    pub asked: BTreeSet<Nr>,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Process {
    pub node: Nr,
    pub disk: Nr,
    pub is_alive: bool,
    pub claim: Option<Claim>,
    /// The answer to its wish to join, which may reach it yet.
    pub offer: Option<Admission>,
    pub place: Option<Admission>,
    pub applied: u64,
    pub lease: PeerLease,
    /// Until when its actors may act.
    pub gate: Option<Mono>,
    pub is_retired: bool,
    pub beat: Option<u8>,
    pub runs: BTreeMap<Nr, Run>,
    pub granter: Option<Granter>,
    pub leading: Option<Leading>,
    /// Decided, and not handed to Raft yet.
    pub late: BTreeSet<Wish>,
}

impl Process {
    pub fn new(node: Nr, disk: Nr) -> Self {
        Self {
            node,
            disk,
            is_alive: true,
            claim: None,
            offer: None,
            place: None,
            applied: 0,
            lease: PeerLease::new(),
            gate: None,
            is_retired: false,
            beat: None,
            runs: BTreeMap::new(),
            granter: None,
            leading: None,
            late: BTreeSet::new(),
        }
    }

    pub fn step_lease(&mut self, input: PeerInput) {
        let until = self.lease.step(input);
        self.gate = self.gate.max(until);
    }

    /// No lease any more, for good.
    pub fn retire(&mut self) {
        self.step_lease(PeerInput::Retired);
        self.is_retired = true;
        self.runs.clear();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Hash)]
pub struct Disk {
    pub node: Nr,
    pub raft_id: Option<RaftId>,
    pub incarnation: Option<Incarnation>,
    /// The processes that asked to join with it since.
    pub asked: BTreeSet<Nr>,
    /// The term and the process that has its vote.
    pub vote: (u64, Nr),
    pub copies: BTreeSet<Copy>,
    /// Copies that a power cut would undo. There are none unless by mistake.
    pub unsynced: BTreeSet<Copy>,
}

/// A promise that an entry broke when it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    EpochDidNotRise,
    OldEpochAccepted,
    CheckpointWentBack,
    TooFewCopies,
    RetiredHolder,
    HandedOverInPart,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub struct World {
    pub tick: u8,
    /// Which of the assignments of clock rates.
    pub skew: u8,
    pub term: u64,
    /// At which step of time the newest leader was elected.
    pub elected: u8,
    pub log: Arc<Log>,
    pub disks: Vec<Arc<Disk>>,
    pub processes: Vec<Arc<Process>>,
    pub net: Arc<BTreeSet<Message>>,
    /// What may still happen.
    pub left: Bounds,
    pub broken: BTreeSet<Broken>,
}

impl World {
    pub fn process(&mut self, nr: Nr) -> &mut Process {
        Arc::make_mut(&mut self.processes[usize::from(nr)])
    }

    pub fn disk(&mut self, nr: Nr) -> &mut Disk {
        Arc::make_mut(&mut self.disks[usize::from(nr)])
    }

    pub fn send(&mut self, message: Message) {
        if !self.net.contains(&message) {
            Arc::make_mut(&mut self.net).insert(message);
        }
    }

    /// The newest committed state.
    pub fn newest(&self) -> &Table {
        &self.log.tables[self.log.tables.len() - 1]
    }

    pub fn last_index(&self) -> u64 {
        self.newest().index
    }

    /// What a process has applied, if it has applied anything.
    pub fn applied(&self, process: &Process) -> Option<&Table> {
        self.table(process.applied)
    }

    pub fn table(&self, index: u64) -> Option<&Table> {
        let first = self.log.tables[0].index;
        index.checked_sub(first).and_then(|at| self.log.tables.get(at as usize)).map(Arc::as_ref)
    }

    pub fn disk_of(&self, id: RaftId) -> Option<Nr> {
        self.disks.iter().position(|disk| disk.raft_id == Some(id)).map(|at| at as Nr)
    }
}
