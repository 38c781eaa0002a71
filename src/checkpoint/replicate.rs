//! Copies on the wire: pushing them to a holder, and taking them in.

use bytes::Bytes;
use futures_util::StreamExt;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use super::gathered::{Keeper, Sink};
use super::manifest::{Manifest, digest};
use super::own::read_copy;
use super::sealed::Sealed;
use super::shelf::InUse;
use super::{invalid, other, save_deadline, wanted};
use crate::canary::{Mistake, made};
use crate::id::RaftId;
use crate::limits::{
    MAX_BATCH_ITEMS, MAX_CHECKPOINT_BYTES, MAX_MANIFEST_BYTES, MAX_SHORT_COPY_BYTES, SAVE_BATCH_BYTES,
};
use crate::peer::Shared;
use crate::store::CopyKey;
use crate::transport::{FramedRecv, FramedSend, FramedStream, Reply};
use crate::wire::{CopiesStored, CopyHead, StreamHeader, decode, encode};

/// Sends copies: all manifests, an empty frame, and, when it is known which chunks of each the other end lacks, those.
/// Neither end sends while it could hear, so that they never wait for each other.
async fn send_copies(
    send: &mut FramedSend,
    recv: &mut FramedRecv,
    copies: &[(&CopyKey, &Sealed)],
) -> io::Result<()> {
    let mut frames = Vec::with_capacity(2 * copies.len() + 1);
    copies.iter().for_each(|(key, copy)| frames.extend([head(key), copy.manifest.clone()]));
    frames.push(Bytes::new());
    send.send_all(frames).await.map_err(other)?;
    let mut wanted = vec![];
    for (_, copy) in copies.iter().filter(|(_, copy)| !copy.chunks.is_empty()) {
        wanted.push((copy, wanted::hear(recv, copy.chunks.len()).await?));
    }
    for (copy, places) in wanted {
        send.send_all(places.into_iter().map(|at| copy.chunks[at].stored.clone())).await.map_err(other)?;
    }
    send.finish().map_err(other)
}

fn head(key: &CopyKey) -> Bytes {
    encode(&CopyHead { key: key.clone() }).into()
}

/// Receives the manifest that follows a head, and checks it against that.
pub(super) async fn receive_manifest(from: &mut FramedRecv, key: &CopyKey) -> io::Result<Bytes> {
    let manifest = from.recv().await.map_err(other)?.ok_or_else(|| other("a copy without a manifest"))?;
    match is_copy(&manifest, key) {
        true => Ok(manifest),
        false => Err(invalid("a copy that does not match its digest")),
    }
}

/// Whether these bytes are the copy of that name.
pub(super) fn is_copy(manifest: &[u8], key: &CopyKey) -> bool {
    made(Mistake::DigestNotVerified) || digest(manifest) == key.digest
}

/// Receives the heads and manifests of a batch, up to the empty frame that ends them.
async fn receive_manifests(from: &mut FramedRecv) -> io::Result<Vec<(CopyKey, Bytes)>> {
    let (mut copies, mut bytes) = (Vec::new(), 0_usize);
    loop {
        let frame = from.recv().await.map_err(other)?.ok_or_else(|| other("a batch without an end"))?;
        if frame.is_empty() {
            return Ok(copies);
        }
        let head: CopyHead = decode(&frame).map_err(other)?;
        let manifest = receive_manifest(from, &head.key).await?;
        bytes = bytes.saturating_add(manifest.len());
        copies.push((head.key, manifest));
        if copies.len() > MAX_BATCH_ITEMS || bytes > SAVE_BATCH_BYTES.saturating_add(MAX_MANIFEST_BYTES) {
            return Err(other("more copies than a batch may have"));
        }
    }
}

/// Each frame has its own limit; all of a stream together may take what the largest checkpoint may.
async fn not_for_ever(exchange: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let late = |_| Err(other("copies that take too long"));
    tokio::time::timeout(save_deadline(MAX_CHECKPOINT_BYTES as u64), exchange).await.unwrap_or_else(late)
}

impl Shared {
    /// Has another disk store copies; they are durable there when this returns.
    pub(super) async fn put_copies(&self, disk: RaftId, copies: &[(&CopyKey, &Sealed)]) -> io::Result<()> {
        let limit = self.timing.store;
        let exchange = async {
            let stream = self.open_on_disk(disk, &StreamHeader::PutCopies, limit).await.map_err(other)?;
            let (mut send, mut recv) = stream.split();
            send_copies(&mut send, &mut recv, copies).await?;
            let frame = recv.recv().await.map_err(other)?.ok_or_else(|| other("no acknowledgement"))?;
            let stored: CopiesStored = decode(&frame).map_err(other)?;
            if stored.by == disk { Ok(()) } else { Err(other("another disk answered")) }
        };
        // Large states take as long as they make progress: each frame has its own idle limit.
        let bytes: u64 = copies.iter().map(|(_, copy)| copy.length).sum();
        let limit = if bytes > SAVE_BATCH_BYTES as u64 / 4 { save_deadline(bytes) } else { limit };
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(other("no acknowledgement in time")))
    }

    /// Takes in the copies of one stream, and acknowledges when all are durable.
    pub(crate) async fn serve_put(&self, stream: FramedStream) -> io::Result<()> {
        not_for_ever(self.take_in(stream)).await
    }

    async fn take_in(&self, stream: FramedStream) -> io::Result<()> {
        let (mut send, mut recv) = stream.split();
        let by = self.admission().ok_or_else(|| other("not a member"))?.raft_id;
        let copies = receive_manifests(&mut recv).await?;
        let in_use = self.take_chunks(&copies, &mut send, &mut recv).await?;
        let stored = self.store_copies(copies);
        if !made(Mistake::CopiesNotDurable) {
            stored.await?;
        }
        drop(in_use);
        send.send(Bytes::from(encode(&CopiesStored { by }))).await.map_err(other)?;
        send.finish().map_err(other)
    }

    /// Takes in those chunks of some copies that this disk lacks. They are durable when it returns, and stay as long as
    /// what it returns is held.
    async fn take_chunks(
        &self,
        copies: &[(CopyKey, Bytes)],
        send: &mut FramedSend,
        recv: &mut FramedRecv,
    ) -> io::Result<Vec<InUse>> {
        let mut keepers = Vec::new();
        for (key, manifest) in copies {
            let manifest = Manifest::read(manifest).map_err(invalid)?;
            let chunks = manifest.distinct();
            if !chunks.is_empty() {
                let mut keeper = Keeper::new(self, &key.actor);
                let wanted = keeper.begin(&manifest, &chunks).await?;
                keepers.push((keeper, chunks, wanted));
            }
        }
        for (_, chunks, wanted) in &keepers {
            wanted::ask(send, wanted, chunks.len()).await?;
        }
        for (keeper, chunks, wanted) in &mut keepers {
            for at in std::mem::take(wanted) {
                let checked = wanted::receive(recv, &chunks[at]).await?;
                let checked = checked.ok_or_else(|| invalid("a chunk that does not match its digest"))?;
                keeper.put(at, &chunks[at], checked).await?;
            }
            keeper.flush().await?;
        }
        // All of them are on their way to the disk by now: it is synced for all at once.
        let mut in_use = Vec::new();
        for (keeper, ..) in keepers {
            in_use.extend(keeper.finish().await?);
        }
        Ok(in_use)
    }

    /// Sends a short copy that somebody asks for; an empty answer says that there is no valid one, and none that it
    /// cannot be read now, or is long.
    pub(crate) fn on_ask_for_copy(self: &Arc<Self>, key: CopyKey, reply: Reply) {
        let shared = self.clone();
        self.spawn(async move {
            match read_copy(&*shared.store, &key) {
                Ok(None) => reply.send(vec![]),
                // With what is around the content.
                Ok(Some(copy)) if copy.len() <= 2 * MAX_SHORT_COPY_BYTES => reply.send(copy.into()),
                Ok(Some(_)) => {}
                Err(e) => tracing::debug!(actor = %key.actor, %e, "a copy on this disk cannot be read now"),
            }
        });
    }

    /// Sends one copy that somebody fetches; an empty frame says that there is no valid one.
    pub(crate) async fn serve_get(&self, key: &CopyKey, stream: FramedStream) -> io::Result<()> {
        not_for_ever(self.give_out(key, stream)).await
    }

    async fn give_out(&self, key: &CopyKey, stream: FramedStream) -> io::Result<()> {
        let (mut send, mut recv) = stream.split();
        let Some(manifest) = self.own_copy(key).await? else {
            send.send(Bytes::new()).await.map_err(other)?;
            return send.finish().map_err(other);
        };
        send.send_all([head(key), manifest.clone()]).await.map_err(other)?;
        let chunks = Manifest::read(&manifest).map_err(invalid)?.distinct();
        if !chunks.is_empty() {
            let wanted = wanted::hear(&mut recv, chunks.len()).await?;
            let wanted = wanted.into_iter().map(|at| (at, chunks[at])).collect();
            let mut turns = pin!(self.own_chunks(&key.actor, wanted, |checked| checked.stored));
            while let Some(turn) = turns.next().await {
                // Nothing in a chunk's place says that it is not here.
                let stored = turn?.into_iter().map(|(_, stored)| stored.unwrap_or_default());
                send.send_all(stored).await.map_err(other)?;
            }
        }
        send.finish().map_err(other)
    }
}
