//! How this peer reaches others: by node, by disk, and around a cut link.

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use serde_bytes::ByteBuf;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

use super::shared::{Shared, lock};
use crate::core::event::Event;
use crate::id::{NodeId, RaftId};
use crate::raft::{FrameSink, FrameSource, LinkError, RaftLink};
use crate::transport::{
    Dest, FramedRecv, FramedSend, FramedStream, Lane, Refusal, RequestError, Transport, Waiting, Way,
};
use crate::wire::{Answer, Request, StreamHeader, decode, encode};

impl Shared {
    /// Where a node's current process is.
    pub(crate) fn dest_of(&self, node: &NodeId) -> Option<Dest> {
        let member = self.state(|s| s.members.get(node).map(|m| (m.addr, m.incarnation))).flatten();
        let learned = || lock(&self.learned).get(node).map(|(_, addr)| (*addr, None));
        let (addr, incarnation) = member.map(|(addr, i)| (addr, Some(i))).or_else(learned)?;
        Some(Dest { node_id: Some(node.clone()), addr, incarnation })
    }

    /// Where the process is, or may be, that runs a given disk; the likeliest first.
    ///
    /// A peer that was restarted with its disk may have moved before this one could apply its
    /// admission (after a power cut nobody can, until enough have voted). Where a process with that
    /// disk said hello from is then tried too, and first unless the other place answers.
    pub(crate) fn dests_of_disk(&self, disk: RaftId) -> Vec<Dest> {
        let known = self.state(|s| s.disk(disk).map(|(n, m)| (n.clone(), m.addr))).flatten();
        let Some((node, addr)) = known else { return vec![] };
        let learned = lock(&self.learned).get(&node).copied();
        let learned = learned.filter(|(on, other)| *on == disk && *other != addr).map(|(_, other)| other);
        let dest = |addr| Dest { node_id: Some(node.clone()), addr, incarnation: None };
        let mut dests: Vec<Dest> = std::iter::once(addr).chain(learned).map(dest).collect();
        if dests.len() > 1 && !self.transport().is_some_and(|t| t.is_connected(&dests[0])) {
            dests.reverse();
        }
        dests
    }

    /// Whether the process that runs a given disk is reached through a third peer for now.
    pub(crate) fn is_detoured(&self, disk: RaftId) -> bool {
        self.node_of(disk).is_some_and(|node| self.detours.has(&node))
    }

    /// Asks the process that runs a given disk.
    pub(crate) async fn ask_disk(
        &self,
        disk: RaftId,
        request: Request,
        deadline: Duration,
    ) -> Result<Answer, RequestError> {
        let dests = self.dests_of_disk(disk);
        let Some((last, first)) = dests.split_last() else {
            return Err(RequestError::NotSent("no member has this disk".into()));
        };
        if let Some(first) = first.first() {
            match self.ask(first, &request, Lane::Control, deadline).await {
                Err(RequestError::NotSent(_) | RequestError::Deadline { sent: false }) => {}
                answer => return answer,
            }
        }
        self.ask_around(last, request, deadline).await
    }

    /// Where a process is that says it runs a disk. It may be the first to know: what its admission
    /// will tell is not applied here, or not even decided, yet.
    pub(crate) fn learn(&self, node: &NodeId, disk: RaftId, addr: SocketAddr) {
        let mut learned = lock(&self.learned);
        if learned.len() < crate::limits::MAX_MEMBERS || learned.contains_key(node) {
            learned.insert(node.clone(), (disk, addr));
        }
    }

    /// One request to a peer.
    pub(crate) async fn ask(
        &self,
        to: &Dest,
        request: &Request,
        lane: Lane,
        deadline: Duration,
    ) -> Result<Answer, RequestError> {
        let reply = self.send(to, lane, encode(request), deadline).await?;
        decode(&reply).map_err(|e| RequestError::Unknown(e.to_string()))
    }

    /// Like [`Shared::ask`], and around a cut link through any third peer.
    pub(crate) async fn ask_around(
        &self,
        to: &Dest,
        request: Request,
        deadline: Duration,
    ) -> Result<Answer, RequestError> {
        let Some(node) = to.node_id.clone() else {
            return self.ask(to, &request, Lane::Control, deadline).await;
        };
        let known = self.detours.goes_around(&node, self.now(), self.timing.lease);
        if known && let Some(answer) = self.ask_relay(&node, &request, deadline).await {
            return answer;
        }
        let direct = match self.ask(to, &request, Lane::Control, deadline).await {
            Err(e) if !matches!(e, RequestError::Refused(_)) => e,
            answer => {
                self.detours.works(&node, self.now());
                return answer;
            }
        };
        match if known { None } else { self.ask_relay(&node, &request, deadline).await } {
            // It may have got through, or the relay could not tell.
            Some(unclear @ (Err(_) | Ok(Answer::Unknown))) => {
                self.detours.end(&node);
                unclear
            }
            Some(answer) => {
                self.detours.note(&node, self.now(), &direct);
                answer
            }
            None => {
                self.detours.end(&node);
                Err(direct)
            }
        }
    }

    /// Asks through a third peer. None if the request surely did not arrive.
    async fn ask_relay(
        &self,
        to: &NodeId,
        request: &Request,
        deadline: Duration,
    ) -> Option<Result<Answer, RequestError>> {
        let relay = self.pick_relay(to)?;
        let wrapped = Request::Relay { to: to.clone(), request: Box::new(request.clone()) };
        match self.ask(&relay, &wrapped, Lane::Control, deadline).await {
            Ok(Answer::Refused(_)) => None,
            Err(e) if e.is_not_handled() => None,
            answer => Some(answer),
        }
    }

    /// A living third peer; another one each time, so that one more cut link does not stop us.
    fn pick_relay(&self, target: &NodeId) -> Option<Dest> {
        let others: Vec<NodeId> = self.state(|s| {
            s.living().map(|(n, _)| n).filter(|n| *n != target && **n != self.node).cloned().collect()
        })?;
        let turn = self.now().0 / u64::try_from(self.timing.heartbeat.as_nanos()).unwrap_or(1).max(1);
        self.dest_of(in_turn(&others, turn)?)
    }

    /// Sends bytes on a lane; a refusal that says we are retired is acted upon.
    pub(crate) async fn send(
        &self,
        to: &Dest,
        lane: Lane,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Bytes, RequestError> {
        let reply = self.started()?.queue(to, lane, body, deadline).in_time().await;
        self.heed(&reply);
        reply
    }

    /// Sends bytes on a lane to the process that runs a given disk, wherever that may be. It may get them twice.
    pub(crate) async fn send_to_disk(
        &self,
        disk: RaftId,
        lane: Lane,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Bytes, RequestError> {
        let send = |dest| {
            let body = body.clone();
            async move { self.send(&dest, lane, body, deadline).await }
        };
        self.wherever(disk, send).await
    }

    /// Tries all places where the process that runs a given disk may be, until one of them answers.
    async fn wherever<T, F>(&self, disk: RaftId, attempt: impl Fn(Dest) -> F) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut failed = RequestError::NotSent("no member has this disk".into());
        for dest in self.dests_of_disk(disk) {
            match attempt(dest).await {
                Ok(got) => return Ok(got),
                Err(e) => failed = e,
            }
        }
        Err(failed)
    }

    /// Sends bytes on a lane. What comes is to be [heeded](Shared::heed).
    pub(super) fn queue_on(
        &self,
        way: &Way,
        lane: Lane,
        body: Vec<u8>,
        until: Instant,
    ) -> Result<Waiting, RequestError> {
        Ok(self.started()?.queue_on(way, lane, body, until))
    }

    fn started(&self) -> Result<&Transport, RequestError> {
        self.transport().ok_or_else(|| RequestError::NotSent("this peer is not started".into()))
    }

    /// Acts upon a refusal that says we are retired.
    pub(super) fn heed(&self, reply: &Result<Bytes, RequestError>) {
        if let Err(RequestError::Refused(refusal)) = reply {
            self.on_refusal(refusal);
        }
    }

    /// Opens a stream of its own to a peer, beside a lane.
    async fn open(
        &self,
        to: &Dest,
        header: &StreamHeader,
        lane: Lane,
        deadline: Duration,
    ) -> Result<FramedStream, RequestError> {
        self.started()?.open_stream_beside(lane, to, encode(header), deadline).await
    }

    /// Opens a stream of its own to the process that runs a given disk, wherever that may be.
    pub(crate) async fn open_on_disk(
        &self,
        disk: RaftId,
        header: &StreamHeader,
        deadline: Duration,
    ) -> Result<FramedStream, RequestError> {
        self.open_beside(Lane::Heavy, disk, header, deadline).await
    }

    async fn open_beside(
        &self,
        lane: Lane,
        disk: RaftId,
        header: &StreamHeader,
        deadline: Duration,
    ) -> Result<FramedStream, RequestError> {
        let open = |dest| async move { self.open(&dest, header, lane, deadline).await };
        self.wherever(disk, open).await
    }

    fn on_refusal(&self, refusal: &Refusal) {
        match refusal {
            Refusal::Retired { by } => self.retire(*by),
            Refusal::WrongCluster if self.admission().is_none() => {
                self.fail("another cluster answers there; check the contacts and the data directory");
            }
            _ => {}
        }
    }

    /// Tells the user and the log that a namesake lives.
    pub(crate) fn note_in_use(
        &self,
        addr: SocketAddr,
        incarnation: crate::id::Incarnation,
        retry_after_ms: u64,
    ) {
        tracing::warn!(node = %self.node, %addr, incarnation = incarnation.0, retry_after_ms,
            "another process has this node id; waiting for its lease to end. If it is meant to live, stop this one");
        self.emit(Event::NodeIdInUse { addr, incarnation, retry_after_ms });
    }
}

/// The one whose turn it is; none if there is nobody.
pub(super) fn in_turn<T>(all: &[T], turn: u64) -> Option<&T> {
    let at = turn.checked_rem(u64::try_from(all.len()).ok()?)?;
    all.get(usize::try_from(at).ok()?)
}

/// Consensus's way to other peers.
pub(crate) struct Link(pub(crate) Weak<Shared>);

fn unreachable(e: impl std::fmt::Display) -> LinkError {
    LinkError::Unreachable(e.to_string())
}

impl Link {
    fn shared(&self) -> Result<Arc<Shared>, LinkError> {
        self.0.upgrade().ok_or_else(|| unreachable("this peer is gone"))
    }
}

impl RaftLink for Link {
    fn is_detoured(&self, to: RaftId) -> bool {
        self.shared().is_ok_and(|shared| shared.is_detoured(to))
    }

    fn until_detoured(&self, to: RaftId) -> BoxFuture<'static, ()> {
        let shared = self.shared();
        async move {
            let found = shared.ok().and_then(|shared| Some((shared.node_of(to)?, shared)));
            let Some((node, shared)) = found else { return std::future::pending().await };
            shared.detours.until_found(&node).await;
        }
        .boxed()
    }

    fn call(
        &self,
        to: RaftId,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, LinkError>> {
        let shared = self.shared();
        async move {
            let shared = shared?;
            let request = Request::Raft { to: shared.to_disk(to), body: ByteBuf::from(body) };
            match shared.ask_disk(to, request, deadline).await.map_err(unreachable)? {
                Answer::Raft(reply) => Ok(reply.into_vec()),
                Answer::Refused(why) => Err(LinkError::Unreachable(why)),
                Answer::Unknown => Err(unreachable("nor through others")),
                _ => Err(LinkError::Broken("an answer to another question".into())),
            }
        }
        .boxed()
    }

    fn open(
        &self,
        to: RaftId,
        header: Vec<u8>,
        urgent: bool,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), LinkError>> {
        let shared = self.shared();
        async move {
            let shared = shared?;
            let header = StreamHeader::Raft { to: shared.to_disk(to), header: ByteBuf::from(header) };
            let lane = if urgent { Lane::Control } else { Lane::Heavy };
            shared.open_beside(lane, to, &header, deadline).await.map(halves).map_err(unreachable)
        }
        .boxed()
    }
}

/// A transport stream as consensus wants it.
pub(crate) fn halves(stream: FramedStream) -> (Box<dyn FrameSink>, Box<dyn FrameSource>) {
    let (send, recv) = stream.split();
    (Box::new(Sink(send)), Box::new(Source(recv)))
}

struct Sink(FramedSend);
struct Source(FramedRecv);

fn broken(e: impl std::fmt::Display) -> LinkError {
    LinkError::Broken(e.to_string())
}

impl FrameSink for Sink {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>> {
        async move { self.0.send(frame.into()).await.map_err(broken) }.boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>> {
        async move { self.0.finish().map_err(broken) }.boxed()
    }
}

impl FrameSource for Source {
    fn recv(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>> {
        async move { self.0.recv().await.map(|frame| frame.map(Vec::from)).map_err(broken) }.boxed()
    }
}
