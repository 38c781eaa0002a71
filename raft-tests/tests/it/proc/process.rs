//! One child process, and a conversation with it.

use standin::id::NodeId;
use standin::{Event, PhaseStatus};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::child::CHILD;
use super::words::{Answer, MARK, MAX_LINE, Order, PeerRole, Role, Said, Sight, Want};
use crate::support::PATIENCE;

/// How often a condition is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// This test binary, told to be a child. `environment` is added to the child's.
pub fn command(environment: &[(&str, &str)]) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["proc::child::main", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The process is dead: what was asked of it may have happened or not.
#[derive(Debug)]
pub struct Gone;

/// A handle on a child; clones are the same one. It dies with the last of them, or with the parent.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    node: NodeId,
    addr: SocketAddr,
    pid: u32,
    child: Mutex<Child>,
    stdin: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    /// None once the child is gone.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    events: watch::Sender<Vec<Event>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a peer, and waits until it listens.
    pub async fn start(role: PeerRole, environment: &[(&str, &str)]) -> Result<Self, String> {
        let node = role.node.clone();
        let mut command = Command::from(command(environment));
        let mut child = command.kill_on_drop(true).spawn().map_err(|e| e.to_string())?;
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        write_line(&mut stdin, &serde_json::to_string(&Role::Peer(role)).unwrap()).await;
        let mut lines = BufReader::new(stdout);
        let addr = match tokio::time::timeout(PATIENCE, next_said(&mut lines)).await {
            Ok(Some(Said::Started(addr))) => addr,
            Ok(Some(Said::CouldNotStart(why))) => return Err(why),
            _ => return Err("it did not start".into()),
        };
        let heard = Arc::new(Heard { waiting: Mutex::new(Some(HashMap::new())), ..Heard::default() });
        tokio::spawn(listen(lines, heard.clone()));
        let pid = child.id().ok_or("it is dead already")?;
        let (child, stdin) = (Mutex::new(child), tokio::sync::Mutex::new(stdin));
        Ok(Self(Arc::new(Inner { node, addr, pid, child, stdin, next: AtomicU64::new(0), heard })))
    }

    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    pub async fn ask(&self, want: Want) -> Result<Answer, Gone> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, wait) = oneshot::channel();
        lock(&self.0.heard.waiting).as_mut().ok_or(Gone)?.insert(id, answer);
        let line = serde_json::to_string(&Order { id, want }).unwrap();
        write_line(&mut *self.0.stdin.lock().await, &line).await;
        wait.await.map_err(|_| Gone)
    }

    /// What this peer sees. None if it is dead, or takes too long (it may be frozen).
    pub async fn look(&self) -> Option<Sight> {
        match tokio::time::timeout(PATIENCE, self.ask(Want::Look)).await {
            Ok(Ok(Answer::Sight(sight))) => Some(*sight),
            _ => None,
        }
    }

    /// Waits until a condition on what this peer sees holds.
    pub async fn wait(&self, what: &str, condition: impl Fn(&Sight) -> bool) -> Sight {
        self.wait_looking(what, condition, LOOK_EVERY).await
    }

    /// The same, without a pause between two looks: for what must be caught in the act.
    pub async fn wait_closely(&self, what: &str, condition: impl Fn(&Sight) -> bool) -> Sight {
        self.wait_looking(what, condition, Duration::ZERO).await
    }

    async fn wait_looking(&self, what: &str, condition: impl Fn(&Sight) -> bool, every: Duration) -> Sight {
        let end = Instant::now() + PATIENCE;
        loop {
            let sight = self.look().await;
            match sight {
                Some(sight) if condition(&sight) => return sight,
                Some(sight) if Instant::now() < end => drop(sight),
                sight => panic!("{}: not {what} in time; it sees {sight:?}", self.node()),
            }
            tokio::time::sleep(every).await;
        }
    }

    pub async fn joined(&self) -> Sight {
        self.wait("a member", |s| s.status.phase == PhaseStatus::Member && s.status.holds_lease).await
    }

    /// Waits until this peer has reported an event, now or before.
    pub async fn wait_event(&self, what: &str, which: impl Fn(&Event) -> bool) -> Event {
        self.wait_events(what, 1, which).await
    }

    /// The same, so many times. Returns the last.
    pub async fn wait_events(&self, what: &str, times: usize, which: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.0.heard.events.subscribe();
        let found = events.wait_for(|seen| seen.iter().filter(|e| which(e)).count() >= times);
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Ok(seen)) => seen.iter().rfind(|e| which(e)).unwrap().clone(),
            _ => panic!("{}: no event of {what} in time, but {:?}", self.node(), self.events()),
        }
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.heard.events.borrow().clone()
    }

    /// Sends SIGKILL; [`Process::wait_dead`] waits for the end.
    pub fn kill(&self) {
        lock(&self.0.child).start_kill().unwrap();
    }

    /// Waits until the process is gone, and its files and ports with it.
    pub async fn wait_dead(&self) {
        let end = Instant::now() + PATIENCE;
        while lock(&self.0.child).try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "{} does not die", self.node());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// SIGSTOP: not an instruction more.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
        // The signal is sent, not yet delivered to every thread.
        let end = Instant::now() + PATIENCE;
        while !self.is_frozen() {
            assert!(Instant::now() < end, "{} does not freeze", self.node());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// SIGCONT: on from where it stood.
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status().await.unwrap();
        assert!(sent.success(), "kill {name}");
    }

    fn is_frozen(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    }
}

async fn write_line(stdin: &mut ChildStdin, line: &str) {
    // A child that is gone is noticed by the reader.
    drop(stdin.write_all(format!("{line}\n").as_bytes()).await);
}

async fn listen(mut lines: BufReader<ChildStdout>, heard: Arc<Heard>) {
    while let Some(said) = next_said(&mut lines).await {
        match said {
            Said::Answered { id, answer } => {
                let waiting = lock(&heard.waiting).as_mut().and_then(|w| w.remove(&id));
                waiting.map(|w| w.send(answer));
            }
            Said::Happened(event) => heard.events.send_modify(|events| events.push(event)),
            Said::Started(_) | Said::CouldNotStart(_) => {}
        }
    }
    lock(&heard.waiting).take();
}

/// None at the end, or after a line that is too long.
async fn next_said(lines: &mut BufReader<ChildStdout>) -> Option<Said> {
    loop {
        let mut line = String::new();
        if lines.take(MAX_LINE).read_line(&mut line).await.ok()? == 0 || !line.ends_with('\n') {
            return None;
        }
        if let Some(said) = line.strip_prefix(MARK) {
            return Some(serde_json::from_str(said).unwrap());
        }
    }
}
