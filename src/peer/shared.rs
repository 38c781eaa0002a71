//! What all parts of one peer share.

use arc_swap::ArcSwapOption;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};

use super::credit::Credits;
use super::detour::Detours;
use super::local::Crowd;
use super::old_copy::OwnDisk;
use super::patience::Patience;
use super::status::WaitError;
use super::timing::Timing;
use super::watch::Bells;
use crate::actor::{Gate, Host, Kinds};
use crate::checkpoint::{Cutting, Outdated, SaveOrder, Shelves};
use crate::clock::{Clock, Mono, moment};
use crate::core::command::{Admission, Command, Response, Settings};
use crate::core::event::Event;
use crate::core::history::History;
use crate::core::lease::{Granter, PeerInput, PeerLease};
use crate::core::restores::Restores;
use crate::core::state::State;
use crate::id::{ActorId, Incarnation, NodeId, RaftId};
use crate::limits::SHUTDOWN_LINGER;
use crate::raft::{Consensus, Snapshots};
use crate::store::Store;
use crate::task::Spawner;
use crate::transport::Transport;
use crate::wire::Probe;

/// Where a process is on its way through the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Joining,
    Member,
    /// A newer process took over the node id. For ever.
    Retired {
        by: Incarnation,
    },
    /// Shut down, or left.
    Stopped,
    /// Something that only an operator can mend: a broken disk, a refused configuration.
    Failed(String),
}

pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) cluster: String,
    pub(crate) contacts: Vec<SocketAddr>,
    pub(crate) bootstrap: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) timing: Timing,
    pub(crate) snapshots: Snapshots,
    pub(crate) settings: Settings,
    /// Drawn once per process.
    pub(crate) nonce: u128,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Whether that is an end: for who looks at every call.
    pub(crate) is_over: AtomicBool,
    pub(crate) saves: mpsc::Sender<SaveOrder>,
    /// One of those is wanted at once.
    pub(crate) save_soon: Notify,
    pub(crate) large_saves: Semaphore,
    pub(crate) cutting: Cutting,
    /// Who is at the chunks on this disk.
    pub(crate) shelves: Shelves,
    /// How many copies were fetched, to begin with another holder each time.
    pub(crate) fetches: AtomicUsize,
    pub(crate) lease: Mutex<PeerLease>,
    /// Exists while this peer's Raft leads or may come to lead.
    pub(crate) granter: Mutex<Option<Granter>>,
    /// The newest probe of a leader, to be answered with the next heartbeat.
    pub(crate) probe: Mutex<Option<Probe>>,
    /// When log entries were applied.
    pub(crate) history: Mutex<History>,
    /// How many requests one actor may have under way to one process.
    pub(crate) credits: Credits,
    /// Who waits here for an actor of this peer.
    pub(crate) patience: Patience,
    /// Where peers that said hello accept connections, and their disks, for when the member table cannot
    /// tell yet.
    pub(crate) learned: Mutex<BTreeMap<NodeId, (RaftId, SocketAddr)>>,
    /// Peers that are reached around a cut link.
    pub(crate) detours: Detours,
    /// As leader: the probe that voters are to answer next.
    pub(crate) own_probe: Mutex<Option<Probe>>,
    /// As leader: members whose `MarkUp` is under way.
    pub(crate) rising: Mutex<BTreeSet<NodeId>>,
    /// A probe was answered.
    pub(crate) confirmed: Notify,
    /// Something runs here that did not before.
    pub(crate) changed: Notify,
    /// Calls that wait here for actors that are away.
    pub(crate) held: Semaphore,
    pub(crate) restores: Mutex<Restores>,
    /// Others may run actors of this peer, which is up.
    pub(crate) homesick: Notify,
    /// Who watches which actors.
    pub(crate) bells: Bells,
    /// Since when members have been away, as far as this peer knows.
    pub(crate) away_since: Mutex<BTreeMap<NodeId, Mono>>,
    /// Held while an actor is started or stopped here as the directory says.
    pub(crate) hosting: Mutex<()>,
    /// Which copies on this disk nothing can name any more.
    pub(crate) outdated: Mutex<Outdated>,
    /// Actors of which older copies, or chunks that no copy names, may be on this disk.
    pub(crate) collectable: Mutex<BTreeSet<ActorId>>,
    pub(crate) own_disk: Mutex<OwnDisk>,
    pub(crate) admission: ArcSwapOption<Admission>,
    pub(crate) consensus: ArcSwapOption<Consensus>,
    pub(crate) transport: OnceLock<Transport>,
    pub(crate) host: OnceLock<Host>,
    /// What runs here without a name.
    pub(crate) crowd: Crowd,
    /// Where actors run; not where heartbeats do, so that busy actors cannot starve those.
    pub(crate) actors: Spawner,
    /// Raft, heartbeats and I/O run on threads of their own: busy actors cannot starve them.
    pub(crate) control: Spawner,
    pub(crate) runtime: Mutex<Option<Runtime>>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Drop for Shared {
    /// A peer that did not start, or that nobody shut down. A runtime must not wait for its threads where others wait
    /// for it.
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn millis(d: Duration) -> u64 {
    d.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Phase {
    /// Whether this process will never (again) be a member.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self, Phase::Joining | Phase::Member)
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Mono {
        self.clock.now()
    }

    pub(crate) fn consensus(&self) -> Option<Consensus> {
        self.consensus.load().as_deref().cloned()
    }

    pub(crate) fn set_consensus(&self, consensus: Option<Consensus>) {
        self.consensus.store(consensus.map(Arc::new));
        *lock(&self.granter) = None;
    }

    /// Whether this is the consensus that the peer goes by: one whose log was discarded lives on for a moment.
    pub(crate) fn goes_by(&self, consensus: &Consensus) -> bool {
        self.consensus().is_some_and(|current| current.is(consensus))
    }

    /// This process's place in the cluster, once it has one.
    pub(crate) fn admission(&self) -> Option<Admission> {
        self.admission.load().as_deref().copied()
    }

    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.admission().map(|a| a.incarnation)
    }

    /// Reads the replicated state as applied here; none before consensus runs.
    pub(crate) fn state<T>(&self, look: impl FnOnce(&State) -> T) -> Option<T> {
        self.consensus.load().as_deref().map(|c| c.applied().read(look))
    }

    /// The number of who runs what there, to be asked for before it is read.
    pub(crate) fn places(&self) -> Option<u64> {
        self.consensus.load().as_deref().map(|c| c.applied().places())
    }

    pub(crate) fn transport(&self) -> Option<&Transport> {
        self.transport.get()
    }

    pub(crate) fn host(&self) -> Option<&Host> {
        self.host.get()
    }

    pub(crate) fn emit(&self, event: Event) {
        // No subscriber is no error.
        drop(self.events.send(event));
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Completes when this peer is told to stop.
    pub(crate) async fn stopped(&self) {
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// Runs a task on the control threads until it ends or the peer stops.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let shared = self.clone();
        self.control.spawn(async move {
            tokio::select! {
                () = task => {}
                () = shared.stopped() => {}
            }
        });
    }

    /// Sleeps a bounded while; false if the peer was told to stop meanwhile.
    pub(crate) async fn pause(&self, d: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(d) => true,
            () = self.stopped() => false,
        }
    }

    /// Ends this process's life as a member, unless that has happened already.
    fn end_as(&self, end: Phase) -> bool {
        let fresh = self.phase.send_if_modified(|phase| {
            let fresh = !phase.is_over();
            if fresh {
                *phase = end;
                self.is_over.store(true, Ordering::Release);
            }
            fresh
        });
        if fresh {
            self.crowd.end();
        }
        fresh
    }

    /// A newer process of this node id exists: nothing of this one may act any more.
    pub(crate) fn retire(&self, by: Incarnation) {
        if self.incarnation().is_some_and(|mine| mine >= by) {
            return;
        }
        self.gate.retire();
        lock(&self.lease).step(PeerInput::Retired);
        if self.end_as(Phase::Retired { by }) {
            tracing::error!(node = %self.node, by = by.0, "retired: a newer process took over this node id; \
                this one has stopped its actors and must be shut down");
            if let Some(host) = self.host() {
                host.stop_all();
            }
            self.emit(Event::Retired { by });
        }
    }

    /// Gives up: only an operator can help.
    pub(crate) fn fail(&self, why: impl std::fmt::Display) {
        self.gate.close();
        if self.end_as(Phase::Failed(why.to_string())) {
            tracing::error!(node = %self.node, %why, "this peer cannot go on");
            self.emit(Event::Failed { why: why.to_string() });
        }
    }

    /// Whose disk it is, by the member table.
    pub(crate) fn node_of(&self, disk: RaftId) -> Option<NodeId> {
        self.state(|s| s.disk(disk).map(|(node, _)| node.clone())).flatten()
    }

    pub(crate) fn disk_of(&self, node: &NodeId) -> Option<RaftId> {
        self.state(|s| s.members.get(node).map(|m| m.raft_id)).flatten()
    }

    pub(super) async fn leave(self: &Arc<Self>, deadline: Duration) -> Result<(), WaitError> {
        let end = moment(deadline);
        if let Some(host) = self.host() {
            let last = host.final_checkpoints();
            if tokio::time::timeout_at(end, last).await.is_err() {
                tracing::warn!(node = %self.node, "leaving before every actor wrote its last checkpoint");
            }
        }
        let Some(incarnation) = self.incarnation() else { return Err(WaitError::NotMember) };
        // Its lease ends for good before others may count on that.
        lock(&self.lease).step(PeerInput::Retired);
        self.gate.retire();
        // They would wait for a lease that never comes.
        self.crowd.end();
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let command = Command::Leave { node: self.node.clone(), incarnation };
        match self.propose(command, left).await {
            // Replaced meanwhile: it is no longer this process that could leave.
            Ok(Response::Refused(_)) => Err(WaitError::NotMember),
            Ok(_) => Ok(()),
            Err(e) => Err(WaitError::Undecided(e.to_string())),
        }
    }

    pub(super) async fn shutdown(&self) {
        self.gate.close();
        // First this, or a restore that is under way starts its actor after all were stopped.
        self.end_as(Phase::Stopped);
        if let Some(host) = self.host() {
            host.stop_all();
        }
        let consensus = self.consensus();
        let transport = self.transport().cloned();
        // Both live on the control runtime; the caller may be on any.
        let end = self.control.spawn(async move {
            if let Some(consensus) = consensus {
                consensus.shutdown().await;
            }
            if let Some(transport) = transport {
                transport.shutdown().await;
            }
        });
        drop(end.await);
        self.stop.send_replace(true);
        self.set_consensus(None);
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime {
            // Waits for its threads: the process must not end while one of them is at work on the disk.
            let end = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(SHUTDOWN_LINGER));
            drop(end.await);
        }
    }

    /// Ends as a killed process does: no goodbye, not a packet more.
    #[cfg(feature = "testing")]
    pub(crate) fn kill(&self) {
        if let Some(transport) = self.transport() {
            transport.kill();
        }
        self.gate.retire();
        if let Some(host) = self.host() {
            host.stop_all();
        }
        self.phase.send_replace(Phase::Stopped);
        self.is_over.store(true, Ordering::Release);
        self.crowd.end();
        self.stop.send_replace(true);
        self.set_consensus(None);
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn own_kinds(&self) -> BTreeSet<String> {
        self.kinds.names().map(str::to_owned).collect()
    }
}
