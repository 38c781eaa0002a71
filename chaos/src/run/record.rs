//! What happened in a run: its events as a file, its sums, and the first promise that was broken.
//!
//! `events.jsonl` has one JSON object a line. All have `at_ms` (milliseconds since the run began, on the machine's
//! monotonic clock) and `what`; lines are written as they become known, so a line of a process that was frozen or
//! slow may follow later ones.
//!
//! | `what` | other fields |
//! |---|---|
//! | `run` | `seed`, `nodes`, `minutes`, whether there are `namespaces` and `small_disks`: the first line |
//! | `round` | `number`, `phase` (`begins`, `heals_a_majority`, `majority_lives`, `heals_everybody`, `all_live`, `kept`), and `took_ms` for what took time |
//! | `fault_begins` | `id`, `kind`, `nodes` (whom it strikes), `detail` |
//! | `fault_ends` | `id`, `kind` |
//! | `process` | `node`, `process` (a number of its own), `host`, `is` (`started`, `killed`, `frozen`, `thawed`) |
//! | `event` | `node`, `process`, `event`: what the peer told its user, as `standin::Event` |
//! | `violation` | `invariant`, `text` |
//!
//! `history.jsonl` has one line for each call of a client whose outcome was recorded: `round`, `client`, `actor` (`r…`
//! a register, `l…` a ledger, `p…` a purse, `n…` a name), `asked` (the access, order, payment or act), `called_us` and
//! `ended_us` (microseconds since the run began; no two are the same), and `end` (`"Not"`, `"Exists"` or `"Absent"`: not
//! executed; `"Unknown"`; or `{"Done": value before}`). A line with `transfer` has one between two accounts, and which
//! of its two bookings were acknowledged.

use serde::Serialize;
use serde_json::{Value, json};
use standin::Event;
use standin::id::{Incarnation, NodeId, RaftId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

use super::clock;
use super::process::{Name, Process};
use super::words::Sight;
use crate::sim::Violation;
use crate::work::{Call, End, History};

/// Events that are shown when a promise is broken.
const LAST_LINES: usize = 40;
/// The longest log of one process.
const MAX_LOG_BYTES: usize = 64 << 20;

/// The record of a run. Clones are the same one.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    out: PathBuf,
    events: Mutex<File>,
    history: Mutex<File>,
    last: Mutex<VecDeque<String>>,
    sums: Mutex<Sums>,
    registry: Mutex<Registry>,
    lives: Mutex<BTreeMap<NodeId, Life>>,
    violation: Mutex<Option<Violation>>,
}

/// What is counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sums {
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    pub calls: Calls,
    pub rounds: u64,
    pub peers_up: usize,
    /// How long each healed majority, and then everybody, took to live again.
    pub majority_ms: Vec<u64>,
    pub everybody_ms: Vec<u64>,
    /// For each actor that a new process runs again: how long after the old one was killed that was, and how long
    /// after the new one listened.
    pub downtimes_ms: Vec<u64>,
    pub restores_ms: Vec<u64>,
    /// How often an actor began to run at another node than before, with all that it had done.
    pub moved: u64,
    /// How often an actor began to run in its home's place, from its last checkpoint.
    pub taken_over: u64,
    /// How often all was well, and a disk might be lost again.
    pub well_again: u64,
}

/// How requests of clients ended.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Calls {
    pub done: u64,
    pub not_executed: u64,
    pub unknown: u64,
}

/// The process that a node has now: when it began to listen; when the one before was killed, if it was; and when
/// this one was.
#[derive(Default)]
struct Life {
    process: u32,
    began_us: u64,
    killed_before_us: Option<u64>,
    killed_us: Option<u64>,
}

/// Who used which names: none may be used by two.
#[derive(Default)]
struct Registry {
    disks: BTreeMap<RaftId, PathBuf>,
    processes: BTreeMap<(NodeId, Incarnation), u32>,
    /// Processes that took the place of another of their node.
    replaced: BTreeSet<(NodeId, u64)>,
    /// Where each actor is at home, and where it ran last.
    places: BTreeMap<String, (NodeId, NodeId)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// A record in a directory, which must be new or empty.
    pub fn create(out: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(out.join("logs"))?;
        let file = |name| File::create_new(out.join(name));
        Ok(Self(Arc::new(Inner {
            out: out.to_owned(),
            events: Mutex::new(file("events.jsonl")?),
            history: Mutex::new(file("history.jsonl")?),
            last: Mutex::default(),
            sums: Mutex::default(),
            registry: Mutex::default(),
            lives: Mutex::default(),
            violation: Mutex::default(),
        })))
    }

    pub fn sums(&self) -> MutexGuard<'_, Sums> {
        lock(&self.0.sums)
    }

    /// The first promise that was broken.
    pub fn violation(&self) -> Option<Violation> {
        lock(&self.0.violation).clone()
    }

    /// The last events, in order.
    pub fn last(&self) -> Vec<String> {
        lock(&self.0.last).iter().cloned().collect()
    }

    fn write(&self, at_us: u64, what: &str, fields: Value) {
        let mut line = json!({ "at_ms": at_us / 1000, "what": what });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        let line = line.to_string();
        // A full disk of the run itself must not end it; the file is then short.
        drop(writeln!(lock(&self.0.events), "{line}"));
        let mut last = lock(&self.0.last);
        if last.len() >= LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }

    /// Something that happened now.
    pub fn note(&self, what: &str, fields: Value) {
        self.write(clock::moment_us(), what, fields);
    }

    pub fn count(&self, kind: &'static str) {
        *self.sums().faults.entry(kind).or_default() += 1;
    }

    pub fn call_ended(&self, end: End) {
        let calls = &mut self.sums().calls;
        match end {
            End::Done(_) => calls.done += 1,
            End::Not | End::Exists | End::Absent => calls.not_executed += 1,
            End::Unknown => calls.unknown += 1,
        }
    }

    pub fn process(&self, name: &Name, is: &str) {
        let fields = json!({ "node": name.node, "process": name.number, "host": name.host, "is": is });
        self.note("process", fields);
        let mut lives = lock(&self.0.lives);
        let life = lives.entry(name.node.clone()).or_default();
        match is {
            "started" => {
                let (began_us, killed_before_us) = (clock::moment_us(), life.killed_us);
                *life = Life { process: name.number, began_us, killed_before_us, killed_us: None };
            }
            "killed" if life.process == name.number => life.killed_us = Some(clock::moment_us()),
            // It goes on while another has its place.
            _ => {}
        }
    }

    /// An actor runs again in a process.
    fn recovered(&self, name: &Name, at_us: u64) {
        let lives = lock(&self.0.lives);
        let Some(life) = lives.get(&name.node).filter(|life| life.process == name.number) else { return };
        // Who takes a living process's name waits for the end of that one, which is no recovery.
        let Some(killed_us) = life.killed_before_us else { return };
        let mut sums = self.sums();
        sums.restores_ms.push(at_us.saturating_sub(life.began_us) / 1000);
        sums.downtimes_ms.push(at_us.saturating_sub(killed_us) / 1000);
    }

    /// An actor was created at its home.
    pub fn created(&self, key: String, home: &NodeId) {
        lock(&self.0.registry).places.insert(key, (home.clone(), home.clone()));
    }

    /// Whether an actor came to a node that is not its home.
    fn runs_at(&self, key: &str, node: &NodeId) -> bool {
        let mut registry = lock(&self.0.registry);
        let Some((home, last)) = registry.places.get_mut(key) else { return false };
        std::mem::replace(last, node.clone()) != *node && *home != *node
    }

    pub fn event(&self, name: &Name, at_us: u64, event: &Event) {
        let fields = json!({ "node": name.node, "process": name.number, "event": event });
        self.write(at_us, "event", fields);
        match event {
            Event::PeerReplaced { node, new, .. } => {
                lock(&self.0.registry).replaced.insert((node.clone(), new.0));
            }
            Event::ActorMoved { actor, .. } => {
                self.sums().moved += 1;
                self.runs_at(actor.key(), &name.node);
            }
            Event::ActorRecovered { actor, epoch, .. } => {
                // Another epoch is that of an actor that panicked, or that had been elsewhere.
                if lock(&self.0.registry).replaced.contains(&(name.node.clone(), epoch.0)) {
                    self.recovered(name, at_us);
                }
                self.sums().taken_over += u64::from(self.runs_at(actor.key(), &name.node));
            }
            Event::ActorLost { actor } => self.violated("no_actor_is_lost", format!("{actor}")),
            _ => {}
        }
    }

    /// Notes the first promise that was broken.
    pub fn violated(&self, invariant: &str, what: String) {
        self.note("violation", json!({ "invariant": invariant, "text": what }));
        lock(&self.0.violation).get_or_insert(Violation { invariant: invariant.to_owned(), what });
    }

    /// Compares what a process calls itself and its disk with what others did.
    pub fn registered(&self, process: &Process, sight: &Sight) {
        let mut registry = lock(&self.0.registry);
        let (name, dir) = (process.name(), process.dir());
        if let Some(disk) = sight.status.raft_id {
            let first = registry.disks.entry(disk).or_insert_with(|| dir.clone());
            if first != dir {
                self.violated("a_disk_id_is_of_one_disk", format!("{disk}: {first:?} and {dir:?}"));
            }
        }
        if let Some(incarnation) = sight.status.incarnation {
            let number = name.number;
            let first = *registry.processes.entry((name.node.clone(), incarnation)).or_insert(number);
            if first != number {
                let what = format!("{} {incarnation}: processes {first} and {number}", name.node);
                self.violated("an_incarnation_is_of_one_process", what);
            }
        }
    }

    /// Adds a round's calls to the file of them.
    pub fn keep_history(&self, round: u64, history: &History) {
        let mut lines = String::new();
        history.accesses.iter().for_each(|call| lines += &line_of(round, 'r', call));
        history.orders.iter().for_each(|call| lines += &line_of(round, 'l', call));
        history.payments.iter().for_each(|call| lines += &line_of(round, 'p', call));
        history.names.iter().for_each(|call| lines += &line_of(round, 'n', call));
        for transfer in &history.transfers {
            lines += &format!("{}\n", json!({ "round": round, "transfer": transfer }));
        }
        drop(lock(&self.0.history).write_all(lines.as_bytes()));
    }

    /// Copies what a process logs into a file of its own, up to a limit.
    pub async fn keep_log(self, name: String, mut log: ChildStderr) {
        let path = self.0.out.join("logs").join(format!("{name}.log"));
        let Ok(mut file) = File::create(path) else { return };
        let (mut buffer, mut kept) = (vec![0; 16 << 10], 0);
        while let Ok(length @ 1..) = log.read(&mut buffer).await {
            if kept < MAX_LOG_BYTES {
                kept += length;
                drop(file.write_all(&buffer[..length]));
            }
        }
    }
}

fn line_of<T: Serialize>(round: u64, kind: char, call: &Call<T>) -> String {
    let actor = format!("{kind}{}", call.actor);
    let line = json!({
        "round": round, "client": call.client, "actor": actor, "asked": call.what,
        "called_us": call.called, "ended_us": call.ended, "end": call.end,
    });
    format!("{line}\n")
}
