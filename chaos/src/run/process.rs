//! A peer's process, and a conversation with it.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::record::Recorder;
use super::relay::Host;
use super::words::{Answer, MAX_LINE, Order, Role, Said, Sight, Want};

/// How long a process may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a process is asked what it sees.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Questions to one process that have no answer yet.
const MAX_PENDING: usize = 256;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It never left.
    NotSent,
    /// The process died first.
    Gone,
}

/// A handle on a process; clones are the same one. It dies with the last of them.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    name: Name,
    pid: Pid,
    dir: PathBuf,
    child: tokio::sync::Mutex<Child>,
    stdin: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    /// None once the process is gone.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    /// What it saw last, and when it was asked for that.
    sight: Mutex<Option<(Instant, Sight)>>,
    killed: AtomicBool,
    pauses: Mutex<Pauses>,
    recorder: Recorder,
}

/// What a process is called in logs and events.
#[derive(Debug, Clone)]
pub struct Name {
    pub node: standin::id::NodeId,
    /// Counts all processes of a run.
    pub number: u32,
    pub host: Host,
}

#[derive(Default)]
struct Pauses {
    frozen: bool,
    last: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a peer, behind the words of another command, and waits until it listens. Call it on the thread that lives as long as the run: with that
    /// the process would die.
    pub async fn start(name: Name, role: Role, on: Vec<String>, recorder: &Recorder) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut words = on.into_iter().map(Into::into).chain([program.into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        // In a group of its own, so that Ctrl-C reaches the run alone, which then ends it.
        command.arg("peer").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn,standin=info");
        }
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).ok_or("it has no number")?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no pipes".into());
        };
        tokio::spawn(recorder.clone().keep_log(format!("{}.{}", name.node, name.number), stderr));
        let dir = role.dir.clone();
        let role = serde_json::to_string(&role).map_err(|e| e.to_string())?;
        write_line(&mut stdin, &role).await;
        let mut lines = BufReader::new(stdout);
        loop {
            match timeout(PATIENCE, next_said(&mut lines)).await {
                Ok(Some(Said::Started)) => break,
                Ok(Some(Said::CouldNotStart(why))) => return Err(why),
                Ok(Some(Said::Panicked(text))) => {
                    recorder.violated("no_panic", format!("{}: {text}", name.node))
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err("it ended".into()),
                Err(_) => return Err(format!("it did not listen within {PATIENCE:?}")),
            }
        }
        let process = Self(Arc::new(Inner {
            name,
            pid,
            dir,
            child: tokio::sync::Mutex::new(child),
            stdin: tokio::sync::Mutex::new(stdin),
            next: AtomicU64::new(0),
            waiting: Mutex::new(Some(HashMap::new())),
            sight: Mutex::default(),
            killed: AtomicBool::new(false),
            pauses: Mutex::default(),
            recorder: recorder.clone(),
        }));
        recorder.process(process.name(), "started");
        tokio::spawn(process.clone().listen(lines));
        tokio::spawn(process.clone().keep_looking());
        Ok(process)
    }

    pub fn name(&self) -> &Name {
        &self.0.name
    }

    pub fn host(&self) -> Host {
        self.0.name.host
    }

    pub fn dir(&self) -> &PathBuf {
        &self.0.dir
    }

    pub fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// Asks, and waits for the answer as long as the process lives.
    pub async fn ask(&self, want: Want) -> Result<Answer, NoAnswer> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        {
            let mut waiting = lock(&self.0.waiting);
            let waiting = waiting.as_mut().ok_or(NoAnswer::NotSent)?;
            if waiting.len() >= MAX_PENDING {
                return Err(NoAnswer::NotSent);
            }
            waiting.insert(id, answer);
        }
        let line = serde_json::to_string(&Order { id, want }).map_err(|_| NoAnswer::NotSent)?;
        write_line(&mut *self.0.stdin.lock().await, &line).await;
        wait.await.map_err(|_| NoAnswer::Gone)
    }

    /// Asks for something of which nobody needs the answer.
    pub fn tell(&self, want: Want) {
        let process = self.clone();
        tokio::spawn(async move { process.ask(want).await });
    }

    /// What it sees now. None if it is gone, frozen or slow.
    pub async fn look(&self) -> Option<Sight> {
        match timeout(Duration::from_secs(2), self.ask(Want::Look)).await {
            Ok(Ok(Answer::Sight(sight))) => Some(*sight),
            _ => None,
        }
    }

    /// What it saw last.
    pub fn sight(&self) -> Option<Sight> {
        lock(&self.0.sight).as_ref().map(|(_, sight)| sight.clone())
    }

    /// What it was asked for after a moment, and saw.
    pub fn sight_since(&self, moment: Instant) -> Option<Sight> {
        lock(&self.0.sight).as_ref().filter(|(asked, _)| *asked > moment).map(|(_, sight)| sight.clone())
    }

    async fn keep_looking(self) {
        loop {
            let asked = Instant::now();
            match self.ask(Want::Look).await {
                Ok(Answer::Sight(sight)) => {
                    self.0.recorder.registered(&self, &sight);
                    *lock(&self.0.sight) = Some((asked, *sight));
                }
                Ok(_) | Err(NoAnswer::NotSent) if lock(&self.0.waiting).is_some() => {}
                _ => return,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGKILL, and the end of it.
    pub async fn kill(&self) {
        self.0.killed.store(true, Ordering::Relaxed);
        self.0.recorder.process(self.name(), "killed");
        let mut child = self.0.child.lock().await;
        drop(child.start_kill());
        if timeout(PATIENCE, child.wait()).await.is_err() {
            self.0.recorder.violated("a_killed_process_ends", format!("{:?} does not", self.name()));
        }
    }

    /// SIGSTOP: not an instruction more.
    pub fn freeze(&self) {
        lock(&self.0.pauses).frozen = true;
        self.0.recorder.process(self.name(), "frozen");
        self.signal(Signal::STOP);
    }

    /// SIGCONT: on from where it stood.
    pub fn thaw(&self) {
        if std::mem::take(&mut lock(&self.0.pauses).frozen) {
            lock(&self.0.pauses).last = Some(Instant::now());
            self.0.recorder.process(self.name(), "thawed");
            self.signal(Signal::CONT);
        }
    }

    /// Whether it was frozen a moment ago, or is.
    pub fn was_frozen_within(&self, time: Duration) -> bool {
        let pauses = lock(&self.0.pauses);
        pauses.frozen || pauses.last.is_some_and(|last| last.elapsed() < time)
    }

    fn signal(&self, signal: Signal) {
        // It may have died meanwhile; until its end is awaited, nobody else gets its number.
        kill_process(self.0.pid, signal).ok();
    }

    /// From now on no file of it grows past this size: its disk is full.
    pub fn limit_files(&self, bytes: u64) -> Result<(), String> {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(self.0.pid), Resource::Fsize, limit).map(drop).map_err(|e| e.to_string())
    }

    async fn listen(self, mut lines: BufReader<ChildStdout>) {
        while let Some(said) = next_said(&mut lines).await {
            match said {
                Said::Answered { id, answer } => {
                    let waiting = lock(&self.0.waiting).as_mut().and_then(|w| w.remove(&id));
                    drop(waiting.map(|w| w.send(answer)));
                }
                Said::Happened { at_us, event } => self.0.recorder.event(self.name(), at_us, &event),
                Said::Panicked(text) => {
                    self.0.recorder.violated("no_panic", format!("{}: {text}", self.0.name.node));
                }
                Said::Started | Said::CouldNotStart(_) => {}
            }
        }
        lock(&self.0.waiting).take();
        if !self.0.killed.load(Ordering::Relaxed) {
            let what = format!("{:?} ended, or said what nobody understands", self.name());
            self.0.recorder.violated("a_process_lives", what);
        }
    }
}

async fn write_line(stdin: &mut ChildStdin, line: &str) {
    // A process that is gone is noticed by who listens to it.
    drop(stdin.write_all(format!("{line}\n").as_bytes()).await);
}

/// None at the end, or after a line that is too long or has another meaning.
async fn next_said(lines: &mut BufReader<ChildStdout>) -> Option<Said> {
    let mut line = String::new();
    let read = lines.take(MAX_LINE).read_line(&mut line).await.ok()?;
    if read == 0 || !line.ends_with('\n') { None } else { serde_json::from_str(&line).ok() }
}
