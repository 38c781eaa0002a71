//! The receiving half of Raft's network.

use futures_util::{StreamExt, stream};
use openraft::raft::{AppendEntriesRequest, SnapshotResponse};
use std::io;

use super::codec::{decode, encode};
use super::consensus::Consensus;
use super::link::{FrameSink, FrameSource, LinkError};
use super::machine::is_snapshot;
use super::network::{Rpc, StreamKind};
use super::types::{Raft, Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::limits::STREAM_IDLE_DEADLINE;

/// Largest state that is taken from another peer, in bytes.
const MAX_SNAPSHOT_BYTES: u64 = 4 << 30;

fn refused(what: impl std::fmt::Display) -> io::Error {
    io::Error::other(what.to_string())
}

impl Consensus {
    /// Answers one request of another peer's consensus.
    pub(crate) async fn serve_call(&self, body: &[u8]) -> io::Result<Vec<u8>> {
        let raft = self.raft();
        match decode(body)? {
            Rpc::Append(rpc) => encode(&raft.append_entries(rpc).await.map_err(refused)?),
            Rpc::Vote(rpc) => encode(&raft.vote(rpc).await.map_err(refused)?),
            Rpc::PreVote(rpc) => encode(&raft.pre_vote(rpc).await.map_err(refused)?),
            Rpc::TransferLeader(rpc) => encode(&raft.handle_transfer_leader(rpc).await.map_err(refused)?),
        }
    }

    /// Serves one stream of another peer's consensus until it ends.
    pub(crate) async fn serve_stream(
        &self,
        header: &[u8],
        mut sink: Box<dyn FrameSink>,
        source: Box<dyn FrameSource>,
    ) -> io::Result<()> {
        match decode(header)? {
            StreamKind::Append => append(self.raft(), sink.as_mut(), source).await?,
            StreamKind::Snapshot { vote, meta, length } => {
                let state = receive_snapshot(source, length).await?;
                let response = install(self.raft(), vote, meta, state).await?;
                sink.send(encode(&response)?).await.map_err(refused)?;
            }
        }
        sink.finish().await.map_err(refused)
    }
}

async fn append(raft: &Raft, sink: &mut dyn FrameSink, source: Box<dyn FrameSource>) -> io::Result<()> {
    let requests = stream::unfold(source, |mut source| async move {
        let frame = source.recv().await.ok().flatten()?;
        let request: AppendEntriesRequest<TypeConfig> = decode(&frame).ok()?;
        Some((request, source))
    });
    let mut replies = std::pin::pin!(raft.stream_append(requests));
    while let Some(reply) = replies.next().await {
        let reply = reply.map_err(refused)?;
        sink.send(encode(&reply)?).await.map_err(refused)?;
    }
    Ok(())
}

async fn receive_snapshot(mut source: Box<dyn FrameSource>, length: u64) -> io::Result<Vec<u8>> {
    if length > MAX_SNAPSHOT_BYTES {
        return Err(refused("a snapshot beyond the limit"));
    }
    let mut state = Vec::new();
    loop {
        let next = tokio::time::timeout(STREAM_IDLE_DEADLINE, source.recv()).await;
        match next.unwrap_or_else(|_| Err(LinkError::Broken("no progress".into()))).map_err(refused)? {
            Some(chunk) if state.len() as u64 + chunk.len() as u64 <= length => {
                state.extend_from_slice(&chunk)
            }
            Some(_) => return Err(refused("a snapshot longer than announced")),
            None if state.len() as u64 == length => return Ok(state),
            None => return Err(refused("a snapshot shorter than announced")),
        }
    }
}

async fn install(
    raft: &Raft,
    vote: Vote,
    meta: SnapshotMeta,
    snapshot: Vec<u8>,
) -> io::Result<SnapshotResponse<TypeConfig>> {
    if !is_snapshot(&snapshot) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a snapshot"));
    }
    raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await.map_err(refused)
}
