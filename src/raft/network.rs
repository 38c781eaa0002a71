//! The sending half of Raft's network.

use futures_util::{Stream, StreamExt, TryStreamExt, future::BoxFuture, stream};
use openraft::OptionalSend;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::codec::{decode, encode};
use super::link::{FrameSink, FrameSource, LinkError, RaftLink};
use super::log::{Floor, index_after};
use super::types::{Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::id::RaftId;
use crate::limits::{APPEND_REPLY_PATIENCE, STREAM_IDLE_DEADLINE};

type Append = AppendEntriesRequest<TypeConfig>;
type RpcError = RPCError<TypeConfig>;
type BoxStream<'s, T> = futures_util::stream::BoxStream<'s, T>;

/// A snapshot travels in frames of this many bytes.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// One request; the reply is the matching response type.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum Rpc {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
}

/// The header of a stream.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum StreamKind {
    /// Requests one way, replies in order the other way.
    Append,
    /// The state in chunks, then one reply.
    Snapshot { vote: Vote, meta: SnapshotMeta, length: u64 },
}

/// Makes a [`Network`] per target.
#[derive(Clone)]
pub(super) struct Networks {
    pub(super) link: Arc<dyn RaftLink>,
    pub(super) floor: Floor,
}

impl Networks {
    fn to(&self, target: u64, streaming: bool) -> Network {
        Network { link: self.link.clone(), target: RaftId(target), streaming, floor: self.floor.clone() }
    }
}

impl RaftNetworkFactory<TypeConfig> for Networks {
    type Network = Network;

    async fn new_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Network {
        self.to(target, true)
    }

    /// A heartbeat is one small request a time: a stream for each would cost more than it carries.
    async fn new_heartbeat_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Network {
        self.to(target, false)
    }
}

/// The way to one disk's Raft.
pub(super) struct Network {
    link: Arc<dyn RaftLink>,
    target: RaftId,
    streaming: bool,
    floor: Floor,
}

/// Whether a follower is to get entries that are purged. openraft keeps them only while it knows that they are under
/// way; one that was cut off may still be sent some afterwards. An error lets it think again: it needs a snapshot.
fn needs_purged(request: &Append, floor: &Floor) -> bool {
    request.entries.is_empty() && floor.is_above(index_after(request.prev_log_id))
}

fn purged() -> RpcError {
    RPCError::Network(NetworkError::new(&LinkError::Broken("what it lacks is purged".into())))
}

impl From<LinkError> for RpcErrorFrom {
    fn from(error: LinkError) -> Self {
        RpcErrorFrom(match error {
            LinkError::Unreachable(_) => RPCError::Unreachable(Unreachable::new(&error)),
            LinkError::Broken(_) => RPCError::Network(NetworkError::new(&error)),
        })
    }
}

/// Lets `?` turn what goes wrong below into openraft's error.
struct RpcErrorFrom(RpcError);

impl From<std::io::Error> for RpcErrorFrom {
    fn from(error: std::io::Error) -> Self {
        RpcErrorFrom(RPCError::Network(NetworkError::new(&error)))
    }
}

impl Network {
    async fn call<T: DeserializeOwned>(&self, rpc: &Rpc, option: &RPCOption) -> Result<T, RpcError> {
        let attempt = async {
            let reply = self.link.call(self.target, encode(rpc)?, option.soft_ttl()).await?;
            Ok::<T, RpcErrorFrom>(decode(&reply)?)
        };
        attempt.await.map_err(|e| e.0)
    }

    async fn open(
        &self,
        kind: &StreamKind,
        deadline: Duration,
    ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), RpcError> {
        let attempt = async {
            // Entries are small. A state may be large, and would hold up heartbeats.
            let urgent = matches!(kind, StreamKind::Append);
            let halves = self.link.open(self.target, encode(kind)?, urgent, deadline).await?;
            Ok::<_, RpcErrorFrom>(halves)
        };
        attempt.await.map_err(|e| e.0)
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        rpc: Append,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        if self.streaming && needs_purged(&rpc, &self.floor) {
            return Err(purged());
        }
        self.call(&Rpc::Append(rpc), &option).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = Append> + OptionalSend + Unpin + 'static,
    {
        if !self.streaming {
            return stream_append_sequential(self, input, option);
        }
        let (link, target, floor) = (self.link.clone(), self.target, self.floor.clone());
        let patience = option.hard_ttl() * 3;
        if link.is_detoured(target) {
            return Box::pin(async move {
                let replies = stream_append_sequential(self, input, RPCOption::new(patience)).await?;
                Ok(while_detoured(replies, link, target))
            });
        }
        let first = async move {
            // openraft's back-off is in here: who opened streams without asking for a request would
            // try a peer that is gone again and again, without a pause.
            let mut input = input.peekable();
            if Pin::new(&mut input).peek().await.is_none() {
                return Ok::<_, RpcError>(stream::empty().boxed());
            }
            let (sink, source) = self.open(&StreamKind::Append, patience).await?;
            // A cut link is noticed there long before a reply is overdue here.
            let cut = link.until_detoured(target);
            Ok(pipelined(input, sink, source, floor).take_until(cut).boxed())
        };
        Box::pin(async { Ok(stream::once(first).try_flatten().boxed()) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.call(&Rpc::Vote(rpc), &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.call(&Rpc::PreVote(rpc), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let send = async {
            let length = snapshot.snapshot.len() as u64;
            let kind = StreamKind::Snapshot { vote, meta: snapshot.meta, length };
            let (mut sink, mut source) = self.open(&kind, option.hard_ttl() * 5).await?;
            let exchange = async {
                for chunk in snapshot.snapshot.chunks(SNAPSHOT_CHUNK_BYTES) {
                    idle_limit(sink.send(chunk.to_vec())).await?;
                }
                idle_limit(sink.finish()).await?;
                let reply = idle_limit(source.recv()).await?;
                let reply = reply.ok_or_else(|| LinkError::Broken("no reply to a snapshot".into()))?;
                Ok::<SnapshotResponse<TypeConfig>, RpcErrorFrom>(decode(&reply)?)
            };
            exchange.await.map_err(|e| e.0)
        };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        self.call(&Rpc::TransferLeader(req), &option).await
    }
}

async fn idle_limit<T>(step: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    match tokio::time::timeout(STREAM_IDLE_DEADLINE, step).await {
        Ok(result) => result,
        Err(_) => Err(LinkError::Broken("no progress".into())),
    }
}

/// Sends requests as they come while yielding replies in order. A reply that is owed and does not
/// come is an error; a quiet stream is not.
fn pipelined<'s, S>(
    mut input: S,
    mut sink: Box<dyn FrameSink>,
    source: Box<dyn FrameSource>,
    floor: Floor,
) -> BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>
where
    S: Stream<Item = Append> + OptionalSend + Unpin + 'static,
{
    let (owed, gap) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (sent, found) = (owed.clone(), gap.clone());
    let sender = crate::task::spawn(async move {
        while let Some(request) = input.next().await {
            if needs_purged(&request, &floor) {
                found.store(true, Ordering::SeqCst);
                break;
            }
            let Ok(frame) = encode(&request) else { break };
            sent.fetch_add(1, Ordering::SeqCst);
            if sink.send(frame).await.is_err() {
                break;
            }
        }
        drop(sink.finish().await);
    });
    let guard = AbortOnDrop(sender);
    Box::pin(stream::unfold(Some((source, owed, gap, guard)), |state| async move {
        let (mut source, owed, gap, guard) = state?;
        match next_reply(source.as_mut(), &owed).await {
            Ok(None) => gap.load(Ordering::SeqCst).then(|| (Err(purged()), None)),
            Ok(Some(result)) => {
                let go_on = result.is_ok();
                Some((Ok(result), go_on.then_some((source, owed, gap, guard))))
            }
            Err(e) => Some((Err(e.0), None)),
        }
    }))
}

/// Ends after a reply once the direct way works again, so that consensus opens a stream of its own.
fn while_detoured<'s, T: Send + 's>(
    replies: BoxStream<'s, T>,
    link: Arc<dyn RaftLink>,
    target: RaftId,
) -> BoxStream<'s, T> {
    Box::pin(stream::unfold(Some((replies, link)), move |state| async move {
        let (mut replies, link) = state?;
        let reply = replies.next().await?;
        let goes_on = link.is_detoured(target);
        Some((reply, goes_on.then_some((replies, link))))
    }))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn next_reply(
    source: &mut dyn FrameSource,
    owed: &AtomicUsize,
) -> Result<Option<StreamAppendResult<TypeConfig>>, RpcErrorFrom> {
    let mut frame = source.recv();
    let mut was_owed = false;
    let reply = loop {
        match tokio::time::timeout(APPEND_REPLY_PATIENCE, &mut frame).await {
            Ok(reply) => break reply?,
            // One that is owed since a moment ago, after a long quiet, is not late yet.
            Err(_) if !was_owed => was_owed = owed.load(Ordering::SeqCst) > 0,
            Err(_) => Err(LinkError::Unreachable("no reply to an append".into()))?,
        }
    };
    owed.fetch_sub(1, Ordering::SeqCst);
    Ok(reply.map(|frame| decode(&frame)).transpose()?)
}
