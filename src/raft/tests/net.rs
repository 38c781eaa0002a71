//! A network without packets: calls are function calls, streams are channels, links can be cut.

use futures_util::future::{BoxFuture, FutureExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

use super::super::link::{FrameSink, FrameSource, LinkError, RaftLink};
use super::super::{Consensus, ConsensusConfig, Snapshots};
use crate::id::RaftId;
use crate::store::MemoryStore;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames on their way through one stream.
const WINDOW: usize = 16;

#[derive(Default)]
struct Inner {
    running: BTreeMap<RaftId, Consensus>,
    cut: BTreeSet<(RaftId, RaftId)>,
    /// Calls that each peer has tried to make, delivered or not.
    calls: BTreeMap<RaftId, u64>,
    /// Streams that each peer has tried to open, likewise.
    opens: BTreeMap<RaftId, u64>,
}

/// All peers and the links between them. Clones are the same network.
#[derive(Clone, Default)]
pub(super) struct Net(Arc<Mutex<Inner>>);

impl Net {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Starts consensus for a disk.
    pub(super) async fn start(&self, id: RaftId, disk: &MemoryStore) -> Consensus {
        let ms = Duration::from_millis;
        let config = ConsensusConfig {
            id,
            cluster: "test".into(),
            election_min: ms(150),
            election_max: ms(300),
            snapshots: Snapshots::default(),
        };
        let consensus = Consensus::start(&config, Arc::new(disk.clone()), self.link(id)).await.unwrap();
        self.lock().running.insert(id, consensus.clone());
        consensus
    }

    /// A peer's way to the others.
    pub(super) fn link(&self, me: RaftId) -> Arc<dyn RaftLink> {
        Arc::new(Port { net: self.clone(), me })
    }

    pub(super) async fn kill(&self, id: RaftId) {
        let consensus = self.lock().running.remove(&id).unwrap();
        consensus.shutdown().await;
    }

    /// Cuts each of `some` off from everybody but the others of them.
    pub(super) fn cut_off(&self, some: &[RaftId], all: &[RaftId]) {
        let mut inner = self.lock();
        for a in some {
            for b in all.iter().filter(|b| !some.contains(b)) {
                inner.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
    }

    pub(super) fn heal(&self) {
        self.lock().cut.clear();
    }

    pub(super) fn calls(&self, from: RaftId) -> u64 {
        self.lock().calls.get(&from).copied().unwrap_or(0)
    }

    pub(super) fn opens(&self, from: RaftId) -> u64 {
        self.lock().opens.get(&from).copied().unwrap_or(0)
    }

    fn reach(&self, from: RaftId, to: RaftId) -> Result<Consensus, LinkError> {
        let inner = self.lock();
        let nowhere = || LinkError::Unreachable(format!("{to} from {from}"));
        if inner.cut.contains(&(from, to)) {
            return Err(nowhere());
        }
        inner.running.get(&to).cloned().ok_or_else(nowhere)
    }
}

/// Waits until `probe` says something.
pub(super) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, wait).await;
    found.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// One peer's way into the network.
struct Port {
    net: Net,
    me: RaftId,
}

fn broken(e: impl std::fmt::Display) -> LinkError {
    LinkError::Broken(e.to_string())
}

impl RaftLink for Port {
    fn is_detoured(&self, _: RaftId) -> bool {
        false
    }

    fn until_detoured(&self, _: RaftId) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }

    fn call(
        &self,
        to: RaftId,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, LinkError>> {
        *self.net.lock().calls.entry(self.me).or_insert(0) += 1;
        let (net, me) = (self.net.clone(), self.me);
        let exchange = async move {
            let reply = net.reach(me, to)?.serve_call(&body).await.map_err(broken)?;
            net.reach(to, me).map(|_| reply)
        };
        async move { tokio::time::timeout(deadline, exchange).await.unwrap_or_else(|e| Err(broken(e))) }
            .boxed()
    }

    fn open(
        &self,
        to: RaftId,
        header: Vec<u8>,
        _urgent: bool,
        _: Duration,
    ) -> BoxFuture<'static, Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), LinkError>> {
        *self.net.lock().opens.entry(self.me).or_insert(0) += 1;
        let (net, me) = (self.net.clone(), self.me);
        async move {
            let peer = net.reach(me, to)?;
            let ((sink, their_source), (their_sink, source)) = (net.pipe(me, to), net.pipe(to, me));
            tokio::spawn(async move { peer.serve_stream(&header, their_sink, their_source).await });
            Ok((sink, source))
        }
        .boxed()
    }
}

impl Net {
    fn pipe(&self, from: RaftId, to: RaftId) -> (Box<dyn FrameSink>, Box<dyn FrameSource>) {
        let (tx, rx) = mpsc::channel(WINDOW);
        let open = move |net: &Net| net.reach(from, to).map(drop);
        let (net, other) = (self.clone(), self.clone());
        (
            Box::new(In { tx: Some(tx), open: Box::new(move || open(&net)) }),
            Box::new(Out { rx, open: Box::new(move || open(&other)) }),
        )
    }
}

type IsOpen = Box<dyn Fn() -> Result<(), LinkError> + Send + Sync>;

struct In {
    tx: Option<mpsc::Sender<Vec<u8>>>,
    open: IsOpen,
}

struct Out {
    rx: mpsc::Receiver<Vec<u8>>,
    open: IsOpen,
}

impl FrameSink for In {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>> {
        let way = (self.open)().and_then(|()| self.tx.clone().ok_or_else(|| broken("finished")));
        async move { way?.send(frame).await.map_err(broken) }.boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.tx = None;
        async { Ok(()) }.boxed()
    }
}

impl FrameSource for Out {
    fn recv(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>> {
        async {
            let frame = self.rx.recv().await;
            // What was on its way when the link was cut does not arrive.
            (self.open)().map(|()| frame)
        }
        .boxed()
    }
}
