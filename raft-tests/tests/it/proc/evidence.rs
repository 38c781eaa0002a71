//! What became of every message, from three witnesses: its caller, the journal outside the
//! cluster, and the state of the actor at the end.

use standin::{CallError, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

use super::process::{Gone, Process};
use super::words::{Answer, Want};

/// What a caller was told of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A reply that no failure takes back.
    Durable,
    /// A reply that a failure may take back.
    Replied,
    Error(CallError),
    /// The caller was killed while it waited.
    CallerDied,
}

/// The messages of one test.
pub struct Evidence {
    journal: PathBuf,
    next: AtomicU64,
    told: Mutex<BTreeMap<u64, (String, Told)>>,
}

impl Evidence {
    pub fn new(journal: PathBuf) -> Self {
        Self { journal, next: AtomicU64::new(1), told: Mutex::default() }
    }

    pub fn journal(&self) -> &PathBuf {
        &self.journal
    }

    /// Sends one message, and notes what its caller was told.
    pub async fn note(&self, by: &Process, key: &str, durable: bool, deadline: Duration) -> Told {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let want = Want::Note { key: key.to_owned(), token, durable, deadline };
        self.send(by, key, token, durable, want).await
    }

    /// The same with a message whose handler takes a while.
    pub async fn walk(&self, by: &Process, key: &str, steps: u32, deadline: Duration) -> Told {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let want = Want::Walk { key: key.to_owned(), token, steps, deadline };
        self.send(by, key, token, false, want).await
    }

    async fn send(&self, by: &Process, key: &str, token: u64, durable: bool, want: Want) -> Told {
        let told = match by.ask(want).await {
            Ok(Answer::Done(Ok(()))) if durable => Told::Durable,
            Ok(Answer::Done(Ok(()))) => Told::Replied,
            Ok(Answer::Done(Err(e))) => Told::Error(e),
            Ok(other) => panic!("an answer to another question: {other:?}"),
            Err(Gone) => Told::CallerDied,
        };
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(token, (key.to_owned(), told.clone()));
        told
    }

    pub fn durable(&self) -> usize {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.values().filter(|(_, told)| *told == Told::Durable).count()
    }

    /// What callers were told instead of a reply.
    pub fn failures(&self) -> Vec<Told> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.values()
            .filter(|(_, t)| !matches!(t, Told::Durable | Told::Replied))
            .map(|(_, t)| t.clone())
            .collect()
    }

    fn lines(&self) -> Vec<JournalLine> {
        std::fs::read_to_string(&self.journal).unwrap_or_default().lines().map(JournalLine::parse).collect()
    }

    /// Steps that a process has taken, of any actor.
    pub fn steps_of(&self, pid: u32) -> usize {
        self.lines().iter().filter(|line| line.pid == pid).count()
    }

    /// Compares the witnesses. `kept` is what each actor has in the end. `strays` is how many polls
    /// may have ended after their epoch: one for each time that a process was frozen.
    pub fn check(&self, kept: &BTreeMap<String, Vec<u64>>, strays: usize) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = self.lines();
        let mut executed = BTreeSet::new();
        for line in lines.iter().filter(|line| line.is_start) {
            assert!(executed.insert(line.token), "message {} was executed twice", line.token);
        }
        let mut homes = BTreeMap::new();
        for (key, tokens) in kept {
            for token in tokens {
                assert_eq!(homes.insert(*token, key), None, "message {token} counts twice");
            }
        }
        for (token, (key, told)) in &*told {
            match told {
                Told::Durable => {
                    assert_eq!(
                        homes.get(token),
                        Some(&key),
                        "{key}: message {token} is gone, though acknowledged"
                    );
                }
                Told::Error(e) if e.outcome == Outcome::NotExecuted => {
                    assert!(
                        !executed.contains(token),
                        "{key}: message {token} was executed, but reported as {e}"
                    );
                    assert!(
                        !homes.contains_key(token),
                        "{key}: message {token} counts, but was reported as {e}"
                    );
                }
                Told::Replied => assert!(executed.contains(token), "{key}: {token} was answered by nobody"),
                Told::Error(_) | Told::CallerDied => {}
            }
        }
        let late = late_steps(&lines);
        assert!(late.len() <= strays, "steps under an epoch that was over: {late:?}");
    }
}

#[derive(Debug)]
struct JournalLine {
    key: String,
    epoch: u64,
    pid: u32,
    is_start: bool,
    token: u64,
}

impl JournalLine {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("not a line: {line:?}"));
        let (key, epoch, pid) = (next().to_owned(), next().parse().unwrap(), next().parse().unwrap());
        Self { key, epoch, pid, is_start: next() == "note", token: next().parse().unwrap() }
    }
}

/// Invariant 3: once an actor has acted under an epoch, it acts under no older one.
fn late_steps(lines: &[JournalLine]) -> Vec<&JournalLine> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut late = vec![];
    for line in lines {
        let epoch = newest.entry(&line.key).or_insert(line.epoch);
        if line.epoch < *epoch {
            late.push(line);
        }
        *epoch = line.epoch.max(*epoch);
    }
    late
}

/// Messages to some actors, one after the other to each, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(evidence: &Arc<Evidence>, by: &Process, keys: &[String], deadline: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = keys.iter().cloned().map(|key| {
            let (stop, evidence, by) = (stop.clone(), evidence.clone(), by.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if evidence.note(&by, &key, true, deadline).await == Told::CallerDied {
                        return;
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), stop }
    }

    /// Ends it, and waits for the answers that are still due.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}
