//! Copies on the wire: pushing them to a holder, and taking them in.

use bytes::Bytes;
use std::io;

use super::chunk::Chunk;
use super::gathered::{Keeper, Sink};
use super::manifest::{Manifest, digest};
use super::sealed::Sealed;
use super::{invalid, other, save_deadline, wanted};
use crate::canary::{Mistake, made};
use crate::id::{ActorId, RaftId};
use crate::limits::{MAX_BATCH_ITEMS, MAX_MANIFEST_BYTES, SAVE_BATCH_BYTES};
use crate::peer::Shared;
use crate::store::{CopyKey, durably};
use crate::transport::{FramedRecv, FramedSend, FramedStream};
use crate::wire::{CopiesStored, CopyHead, StreamHeader, decode, encode};

async fn send_copy(
    send: &mut FramedSend,
    recv: &mut FramedRecv,
    key: &CopyKey,
    copy: &Sealed,
) -> io::Result<()> {
    send.send(Bytes::from(encode(&CopyHead { key: key.clone() }))).await.map_err(other)?;
    send.send(copy.manifest.clone()).await.map_err(other)?;
    if copy.chunks.is_empty() {
        return Ok(());
    }
    wanted::answer((send, recv), copy.chunks.len(), |at| Ok(copy.chunks[at].stored.clone())).await
}

/// Receives the manifest that follows a head, and checks it against that.
pub(super) async fn receive_manifest(from: &mut FramedRecv, key: &CopyKey) -> io::Result<Bytes> {
    let manifest = from.recv().await.map_err(other)?.ok_or_else(|| other("a copy without a manifest"))?;
    if digest(&manifest) != key.digest && !made(Mistake::DigestNotVerified) {
        return Err(invalid("a copy that does not match its digest"));
    }
    Ok(manifest)
}

impl Shared {
    /// Has another disk store copies; they are durable there when this returns.
    pub(super) async fn put_copies(&self, disk: RaftId, copies: &[(&CopyKey, &Sealed)]) -> io::Result<()> {
        let limit = self.timing.store;
        let exchange = async {
            let stream = self.open_on_disk(disk, &StreamHeader::PutCopies, limit).await.map_err(other)?;
            let (mut send, mut recv) = stream.split();
            for (key, copy) in copies {
                send_copy(&mut send, &mut recv, key, copy).await?;
            }
            send.finish().map_err(other)?;
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
        let (mut send, mut recv) = stream.split();
        let by = self.admission().ok_or_else(|| other("not a member"))?.raft_id;
        let (mut copies, mut keepers, mut in_use) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0_usize;
        while let Some(frame) = recv.recv().await.map_err(other)? {
            let head: CopyHead = decode(&frame).map_err(other)?;
            let manifest = receive_manifest(&mut recv, &head.key).await?;
            let mut keeper = Keeper::new(self, &head.key.actor);
            take_chunks(&manifest, &mut keeper, &mut send, &mut recv).await?;
            keeper.flush();
            keepers.push(keeper);
            bytes = bytes.saturating_add(manifest.len());
            copies.push((head.key, manifest.to_vec()));
            if copies.len() > MAX_BATCH_ITEMS || bytes > SAVE_BATCH_BYTES.saturating_add(MAX_MANIFEST_BYTES) {
                return Err(other("more copies than a batch may have"));
            }
        }
        // All of them are on their way to the disk by now: it is synced for all at once.
        for keeper in keepers {
            in_use.extend(keeper.finish().await?);
        }
        let stored = durably(|done| self.store.copies_put(copies, done));
        if !made(Mistake::CopiesNotDurable) {
            stored.await?;
        }
        drop(in_use);
        send.send(Bytes::from(encode(&CopiesStored { by }))).await.map_err(other)?;
        send.finish().map_err(other)
    }

    /// Sends one copy that somebody fetches; an empty frame says that there is no valid one.
    pub(crate) async fn serve_get(&self, key: &CopyKey, stream: FramedStream) -> io::Result<()> {
        let (mut send, mut recv) = stream.split();
        let Some(manifest) = self.own_copy(key)? else {
            send.send(Bytes::new()).await.map_err(other)?;
            return send.finish().map_err(other);
        };
        send.send(Bytes::from(encode(&CopyHead { key: key.clone() }))).await.map_err(other)?;
        send.send(manifest.clone()).await.map_err(other)?;
        let chunks = Manifest::read(&manifest).map_err(invalid)?.distinct();
        if !chunks.is_empty() {
            let stored = |at: usize| Ok(self.own_chunk(&key.actor, &chunks[at])?.unwrap_or_default());
            wanted::answer((&mut send, &mut recv), chunks.len(), stored).await?;
        }
        send.finish().map_err(other)
    }

    /// The manifest of a copy on this disk, if it is there and whole. An error says that the disk could not tell.
    pub(super) fn own_copy(&self, key: &CopyKey) -> io::Result<Option<Bytes>> {
        match self.store.copy_get(key) {
            Ok(Some(bytes)) if made(Mistake::DigestNotVerified) || digest(&bytes) == key.digest => {
                Ok(Some(bytes.into()))
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

    /// A chunk on this disk, as it is stored, if it is there and its own. A spoiled one is removed: by its name alone
    /// it would be taken for granted.
    pub(super) fn own_chunk(&self, actor: &ActorId, chunk: &Chunk) -> io::Result<Option<Bytes>> {
        match self.store.chunk_get(actor, &chunk.digest) {
            Ok(Some(stored)) if chunk.unpack(&stored).is_some() => return Ok(Some(stored.into())),
            Ok(None) => return Ok(None),
            Err(e) if e.kind() != io::ErrorKind::InvalidData => return Err(e),
            Ok(Some(_)) | Err(_) => {}
        }
        tracing::warn!(%actor, "a chunk of a copy on this disk is spoiled");
        self.store.chunks_delete(actor, &[chunk.digest])?;
        Ok(None)
    }
}

/// Takes in those chunks of a copy that this disk lacks.
async fn take_chunks(
    manifest: &Bytes,
    keeper: &mut Keeper<'_>,
    send: &mut FramedSend,
    recv: &mut FramedRecv,
) -> io::Result<()> {
    let manifest = Manifest::read(manifest).map_err(invalid)?;
    let chunks = manifest.distinct();
    if chunks.is_empty() {
        return Ok(());
    }
    let places = keeper.begin(&manifest, &chunks).await?;
    wanted::ask(send, &places, chunks.len()).await?;
    for at in places {
        let stored = wanted::receive(recv, &chunks[at]).await?;
        let stored = stored.ok_or_else(|| invalid("a chunk that does not match its digest"))?;
        keeper.put(at, &chunks[at], stored).await?;
    }
    Ok(())
}
