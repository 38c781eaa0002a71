//! Describes a peer, checks the description, and starts it.

use arc_swap::ArcSwapOption;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};

use super::Peer;
use super::credit::Credits;
use super::local::Crowd;
use super::patience::{Patience, keep_time};
use super::post::PostOffice;
use super::serve::Server;
use super::shared::{Phase, Shared};
use super::timing::Timing;
use super::watch::Bells;
use crate::actor::{Gate, Host, Kind, KindError, Kinds, Observer, OutsideDoor, World};
use crate::checkpoint::{Cutting, Saves, Shelves};
use crate::clock::{BootClock, Clock};
use crate::core::command::Settings;
use crate::core::lease::PeerLease;
use crate::core::restores::Restores;
use crate::id::NodeId;
use crate::identity::Identity;
use crate::limits::{
    DEFAULT_MAX_VOTERS, EVENT_BACKLOG, MAX_APART_THREADS, MAX_CONTROL_THREADS, MAX_HELD_CALLS,
    MAX_KIND_BYTES, MAX_LABELS, MAX_PARALLEL_RESTORES, MAX_QUEUED_SAVES, PARALLEL_LARGE_SAVES,
    SHORT_RESTORES,
};
use crate::raft::Snapshots;
use crate::store::{RocksStore, Store, StoreError};
use crate::task::Spawner;
use crate::transport::{Network, Transport, TransportConfig, TransportError};

/// A peer could not start. Nothing was changed in the cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The description is incomplete or contradicts itself; the text says what to do.
    #[error("configuration: {0}")]
    Config(String),
    /// An actor kind cannot be registered.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The machine refused a thread, or random numbers.
    #[error("the machine: {0}")]
    Machine(String),
}

/// What a peer is to be. Get one from [`Peer::builder`].
#[derive(Clone)]
pub struct Builder {
    node: NodeId,
    identity: Option<Identity>,
    listen: SocketAddr,
    advertise: Option<SocketAddr>,
    contacts: Vec<SocketAddr>,
    data_dir: Option<PathBuf>,
    store: Option<Arc<dyn Store>>,
    bootstrap: bool,
    labels: BTreeMap<String, String>,
    timing: Timing,
    max_voters: usize,
    kinds: Vec<Kind>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    network: Option<Network>,
    snapshots: Snapshots,
    cutting: Cutting,
    #[cfg(any(test, feature = "testing"))]
    faults: Option<crate::transport::LinkTable>,
    #[cfg(any(test, feature = "testing"))]
    protocol: u16,
}

impl Builder {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            identity: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            contacts: vec![],
            data_dir: None,
            store: None,
            bootstrap: false,
            labels: BTreeMap::new(),
            timing: Timing::default(),
            max_voters: DEFAULT_MAX_VOTERS,
            kinds: vec![],
            clock: Arc::new(BootClock),
            observer: None,
            network: None,
            snapshots: Snapshots::default(),
            cutting: Cutting::default(),
            #[cfg(any(test, feature = "testing"))]
            faults: None,
            #[cfg(any(test, feature = "testing"))]
            protocol: crate::transport::PROTOCOL_VERSION,
        }
    }

    /// The certificate and key that prove this node id. Required.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Where to accept connections. Loopback and any free port, unless said otherwise.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// The address that others are told, if it is not the one that is listened on. Needed for `0.0.0.0`.
    #[must_use]
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.advertise = Some(addr);
        self
    }

    /// Addresses of any members, to find the cluster by. At least one, except for a first founder.
    #[must_use]
    pub fn contacts(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.contacts.extend(addrs);
        self
    }

    /// The directory for this peer's log and copies; made if it is not there. Required.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// A store of another make, instead of RocksDB in a directory.
    #[doc(hidden)]
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Whether this peer founds the cluster if none of its contacts belongs to one. On one peer only.
    #[must_use]
    pub fn bootstrap(mut self, yes: bool) -> Self {
        self.bootstrap = yes;
        self
    }

    /// A label of this peer. Copies and voters are spread over the values of `zone`.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// How patient the peers are; the same on all of them.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// How many peers vote at most; the founder's counts. 15, unless said otherwise.
    #[must_use]
    pub fn max_voters(mut self, n: usize) -> Self {
        self.max_voters = n;
        self
    }

    /// A kind of actors that this peer can host.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Kind>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    /// Another clock, for tests of clocks.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sees every poll of a handler.
    #[doc(hidden)]
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// A network of another make, instead of UDP. The whole peer then runs on the calling tokio runtime,
    /// and starts no thread.
    #[doc(hidden)]
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// A snapshot after so many log entries, with so many kept behind it, for tests of snapshots.
    #[doc(hidden)]
    #[must_use]
    pub fn snapshots(mut self, every: u64, kept: u64) -> Self {
        self.snapshots = Snapshots { every, kept };
        self
    }

    /// Checkpoints of so many bytes are cut into chunks already, small ones, for tests of chunks.
    #[doc(hidden)]
    #[must_use]
    pub fn cut_from(mut self, bytes: usize) -> Self {
        self.cutting = Cutting::small(bytes);
        self
    }

    /// Links that a test may cut.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    #[must_use]
    pub fn faults(mut self, faults: crate::transport::LinkTable) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Lets it speak another version of the wire's protocol, as a program of another release does.
    #[cfg(any(test, feature = "testing"))]
    #[doc(hidden)]
    #[must_use]
    pub fn protocol(mut self, version: u16) -> Self {
        self.protocol = version;
        self
    }

    fn check(&self) -> Result<Identity, StartError> {
        let config = |why: String| Err(StartError::Config(why));
        let Some(identity) = self.identity.clone() else {
            return config(
                "no identity: issue one with `standin cert issue`, or use Identity::development".into(),
            );
        };
        if identity.node_id() != &self.node {
            return config(format!("the certificate is for {}, not for {}", identity.node_id(), self.node));
        }
        if self.contacts.is_empty() && !self.bootstrap {
            return config(
                "no contacts: name the address of at least one member, or set bootstrap on one peer".into(),
            );
        }
        if self.data_dir.is_none() && self.store.is_none() {
            return config("no data directory: set data_dir".into());
        }
        if self.listen.ip().is_unspecified() && self.advertise.is_none() {
            return config(format!("{} is no address that others can use: set advertise", self.listen));
        }
        if self.labels.len() > MAX_LABELS
            || self.labels.iter().any(|(k, v)| k.len() > MAX_KIND_BYTES || v.len() > MAX_KIND_BYTES)
        {
            return config(format!("at most {MAX_LABELS} labels, of {MAX_KIND_BYTES} bytes each way"));
        }
        if self.max_voters == 0 {
            return config("max_voters must be at least 1".into());
        }
        match self.timing.fault() {
            Some(why) => config(why.into()),
            None => Ok(identity),
        }
    }

    /// Starts the peer: opens its disk, listens, and begins to join. Returns before it is a member;
    /// see [`Peer::joined`]. Actors run on the calling tokio runtime; the rest on two threads of its own.
    ///
    /// # Errors
    /// [`StartError`] says what to change.
    pub async fn start(self) -> Result<Peer, StartError> {
        let identity = self.check()?;
        let mut kinds = Kinds::default();
        for kind in &self.kinds {
            kinds.add(kind.clone())?;
        }
        let store: Arc<dyn Store> = match (&self.store, &self.data_dir) {
            (Some(store), _) => store.clone(),
            (None, Some(dir)) => Arc::new(RocksStore::open(dir)?),
            (None, None) => return Err(StartError::Config("no data directory: set data_dir".into())),
        };
        let runtime = match self.network {
            Some(_) => None,
            None => Some(control_threads(&self.node).map_err(|e| StartError::Machine(e.to_string()))?),
        };
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|e| StartError::Machine(e.to_string()))?;
        let (saves, queue) = mpsc::channel(MAX_QUEUED_SAVES);
        let control = runtime.as_ref().map_or_else(Handle::current, |own| own.handle().clone());
        let gate = Arc::new(Gate::new(self.clock.clone()));
        let observer = self.observer.clone();
        let transport = self.transport(identity.clone());
        let shared = Arc::new(Shared {
            node: self.node,
            cluster: identity.cluster().to_owned(),
            contacts: self.contacts,
            bootstrap: self.bootstrap,
            labels: self.labels,
            kinds: Arc::new(kinds),
            settings: Settings {
                lease_ms: super::shared::millis(self.timing.lease),
                max_voters: self.max_voters,
            },
            timing: self.timing,
            snapshots: self.snapshots,
            nonce: u128::from_le_bytes(nonce),
            clock: self.clock,
            store,
            gate,
            events: broadcast::Sender::new(EVENT_BACKLOG),
            phase: watch::Sender::new(Phase::Joining),
            is_over: AtomicBool::new(false),
            saves,
            save_soon: Notify::new(),
            large_saves: Semaphore::new(PARALLEL_LARGE_SAVES),
            cutting: self.cutting,
            shelves: Shelves::default(),
            fetches: AtomicUsize::new(0),
            lease: Mutex::new(PeerLease::new()),
            granter: Mutex::default(),
            probe: Mutex::default(),
            history: Mutex::default(),
            credits: Credits::default(),
            patience: Patience::default(),
            learned: Mutex::default(),
            detours: super::detour::Detours::default(),
            own_probe: Mutex::default(),
            rising: Mutex::new(BTreeSet::new()),
            confirmed: Notify::new(),
            changed: Notify::new(),
            held: Semaphore::new(MAX_HELD_CALLS),
            restores: Mutex::new(Restores::new(MAX_PARALLEL_RESTORES * SHORT_RESTORES)),
            homesick: Notify::new(),
            bells: Bells::default(),
            away_since: Mutex::default(),
            hosting: Mutex::default(),
            outdated: Mutex::default(),
            collectable: Mutex::default(),
            own_disk: Mutex::default(),
            admission: ArcSwapOption::empty(),
            consensus: ArcSwapOption::empty(),
            transport: OnceLock::new(),
            host: OnceLock::new(),
            crowd: Crowd::default(),
            actors: Spawner::on(Handle::current()),
            control: Spawner::on(control),
            runtime: Mutex::new(runtime),
            stop: watch::Sender::new(false),
        });
        start_parts(&shared, transport, observer)?;
        shared.spawn(shared.clone().flush_saves(queue));
        shared.spawn(shared.clone().report_lease());
        shared.spawn(keep_time(shared.clone()));
        shared.spawn(shared.clone().enter());
        Ok(Peer { shared })
    }

    fn transport(&self, identity: Identity) -> TransportConfig {
        let wide = self.timing.heartbeat > Timing::lan().heartbeat * 2;
        let preset = if wide { TransportConfig::wan } else { TransportConfig::lan };
        let mut config = preset(identity, self.listen);
        config.dial_timeout = self.timing.connect;
        config.initial_rtt = self.timing.heartbeat / 5;
        config.advertise = self.advertise;
        config.network = self.network.clone();
        #[cfg(any(test, feature = "testing"))]
        {
            config.faults = self.faults.clone();
            config.version = self.protocol;
        }
        config
    }
}

/// Threads for Raft, heartbeats and I/O.
fn control_threads(node: &NodeId) -> std::io::Result<Runtime> {
    // Each more is woken to look for work whenever there is any, which costs most when there is little.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).clamp(1, MAX_CONTROL_THREADS))
        .max_blocking_threads(MAX_APART_THREADS)
        .thread_name(format!("standin-{node}"))
        .enable_all()
        .build()
}

/// Starts what needs to know the peer that it is a part of.
fn start_parts(
    shared: &Arc<Shared>,
    config: TransportConfig,
    observer: Option<Arc<dyn Observer>>,
) -> Result<(), StartError> {
    let weak: Weak<Shared> = Arc::downgrade(shared);
    let door = weak.clone();
    let outside: OutsideDoor = Box::new(move || match door.upgrade() {
        Some(shared) => Arc::new(Peer { shared }),
        None => Arc::new(()), // nobody starts an actor without a peer
    });
    drop(shared.host.set(Host::new(World {
        kinds: shared.kinds.clone(),
        gate: shared.gate.clone(),
        saver: Arc::new(Saves(weak.clone())),
        post: Arc::new(PostOffice(weak.clone())),
        outside,
        runtime: shared.actors.clone(),
        observer,
    })));
    let _inside = shared.control.runtime().enter();
    let transport = Transport::bind(config, Arc::new(Server(weak)))?;
    drop(shared.transport.set(transport));
    Ok(())
}
