//! The machines of a run: each with a node id, a certificate, a disk and a place in the network.

use standin::id::{Incarnation, NodeId};
use standin::identity::DevAuthority;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

use super::disks::Disks;
use super::process::{Name, Process};
use super::record::Recorder;
use super::relay::{Front, Host, Relay};
use super::words::{Role, Sight};
use super::{Options, clock};

/// Peers `peer-1` to `peer-N`; `peer-1` founded the cluster. Indexes count from 0.
pub struct Fleet {
    mistake: Option<String>,
    authority: DevAuthority,
    disks: Arc<Disks>,
    pub relay: Relay,
    pub recorder: Recorder,
    pub seats: Vec<Seat>,
    pub ghosts: Vec<Ghost>,
    processes: u32,
    last_host: Host,
}

/// One node id, and who has it now.
pub struct Seat {
    pub node: NodeId,
    identity: (String, String, String),
    dir: PathBuf,
    disks: u32,
    pub host: Host,
    front: Option<Front>,
    pub process: Option<Process>,
    /// Its disk fails, noticed or not.
    pub sick: bool,
    /// When its disk was lost, if all has not been well since.
    pub wiped: Option<Instant>,
    /// A disk that it had before, and the node's newest process then.
    pub attic: Option<(PathBuf, Option<Incarnation>)>,
}

/// A process whose place was given to another, and that goes on.
pub struct Ghost {
    pub process: Process,
    _front: Option<Front>,
}

/// The most peers: as many hosts are needed for twice as many processes.
pub const MAX_PEERS: usize = 15;

fn pems(authority: &DevAuthority, node: &NodeId) -> Result<(String, String, String), String> {
    let id = authority.issue(node).map_err(|e| e.to_string())?;
    Ok((id.chain_pem().into(), id.key_pem().into(), id.roots_pem().into()))
}

impl Fleet {
    /// Machines that do not run yet.
    pub fn new(
        options: &Options,
        disks: &Arc<Disks>,
        relay: &Relay,
        recorder: &Recorder,
    ) -> Result<Self, String> {
        let authority = DevAuthority::create("chaos").map_err(|e| e.to_string())?;
        let seat = |number: usize| {
            let node = NodeId::new(format!("peer-{number}")).map_err(|e| e.to_string())?;
            Ok(Seat {
                identity: pems(&authority, &node)?,
                dir: disks.place(node.as_str(), number, 1),
                node,
                disks: 1,
                host: number as Host,
                front: None,
                process: None,
                sick: false,
                wiped: None,
                attic: None,
            })
        };
        let seats = (1..=options.nodes).map(seat).collect::<Result<_, String>>()?;
        let (disks, relay, recorder) = (disks.clone(), relay.clone(), recorder.clone());
        let last_host = options.nodes as Host;
        let mistake = options.mistake.clone();
        Ok(Self {
            mistake,
            authority,
            disks,
            relay,
            recorder,
            seats,
            ghosts: vec![],
            processes: 0,
            last_host,
        })
    }

    pub fn size(&self) -> usize {
        self.seats.len()
    }

    pub fn runs(&self, at: usize) -> bool {
        self.seats[at].process.is_some()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.size()).filter(|at| self.runs(*at)).collect()
    }

    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.seats.iter().filter_map(|seat| seat.process.as_ref())
    }

    /// Where others find a peer.
    pub fn front_of(&self, at: usize) -> Option<std::net::SocketAddr> {
        self.seats[at].front.as_ref().map(Front::addr)
    }

    /// What those that run saw last.
    pub fn sights(&self) -> impl Iterator<Item = Sight> {
        self.processes().filter_map(Process::sight)
    }

    /// The newest process of a node that any running peer knows of.
    pub fn newest_process(&self, at: usize) -> Option<Incarnation> {
        let node = &self.seats[at].node;
        self.sights().filter_map(|sight| sight.incarnation_of(node)).max()
    }

    /// Starts a process on the disk that there is; at the address that the node had, or at another.
    pub async fn start(&mut self, at: usize, same_address: bool) -> Result<Process, String> {
        let (host, relay) = (self.seats[at].host, self.relay.clone());
        let failed = |e: std::io::Error| e.to_string();
        let listen = relay.address_on(host)?;
        let seat = &mut self.seats[at];
        let advertise = match &seat.front {
            Some(front) if same_address => {
                front.lead_to(host, listen);
                front.addr()
            }
            _ => {
                let front = Front::open(&relay, host, listen).await.map_err(failed)?;
                seat.front.insert(front).addr()
            }
        };
        let others = self.seats.iter().enumerate().filter(|(other, _)| *other != at);
        let contacts = others.filter_map(|(_, seat)| Some(seat.front.as_ref()?.addr())).collect();
        self.disks.make_room(&self.seats[at].dir);
        let seat = &self.seats[at];
        let role = Role {
            node: seat.node.clone(),
            identity: seat.identity.clone(),
            dir: seat.dir.clone(),
            listen,
            advertise,
            contacts,
            bootstrap: at == 0,
            begun_us: clock::begun_us(),
            mistake: self.mistake.clone(),
        };
        self.processes += 1;
        let name = Name { node: seat.node.clone(), number: self.processes, host };
        let process = Process::start(name, role, self.relay.on(host), &self.recorder).await?;
        self.seats[at].process = Some(process.clone());
        self.count_up();
        Ok(process)
    }

    /// Ends a process.
    pub async fn end(&mut self, at: usize) {
        if let Some(process) = self.seats[at].process.take() {
            self.seats[at].sick = false;
            process.kill().await;
            self.count_up();
        }
    }

    fn count_up(&self) {
        self.recorder.sums().peers_up = self.running().len();
    }

    /// Takes all room on a peer's disk but so many bytes. Whether that disk can be filled.
    pub fn fill_disk(&self, at: usize, but: u64) -> bool {
        self.disks.fill(&self.seats[at].dir, but)
    }

    /// Puts an empty disk in the place of the one that there is, which is kept.
    pub fn new_disk(&mut self, at: usize) {
        let newest = self.newest_process(at);
        let seat = &mut self.seats[at];
        seat.disks += 1;
        let dir = self.disks.place(seat.node.as_str(), at + 1, seat.disks);
        let old = std::mem::replace(&mut seat.dir, dir);
        seat.attic = Some((old, newest));
    }

    /// Puts back the disk that the node had before.
    pub fn old_disk(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        if let Some((dir, _)) = seat.attic.take() {
            seat.dir = dir;
        }
    }

    pub fn new_certificate(&mut self, at: usize) -> Result<(), String> {
        self.seats[at].identity = pems(&self.authority, &self.seats[at].node)?;
        Ok(())
    }

    /// Leaves a process to itself, and makes room for another machine of its name.
    pub fn let_go(&mut self, at: usize) {
        let host = self.spare_host();
        let seat = &mut self.seats[at];
        if let Some(process) = seat.process.take() {
            self.ghosts.push(Ghost { process, _front: seat.front.take() });
        }
        seat.host = host;
        seat.sick = false;
        self.new_disk(at);
        // That one is in use by the ghost.
        self.seats[at].attic = None;
    }

    fn spare_host(&mut self) -> Host {
        let used = |host: Host| {
            self.seats.iter().any(|s| s.host == host) || self.ghosts.iter().any(|g| g.process.host() == host)
        };
        // There are fewer processes than hosts, by far.
        let next = |host: Host| if host >= 250 { 1 } else { host + 1 };
        let mut host = next(self.last_host);
        while used(host) {
            host = next(host);
        }
        self.last_host = host;
        host
    }

    /// Whether a process lost its place for good, as far as any running peer knows.
    pub fn is_superseded(&self, process: &Process) -> bool {
        let newest = self.sights().filter_map(|sight| sight.incarnation_of(&process.name().node));
        let mine = process.sight().and_then(|sight| sight.status.incarnation);
        mine.is_some() && newest.max() > mine
    }

    /// Ends processes that were left to themselves.
    pub async fn end_ghosts(&mut self, which: impl Fn(&Self, &Process) -> bool) {
        let (end, stay) = std::mem::take(&mut self.ghosts).into_iter().partition(|g| which(self, &g.process));
        self.ghosts = stay;
        let end: Vec<Ghost> = end;
        for ghost in end {
            ghost.process.kill().await;
            self.obeys(self.relay.forget(ghost.process.host()));
        }
    }

    /// Says that the machine's network cannot be changed as it should be.
    pub fn obeys(&self, done: Result<(), String>) {
        if let Err(why) = done {
            self.recorder.violated("the_network_obeys", why);
        }
    }

    /// Removes disks that nobody has any more.
    pub fn tidy(&self) {
        let in_use = |dir: &Path| {
            let attic = |seat: &Seat| seat.attic.as_ref().is_some_and(|(kept, _)| kept == dir);
            self.seats.iter().any(|seat| seat.dir == dir || attic(seat))
                || self.ghosts.iter().any(|ghost| ghost.process.dir() == dir)
        };
        self.disks.tidy(in_use);
    }
}
