//! Copies on the wire: pushing them to a holder, and taking them in.

use bytes::Bytes;
use std::io;
use std::sync::Arc;

use super::envelope::digest;
use crate::canary::{Mistake, made};
use crate::id::RaftId;
use crate::limits::{
    MAX_BATCH_ITEMS, MAX_CHECKPOINT_BYTES, MAX_COPY_CHUNK_BYTES, MAX_SESSIONS_BYTES, SAVE_BATCH_BYTES,
};
use crate::peer::Shared;
use crate::store::{CopyKey, durably};
use crate::transport::{FramedRecv, FramedSend, FramedStream};
use crate::wire::{CopiesStored, CopyHead, StreamHeader, decode, encode};

/// Room for the envelope around a state of the largest size.
pub(super) const MAX_ENVELOPE_BYTES: usize = MAX_CHECKPOINT_BYTES + MAX_SESSIONS_BYTES + 64;

pub(super) fn other(e: impl std::fmt::Display) -> io::Error {
    io::Error::other(e.to_string())
}

/// Sends a copy: its head, then its bytes in chunks.
pub(super) async fn send_copy(to: &mut FramedSend, key: &CopyKey, bytes: &[u8]) -> io::Result<()> {
    let head = CopyHead { key: key.clone(), length: bytes.len() as u64 };
    to.send(Bytes::from(encode(&head))).await.map_err(other)?;
    for chunk in bytes.chunks(MAX_COPY_CHUNK_BYTES) {
        to.send(Bytes::copy_from_slice(chunk)).await.map_err(other)?;
    }
    Ok(())
}

/// Receives the bytes that follow a head, and checks them against it.
pub(super) async fn receive_copy(from: &mut FramedRecv, head: &CopyHead) -> io::Result<Vec<u8>> {
    let length = usize::try_from(head.length).unwrap_or(usize::MAX);
    if length > MAX_ENVELOPE_BYTES {
        return Err(other("a copy beyond the limit"));
    }
    // Grows with what arrives, not with what is announced.
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let chunk =
            from.recv().await.map_err(other)?.ok_or_else(|| other("a copy shorter than announced"))?;
        if chunk.is_empty() || bytes.len() + chunk.len() > length {
            return Err(other("a copy in other pieces than announced"));
        }
        bytes.extend_from_slice(&chunk);
    }
    if digest(&bytes) != head.key.digest && !made(Mistake::DigestNotVerified) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a copy that does not match its digest"));
    }
    Ok(bytes)
}

impl Shared {
    /// Has another disk store copies; they are durable there when this returns.
    pub(super) async fn put_copies(
        &self,
        disk: RaftId,
        copies: &[(CopyKey, Arc<Vec<u8>>)],
    ) -> io::Result<()> {
        let limit = self.timing.store;
        let exchange = async {
            let stream = self.open_on_disk(disk, &StreamHeader::PutCopies, limit).await.map_err(other)?;
            let (mut send, mut recv) = stream.split();
            for (key, bytes) in copies {
                send_copy(&mut send, key, bytes).await?;
            }
            send.finish().map_err(other)?;
            let frame = recv.recv().await.map_err(other)?.ok_or_else(|| other("no acknowledgement"))?;
            let stored: CopiesStored = decode(&frame).map_err(other)?;
            if stored.by == disk { Ok(()) } else { Err(other("another disk answered")) }
        };
        // Large states take as long as they make progress: each frame has its own idle limit.
        let large = copies.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > SAVE_BATCH_BYTES / 4;
        if large {
            return exchange.await;
        }
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(other("no acknowledgement in time")))
    }

    /// Takes in the copies of one stream, and acknowledges when all are durable.
    pub(crate) async fn serve_put(&self, stream: FramedStream) -> io::Result<()> {
        let (mut send, mut recv) = stream.split();
        let by = self.admission().ok_or_else(|| other("not a member"))?.raft_id;
        let mut copies = Vec::new();
        let mut bytes = 0_usize;
        while let Some(frame) = recv.recv().await.map_err(other)? {
            let head: CopyHead = decode(&frame).map_err(other)?;
            let copy = receive_copy(&mut recv, &head).await?;
            bytes = bytes.saturating_add(copy.len());
            copies.push((head.key, copy));
            if copies.len() > MAX_BATCH_ITEMS || bytes > SAVE_BATCH_BYTES.saturating_add(MAX_ENVELOPE_BYTES) {
                return Err(other("more copies than a batch may have"));
            }
        }
        let stored = durably(|done| self.store.copies_put(copies, done));
        if !made(Mistake::CopiesNotDurable) {
            stored.await?;
        }
        send.send(Bytes::from(encode(&CopiesStored { by }))).await.map_err(other)?;
        send.finish().map_err(other)
    }

    /// Sends one copy that somebody restores from; an empty frame says that there is no valid one.
    pub(crate) async fn serve_get(&self, key: &CopyKey, stream: FramedStream) -> io::Result<()> {
        let (mut send, _) = stream.split();
        match self.own_copy(key)? {
            Some(bytes) => send_copy(&mut send, key, &bytes).await?,
            None => send.send(Bytes::new()).await.map_err(other)?,
        }
        send.finish().map_err(other)
    }

    /// A copy from this disk, if it is there and whole. An error says that the disk could not tell.
    pub(super) fn own_copy(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        match self.store.copy_get(key) {
            Ok(Some(bytes)) if made(Mistake::DigestNotVerified) || digest(&bytes) == key.digest => {
                Ok(Some(bytes))
            }
            Ok(found) => {
                if found.is_some() {
                    tracing::warn!(actor = %key.actor, seq = key.seq, "a copy on this disk is spoiled");
                }
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(actor = %key.actor, seq = key.seq, %e, "a copy on this disk is spoiled");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}
