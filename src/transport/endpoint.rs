//! The transport as its owner sees it, and what its parts share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::{self, Accepted};
use super::config::TransportConfig;
use super::counters::{Counters, CountersSnapshot, bump};
use super::frame::{Batch, FrameReader};
use super::lane::MAX_BODY_BYTES;
use super::link::{Job, Link};
use super::links::{Links, Newest};
use super::lock;
use super::log_limit::LogLimit;
use super::request::{Dest, Handler, Item, RequestError, Waiting};
use super::session::Session;
use super::socket::{ConnectionIds, Network, ResetKey, WatchedSocket};
use super::stream::FramedStream;
use super::tls;
use super::wire::{CLOSE_DONE, CLOSE_REFUSED, Hello, Lane, Refusal, TAG_BULK, encode_refusal};
use crate::canary::{Mistake, made};
use crate::clock::moment;
use crate::id::{ClusterId, Incarnation, NodeId, RaftId};
use crate::identity::CertificateName;
use crate::limits::{MAX_FRAME_BYTES, MAX_PACKET_BYTES, MAX_STREAM_HEADER_BYTES, SHUTDOWN_LINGER};
use crate::task::Spawner;

/// Why a transport could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address could not be bound.
    #[error("cannot listen on {addr}: {cause}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// `0.0.0.0` or `[::]` is no address that others can dial.
    #[error("{0} is no address that others can reach; set the address to advertise")]
    Unreachable(SocketAddr),
    /// The identity cannot be used, or a setting is out of range.
    #[error("identity or settings: {0}")]
    Identity(String),
    /// It was not called on a tokio runtime.
    #[error("a transport must be made on a tokio runtime")]
    NoRuntime,
}

/// One peer's way to all others. Cloning is cheap; when the last clone is dropped, its connections close.
#[derive(Clone)]
pub struct Transport {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A destination that was looked up. See [`Transport::way`].
#[derive(Clone)]
pub struct Way {
    to: Dest,
    link: Weak<Link>,
}

/// What the parts of one transport have in common.
pub(super) struct Shared {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) runtime: Spawner,
    pub(super) counters: Arc<Counters>,
    pub(super) links: Links,
    pub(super) accepted: Accepted,
    pub(super) newest: Newest,
    pub(super) dial_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) first_backoff: Duration,
    pub(super) longest_backoff: Duration,
    hello: Mutex<(Hello, u64)>,
    complaints: LogLimit,
    closed: AtomicBool,
    #[cfg(any(test, feature = "testing"))]
    socket: Arc<WatchedSocket>,
}

impl Shared {
    /// What this peer says about itself, and which version of it this is.
    pub(super) fn hello(&self) -> (Hello, u64) {
        lock(&self.hello).clone()
    }

    pub(super) fn hello_version(&self) -> u64 {
        lock(&self.hello).1
    }

    /// Whether a hello is what the certificate says, and of this cluster.
    pub(super) fn check_name(&self, name: Option<&CertificateName>, hello: &Hello) -> Result<(), Refusal> {
        let (own, _) = self.hello();
        let name = name.ok_or(Refusal::WrongNode)?;
        if hello.version != own.version && !made(Mistake::OtherVersionAccepted) {
            return Err(Refusal::Version);
        }
        if name.cluster() != own.cluster || hello.cluster != own.cluster {
            return Err(Refusal::WrongCluster);
        }
        if own.cluster_id.zip(hello.cluster_id).is_some_and(|(own, other)| own != other) {
            return Err(Refusal::WrongCluster);
        }
        if name.node_id() != Some(&hello.node_id) {
            return Err(Refusal::WrongNode);
        }
        Ok(())
    }

    /// Closes a connection and says why.
    pub(super) fn refuse(&self, connection: &quinn::Connection, refusal: &Refusal) {
        self.counters.refused(refusal);
        connection.close(CLOSE_REFUSED.into(), &encode_refusal(refusal));
    }

    pub(super) fn complain_of(&self, connection: &quinn::Connection, why: &str) {
        self.complain(connection.remote_address(), why);
    }

    /// Says once in a while that somebody was turned away.
    pub(super) fn complain(&self, from: SocketAddr, why: &str) {
        if let Some(kept_back) = self.complaints.pass() {
            tracing::warn!(%from, kept_back, "turned a connection away: {why}");
        }
    }

    fn submit(self: &Arc<Self>, link: impl FnOnce() -> Option<Arc<Link>>, job: Job) {
        if self.closed.load(Ordering::Acquire) {
            return job.fail(RequestError::NotSent("this transport is shut down".into()));
        }
        match link() {
            Some(link) => link.submit(self, job),
            None => job.fail(RequestError::NotSent("too many links are in use".into())),
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.endpoint.close(CLOSE_DONE.into(), b"shut down");
    }
}

impl Transport {
    /// Binds the address and begins to accept. All tasks run on the tokio runtime that this is called on.
    ///
    /// # Errors
    /// [`TransportError`]; nothing is left running then.
    pub fn bind(mut config: TransportConfig, handler: Arc<dyn Handler>) -> Result<Self, TransportError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| TransportError::NoRuntime)?;
        let unbound = |cause| TransportError::Listen { addr: config.listen, cause };
        let network = match config.network.take() {
            Some(network) => network,
            None => Network::udp(config.listen).map_err(unbound)?,
        };
        let local = network.socket.local_addr().map_err(unbound)?;
        let advertised = config.advertise.unwrap_or(local);
        if advertised.ip().is_unspecified() {
            return Err(TransportError::Unreachable(advertised));
        }
        let counters = Arc::<Counters>::default();
        let socket = Arc::new(WatchedSocket {
            inner: network.socket.clone(),
            counters: counters.clone(),
            #[cfg(any(test, feature = "testing"))]
            faults: super::faults::Faults {
                local,
                table: config.faults.take(),
                mute: AtomicBool::new(false),
            },
        });
        let endpoint = endpoint(&config, &network, socket.clone(), local)?;
        let shared = Arc::new(Shared {
            endpoint,
            handler,
            runtime: Spawner::on(runtime),
            counters,
            links: Links::default(),
            accepted: Accepted::default(),
            newest: Newest::default(),
            dial_timeout: config.dial_timeout,
            idle_timeout: config.idle_timeout,
            first_backoff: config.first_backoff,
            longest_backoff: config.longest_backoff,
            hello: Mutex::new((first_hello(&config, advertised), 0)),
            complaints: LogLimit::default(),
            closed: AtomicBool::new(false),
            #[cfg(any(test, feature = "testing"))]
            socket,
        });
        shared.runtime.spawn(accept::run(shared.clone()));
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The address that others are told: the one that is bound, unless another is advertised.
    pub fn advertised_addr(&self) -> SocketAddr {
        lock(&self.shared().hello).0.listen
    }

    /// What this peer says about itself to whom it meets from now on. Connections that it dialed under its earlier name
    /// take no new requests, and close when what is under way on them has ended.
    pub fn set_hello(
        &self,
        incarnation: Option<Incarnation>,
        raft_id: Option<RaftId>,
        cluster_id: Option<ClusterId>,
    ) {
        {
            let (hello, version) = &mut *lock(&self.shared().hello);
            (hello.incarnation, hello.raft_id, hello.cluster_id) = (incarnation, raft_id, cluster_id);
            *version += 1;
        }
        for link in self.shared().links.all() {
            drop(link.retire_session());
        }
    }

    /// Queues a request in this very call, so that one caller's requests to one peer and lane keep their order. It is
    /// not sent any more after the deadline (a day at most). Dropping what is returned does not withdraw the request.
    pub fn queue(&self, to: &Dest, lane: Lane, body: Vec<u8>, deadline: Duration) -> Waiting {
        self.queue_on_link(|| self.shared().links.to(to), to.incarnation, (lane, body), moment(deadline))
    }

    /// Looks up what [`Transport::queue_on`] then need not look up for each request.
    pub fn way(&self, to: Dest) -> Way {
        let link = self.shared().links.to(&to).map_or_else(Weak::new, |link| Arc::downgrade(&link));
        Way { to, link }
    }

    /// [`Transport::queue`] to where that way leads, for a deadline that is a moment.
    pub fn queue_on(&self, way: &Way, lane: Lane, body: Vec<u8>, until: Instant) -> Waiting {
        // A link that nobody used for long may be gone.
        let link = || way.link.upgrade().or_else(|| self.shared().links.to(&way.to));
        self.queue_on_link(link, way.to.incarnation, (lane, body), until)
    }

    fn queue_on_link(
        &self,
        link: impl FnOnce() -> Option<Arc<Link>>,
        expects: Option<Incarnation>,
        (lane, body): (Lane, Vec<u8>),
        until: Instant,
    ) -> Waiting {
        let too_large = body.len() > MAX_BODY_BYTES;
        let (item, waiting) = Item::new(body, expects, until);
        if too_large {
            item.fail(RequestError::TooLarge);
        } else {
            self.shared().submit(link, Job::Request(lane, item));
        }
        waiting
    }

    /// [`Transport::queue`], and the reply, within the deadline.
    pub fn request(
        &self,
        to: &Dest,
        lane: Lane,
        body: Vec<u8>,
        deadline: Duration,
    ) -> impl Future<Output = Result<Bytes, RequestError>> + Send + use<> {
        self.queue(to, lane, body, deadline).in_time()
    }

    /// Opens a bulk stream, whose header the other end's handler gets with it.
    ///
    /// # Errors
    /// [`RequestError`]; the other end's handler has not seen the stream unless it is `Unknown` or says `sent`.
    pub async fn open_stream(
        &self,
        to: &Dest,
        header: Vec<u8>,
        deadline: Duration,
    ) -> Result<FramedStream, RequestError> {
        self.open_stream_beside(Lane::Heavy, to, header, deadline).await
    }

    /// The same for a stream that comes before and behind the same ones as a lane.
    ///
    /// # Errors
    /// As there.
    pub async fn open_stream_beside(
        &self,
        lane: Lane,
        to: &Dest,
        header: Vec<u8>,
        deadline: Duration,
    ) -> Result<FramedStream, RequestError> {
        if header.len() > MAX_STREAM_HEADER_BYTES {
            return Err(RequestError::TooLarge);
        }
        let until = moment(deadline);
        let (sender, session) = oneshot::channel();
        self.shared().submit(|| self.shared().links.to(to), Job::Stream(to.incarnation, sender));
        let late = |sent| move |_| RequestError::Deadline { sent };
        let session = timeout_at(until, session).await.map_err(late(false))?;
        let session = session.map_err(|_| RequestError::NotSent("the connection is gone".into()))??;
        let opened = timeout_at(until, session.connection.open_bi()).await.map_err(late(false))?;
        let stream = opened.map_err(|e| RequestError::NotSent(e.to_string()))?;
        let _ = stream.0.set_priority(lane.priority());
        timeout_at(until, open(&session, stream, header)).await.map_err(late(true))?
    }

    /// Whether there is a connection to this destination that a request would use.
    pub fn is_connected(&self, to: &Dest) -> bool {
        self.shared().links.get(to).is_some_and(|link| link.session().is_some())
    }

    /// Closes every connection, in both directions, of lives of `node` before `newest`, which are told that they are
    /// retired, and accepts and uses none of them again.
    pub fn close_older(&self, node: &NodeId, newest: Incarnation) {
        let shared = self.shared();
        // Before the connections are looked at: one that is made meanwhile finds it.
        shared.newest.raise(node, newest);
        let is_older = |hello: &Hello| shared.newest.retired(&hello.node_id, hello.incarnation);
        let accepted = shared.accepted.of(node).into_iter();
        let accepted =
            accepted.filter_map(|(connection, remote)| Some((connection, is_older(&remote.hello)?)));
        let sessions = shared.links.all().into_iter().filter_map(|link| {
            let session = link.session().filter(|session| session.remote.node_id == *node)?;
            let by = is_older(&session.remote)?;
            link.forget(&session);
            Some((session.connection.clone(), by))
        });
        for (connection, by) in accepted.chain(sessions) {
            bump(&shared.counters.closed_older);
            shared.refuse(&connection, &Refusal::Retired { by });
        }
    }

    /// The processes that have a place in the cluster and whose connections are accepted.
    #[cfg(feature = "testing")]
    pub fn visitors(&self) -> Vec<(NodeId, Incarnation)> {
        self.shared().accepted.all()
    }

    /// The nodes with which a hello was exchanged, whichever side dialed.
    #[cfg(feature = "testing")]
    pub fn company(&self) -> std::collections::BTreeSet<NodeId> {
        let links = self.shared().links.all();
        let dialed = links.iter().filter_map(|link| Some(link.session()?.remote.node_id.clone()));
        self.shared().accepted.nodes().into_iter().chain(dialed).collect()
    }

    /// How often what happened so far.
    pub fn counters(&self) -> CountersSnapshot {
        self.shared().counters.snapshot()
    }

    /// Closes all connections, tells the other ends so, and accepts and sends nothing more. Waits at most
    /// [`SHUTDOWN_LINGER`] for that to be heard.
    pub async fn shutdown(&self) {
        self.shared().close();
        let _ = timeout(SHUTDOWN_LINGER, self.shared().endpoint.wait_idle()).await;
    }

    /// Falls silent and stops, as a process that is killed: nobody is told.
    #[cfg(any(test, feature = "testing"))]
    pub fn kill(&self) {
        self.shared().socket.faults.mute.store(true, Ordering::Relaxed);
        self.shared().close();
    }
}

#[cfg(test)]
impl Transport {
    pub(super) fn first_link(&self) -> Arc<super::link::Link> {
        self.shared().links.all().swap_remove(0)
    }
}

async fn open(
    session: &Arc<Session>,
    (mut send, recv): (quinn::SendStream, quinn::RecvStream),
    header: Vec<u8>,
) -> Result<FramedStream, RequestError> {
    let mut batch = Batch::default();
    batch.push(&[], &header);
    let chunks = &mut [vec![Bytes::from_static(&[TAG_BULK])], batch.take()].concat();
    send.write_all_chunks(chunks).await.map_err(|e| RequestError::Unknown(e.to_string()))?;
    Ok(FramedStream::new(send, FrameReader::new(recv, MAX_FRAME_BYTES), session.hold()))
}

fn first_hello(config: &TransportConfig, listen: SocketAddr) -> Hello {
    Hello {
        version: config.version,
        cluster: config.identity.cluster().to_owned(),
        cluster_id: config.cluster_id,
        node_id: config.identity.node_id().clone(),
        incarnation: config.incarnation,
        raft_id: config.raft_id,
        listen,
    }
}

fn endpoint(
    config: &TransportConfig,
    network: &Network,
    socket: Arc<WatchedSocket>,
    local: SocketAddr,
) -> Result<quinn::Endpoint, TransportError> {
    // The same for the next process of this identity on this port, and for nobody else: a namesake that
    // waits on another port must not be able to reset this one's connections.
    let secret = format!("{local}\n{}", config.identity.key_pem());
    let reset_key = blake3::derive_key("standin 2025 stateless reset", secret.as_bytes());
    let mut id_key = [0; blake3::KEY_LEN];
    match network.seed {
        Some(seed) => id_key = blake3::derive_key("standin 2025 connection ids", &seed),
        None => getrandom::fill(&mut id_key).map_err(|e| TransportError::Identity(e.to_string()))?,
    }
    let count = Arc::default();
    let mut settings = quinn::EndpointConfig::new(Arc::new(ResetKey(reset_key)));
    settings
        .cid_generator(move || Box::new(ConnectionIds { key: id_key, count: Arc::clone(&count) }))
        .rng_seed(network.seed)
        // So that noise can be told by its first byte.
        .grease_quic_bit(false)
        .max_udp_payload_size(MAX_PACKET_BYTES)
        .map_err(tls::unusable)?;
    let server = tls::server_config(config)?;
    let mut endpoint =
        quinn::Endpoint::new_with_abstract_socket(settings, Some(server), socket, network.runtime.clone())
            .map_err(|cause| TransportError::Listen { addr: config.listen, cause })?;
    endpoint.set_default_client_config(tls::client_config(config)?);
    Ok(endpoint)
}
