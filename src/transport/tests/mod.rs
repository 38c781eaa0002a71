//! Transports against each other, on real QUIC over loopback.

mod links;
mod requests;
mod silence;
mod strangers;
mod streams;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::id::{Incarnation, NodeId};
use crate::identity::{DevAuthority, Identity};

pub(super) const SOON: Duration = Duration::from_secs(10);

/// A message that travels apart from short ones.
pub(super) const LONG: usize = 8 << 20;

pub(super) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(super) fn authority() -> DevAuthority {
    DevAuthority::create("demo").unwrap()
}

pub(super) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(super) fn config(identity: Identity) -> TransportConfig {
    TransportConfig::lan(identity, loopback())
}

/// Waits for a condition; the deadline is for a test that fails.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Does what the first word of a request says, and remembers all it heard.
#[derive(Default)]
pub(super) struct Recorder {
    pub heard: Mutex<Vec<(Lane, Bytes)>>,
    pub from: Mutex<Vec<Arc<Remote>>>,
    pub held: Mutex<Vec<Reply>>,
    pub refuse: Mutex<Option<Refusal>>,
    pub refused: Mutex<Vec<Refusal>>,
    pub streams: Mutex<Vec<(Bytes, FramedStream)>>,
}

impl Handler for Recorder {
    fn on_hello(&self, _: &Hello) -> Result<(), Refusal> {
        lock(&self.refuse).clone().map_or(Ok(()), Err)
    }

    fn on_request(&self, from: &Arc<Remote>, lane: Lane, body: Bytes, reply: Reply) {
        lock(&self.heard).push((lane, body.clone()));
        lock(&self.from).push(from.clone());
        match body.split(|b| *b == b' ').next() {
            Some(b"hold") => lock(&self.held).push(reply),
            Some(b"drop") => drop(reply),
            Some(b"refuse") => reply.refuse(&Refusal::Overloaded),
            Some(b"big") => reply.send(vec![0; crate::limits::MAX_FRAME_BYTES]),
            Some(b"long") => reply.send(vec![0; LONG]),
            Some(b"panic") => panic!("as asked"),
            _ => reply.send(body.to_vec()),
        }
    }

    fn on_stream(&self, _: &Arc<Remote>, header: Bytes, stream: FramedStream) {
        lock(&self.streams).push((header, stream));
    }

    fn on_refused(&self, _: SocketAddr, refusal: &Refusal) {
        lock(&self.refused).push(refusal.clone());
    }
}

pub(super) struct TestPeer {
    pub transport: Transport,
    pub recorder: Arc<Recorder>,
    pub node_id: NodeId,
}

impl TestPeer {
    pub(super) fn start(config: TransportConfig) -> Self {
        let (recorder, node_id) = (Arc::new(Recorder::default()), config.identity.node_id().clone());
        let transport = Transport::bind(config, recorder.clone()).unwrap();
        Self { transport, recorder, node_id }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.transport.advertised_addr()
    }

    pub(super) fn dest(&self) -> Dest {
        Dest { node_id: Some(self.node_id.clone()), addr: self.addr(), incarnation: None }
    }

    pub(super) async fn ask(&self, to: &Dest, body: &str) -> Result<Bytes, RequestError> {
        self.transport.request(to, Lane::Call, body.into(), SOON).await
    }

    pub(super) fn heard(&self) -> Vec<Bytes> {
        lock(&self.recorder.heard).iter().map(|(_, body)| body.clone()).collect()
    }

    /// Asks again while the answer is an error: links need a moment to find out.
    pub(super) async fn ask_until_answered(&self, to: &Dest) {
        let deadline = tokio::time::Instant::now() + SOON;
        while let Err(e) = self.ask(to, "are you there?").await {
            assert!(tokio::time::Instant::now() < deadline, "{e}");
        }
    }
}

/// Two peers of one cluster: worker-1 and worker-2.
pub(super) fn two() -> (TestPeer, TestPeer) {
    let authority = authority();
    let start = |name| TestPeer::start(config(authority.issue(&node(name)).unwrap()));
    (start("worker-1"), start("worker-2"))
}

pub(super) fn life(n: u64) -> Option<Incarnation> {
    Some(Incarnation(n))
}
