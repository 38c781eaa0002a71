//! All peer processes: their directories, addresses and lives.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use standin::id::NodeId;
use tokio::process::Command as Process;
use tokio::sync::mpsc;

use super::child::{Child, News, Who};
use crate::wire::Command;

/// Puts a certificate and key for a node id into a directory.
pub type Issue = Box<dyn Fn(&NodeId, &Path) -> Result<(), String> + Send>;

/// What all peers have in common.
pub struct Shared {
    pub program: PathBuf,
    pub dir: PathBuf,
    pub issue: Issue,
    /// Messages from one checkpoint of a partition to the next, at most.
    pub checkpoint_every: u64,
    pub inbox: mpsc::Sender<(Who, News)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started yet, or not again.
    Absent,
    /// Started, and no member.
    Starting,
    /// A member.
    Joined,
    /// Killed, and perhaps not quite gone.
    Dying,
}

pub struct Peer {
    pub node: NodeId,
    pub state: State,
    life: u64,
    addr: Option<SocketAddr>,
    child: Option<Child>,
}

pub struct Fleet {
    shared: Shared,
    peers: Vec<Peer>,
}

impl Fleet {
    pub fn new(shared: Shared, nodes: Vec<NodeId>) -> Self {
        let peer = |node| Peer { node, state: State::Absent, life: 0, addr: None, child: None };
        Self { shared, peers: nodes.into_iter().map(peer).collect() }
    }

    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub fn state(&self, peer: usize) -> State {
        self.peers.get(peer).map_or(State::Absent, |peer| peer.state)
    }

    /// Whether news come from the peer's present process.
    pub fn is_current(&self, who: Who) -> bool {
        self.peers.get(who.peer).is_some_and(|peer| peer.life == who.life && peer.child.is_some())
    }

    /// The ids of all processes that run.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.peers.iter().filter_map(|peer| peer.child.as_ref()?.id)
    }

    /// The member that is told the job's commands.
    pub fn speaker(&self) -> Option<usize> {
        self.peers.iter().position(|peer| peer.state == State::Joined)
    }

    /// Starts the founder. The others have somebody to ask once it is a member.
    pub fn found(&mut self) -> Result<(), String> {
        self.start(0, None, true)
    }

    /// Starts a process for a peer; it asks all that listen for admission.
    pub fn start(&mut self, peer: usize, listen: Option<SocketAddr>, found: bool) -> Result<(), String> {
        let others = self.peers.iter().enumerate().filter(|(other, _)| *other != peer);
        let alive = others.filter(|(_, other)| matches!(other.state, State::Starting | State::Joined));
        let contacts: Vec<SocketAddr> = alive.filter_map(|(_, other)| other.addr).collect();
        let Some(slot) = self.peers.get_mut(peer) else { return Ok(()) };
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", slot.node);
        let home = self.shared.dir.join(slot.node.as_str());
        let (identity, data) = (home.join("identity"), home.join("data"));
        for dir in [&identity, &data] {
            fs::create_dir_all(dir).map_err(|error| fail(&error))?;
        }
        if is_empty(&identity).map_err(|error| fail(&error))? {
            (self.shared.issue)(&slot.node, &identity).map_err(|error| fail(&error))?;
        }
        let log = self.shared.dir.join(format!("{}.log", slot.node));
        let log = OpenOptions::new().create(true).append(true).open(log).map_err(|error| fail(&error))?;
        let listen = listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let mut process = Process::new(&self.shared.program);
        process.arg("worker").args(["--node", slot.node.as_str()]);
        process.args(["--listen", &listen.to_string()]);
        process.arg("--identity").arg(identity).arg("--data-dir").arg(data);
        process.args(["--checkpoint-every", &self.shared.checkpoint_every.to_string()]);
        if !contacts.is_empty() {
            let contacts: Vec<String> = contacts.iter().map(SocketAddr::to_string).collect();
            process.args(["--contacts", &contacts.join(",")]);
        }
        if found {
            process.arg("--bootstrap");
        }
        let who = Who { peer, life: slot.life + 1 };
        let child = Child::start(process, log, who, self.shared.inbox.clone());
        slot.child = Some(child.map_err(|error| fail(&error))?);
        slot.life = who.life;
        slot.state = State::Starting;
        Ok(())
    }

    /// A process listens.
    pub fn listens(&mut self, peer: usize, addr: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.addr = Some(addr);
        }
    }

    /// A process is a member.
    pub fn joined(&mut self, peer: usize) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.state = State::Joined;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self, peer: usize) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.state = State::Dying;
            if let Some(child) = &mut peer.child {
                child.kill();
            }
        }
    }

    /// Where its newest process that got so far listens, or did.
    pub fn addr(&self, peer: usize) -> Option<SocketAddr> {
        self.peers.get(peer).and_then(|peer| peer.addr)
    }

    /// Its process is no more. With `wipe`, its directory goes too, key and all.
    pub fn gone(&mut self, peer: usize, wipe: bool) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(peer) else { return Ok(()) };
        peer.state = State::Absent;
        peer.child = None;
        if wipe { fs::remove_dir_all(self.shared.dir.join(peer.node.as_str())) } else { Ok(()) }
    }

    pub fn tell(&self, peer: usize, command: Command) {
        if let Some(child) = self.peers.get(peer).and_then(|peer| peer.child.as_ref()) {
            child.tell(command);
        }
    }

    /// Lets all processes end in good order. `Gone` comes from each that has one.
    pub fn finish(&mut self) -> usize {
        let children = self.peers.iter_mut().filter_map(|peer| peer.child.as_mut());
        children.map(Child::finish).count()
    }

    /// What a process last wrote about itself.
    pub fn last_words(&self, peer: usize) -> String {
        let Some(peer) = self.peers.get(peer) else { return String::new() };
        let log = self.shared.dir.join(format!("{}.log", peer.node));
        let text =
            fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn is_empty(dir: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(dir)?.next().is_none())
}
