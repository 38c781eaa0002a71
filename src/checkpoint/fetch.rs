//! Back from a checkpoint: the nearest valid copy, in parts from several holders where none has it all.

use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

use super::chunk::{Checked, Chunk};
use super::content::Content;
use super::gathered::{Assembly, Keeper, Sink};
use super::manifest::Manifest;
use super::other;
use super::own::read_copy;
use super::replicate::{is_copy, receive_manifest};
use super::sealed::Sealed;
use super::shelf::InUse;
use super::wanted::{self, Places};
use crate::core::command::{Checkpoint, Command, Held};
use crate::core::state::State;
use crate::id::{ActorId, Epoch, RaftId};
use crate::limits::SAVE_DEADLINE;
use crate::peer::Shared;
use crate::store::CopyKey;
use crate::transport::{Lane, RequestError};
use crate::wire::{CopyHead, Rare, StreamHeader, decode};

/// No copy could be had now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// Some holder could not be asked, or this disk could not: try again.
    #[error("no holder of a copy can be reached: {0}")]
    Unavailable(String),
    /// Every holder answered that it has no valid copy. The log has been told.
    #[error("no holder has a valid copy")]
    Gone,
    /// It was written by a program that writes them in another way.
    #[error("a checkpoint of another format: {0}")]
    Unreadable(String),
}

/// A copy on its way: what is known of it, and which chunks are still to come.
struct Fetch<S> {
    key: CopyKey,
    /// Whether it is worth asking for all of it at once.
    is_short: bool,
    found: Option<Found>,
    sink: S,
}

struct Found {
    bytes: Bytes,
    manifest: Manifest,
    chunks: Vec<Chunk>,
    wanted: Places,
}

impl<S: Sink> Fetch<S> {
    fn new(actor: &ActorId, epoch: Epoch, checkpoint: &Checkpoint, sink: S) -> Self {
        let Checkpoint { seq, digest, .. } = *checkpoint;
        let key = CopyKey { actor: actor.clone(), epoch, seq, digest };
        Self { key, is_short: checkpoint.is_short(), found: None, sink }
    }

    /// A holder has shown its manifest, which is the right one.
    async fn begin(&mut self, bytes: Bytes) -> io::Result<&mut Found> {
        if self.found.is_none() {
            let manifest =
                Manifest::read(&bytes).map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))?;
            let chunks = manifest.distinct();
            let wanted = self.sink.begin(&manifest, &chunks).await?;
            self.found = Some(Found { bytes, manifest, chunks, wanted });
        }
        self.found.as_mut().ok_or_else(|| other("nothing was found"))
    }

    async fn put(&mut self, at: usize, checked: Checked) -> io::Result<()> {
        let Some(found) = &mut self.found else { return Ok(()) };
        found.wanted.remove(&at);
        self.sink.put(at, &found.chunks[at], checked).await
    }

    /// What is still to come, each with its place.
    fn wanted(&self) -> Vec<(usize, Chunk)> {
        let found = self.found.iter();
        found.flat_map(|found| found.wanted.iter().map(|at| (*at, found.chunks[*at]))).collect()
    }

    fn is_complete(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.wanted.is_empty())
    }
}

impl Shared {
    /// Gets a committed checkpoint, verified: from this disk, else from the others in turn.
    /// Holders that have no valid copy are reported to the log.
    pub(crate) async fn fetch_copy(
        self: &Arc<Self>,
        actor: &ActorId,
        epoch: Epoch,
        checkpoint: &Checkpoint,
    ) -> Result<Content, FetchError> {
        let mut fetch = Fetch::new(actor, epoch, checkpoint, Assembly::default());
        let without = self.fetch(&mut fetch, checkpoint).await?;
        let Found { bytes, manifest, .. } = fetch.found.ok_or(FetchError::Gone)?;
        let content = fetch.sink.finish(&manifest);
        if !without.is_empty() {
            let copy = Sealed::again(bytes, &manifest, &content);
            let (shared, key) = (self.clone(), fetch.key);
            self.spawn(async move { shared.mend(key, copy, without).await });
        }
        Ok(content)
    }

    /// Gets a committed checkpoint onto this disk, all but its manifest, which is returned. Its chunks are durable,
    /// and stay as long as the rest of what is returned is held.
    pub(super) async fn fetch_chunks(
        self: &Arc<Self>,
        actor: &ActorId,
        epoch: Epoch,
        checkpoint: &Checkpoint,
    ) -> Result<(CopyKey, Bytes, Option<InUse>), FetchError> {
        let mut fetch = Fetch::new(actor, epoch, checkpoint, Keeper::new(self, actor));
        let without = self.fetch(&mut fetch, checkpoint).await?;
        if !without.is_empty() {
            let (shared, key) = (self.clone(), fetch.key.clone());
            self.spawn(async move { shared.report_missing(&key, without).await });
        }
        let found = fetch.found.ok_or(FetchError::Gone)?;
        let in_use =
            fetch.sink.finish().await.map_err(|e| FetchError::Unavailable(format!("this disk: {e}")))?;
        Ok((fetch.key, found.bytes, in_use))
    }

    /// Asks one holder after the other, until nothing is missing. Those that lacked something.
    async fn fetch<S: Sink>(
        &self,
        fetch: &mut Fetch<S>,
        checkpoint: &Checkpoint,
    ) -> Result<BTreeSet<RaftId>, FetchError> {
        let own = self.admission().map(|a| a.raft_id);
        let mut unreachable = None;
        let mut without = BTreeSet::new();
        for disk in self.in_turn(checkpoint, own) {
            let copy = match Some(disk) == own {
                true => self.read_own(fetch).await,
                false => self.read_other(disk, fetch).await,
            };
            match copy {
                Ok(()) if fetch.is_complete() => break,
                Ok(()) => drop(without.insert(disk)),
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    return Err(FetchError::Unreadable(e.to_string()));
                }
                Err(e) => unreachable = Some(e.to_string()),
            }
        }
        if fetch.is_complete() {
            return Ok(without);
        }
        if !without.is_empty() {
            // First, for another try would ask the same holders, and report the same.
            self.report_missing(&fetch.key, without).await;
        }
        Err(unreachable.map_or(FetchError::Gone, FetchError::Unavailable))
    }

    /// This disk first. The others from another one on each time, so that a machine's worth of actors comes from all
    /// of them at once.
    fn in_turn(&self, checkpoint: &Checkpoint, own: Option<RaftId>) -> Vec<RaftId> {
        let (mut disks, mut others): (Vec<_>, Vec<_>) =
            checkpoint.holders.iter().partition(|disk| Some(*disk) == own);
        if !others.is_empty() {
            let first = self.fetches.fetch_add(1, Ordering::Relaxed) % others.len();
            others.rotate_left(first);
        }
        // Those that are down last: each would cost the wait for an answer that does not come.
        let lives = |s: &State, disk| s.living().any(|(_, m)| m.raft_id == disk);
        self.state(|s| others.sort_by_key(|disk| !lives(s, *disk)));
        disks.extend(others);
        disks
    }

    /// Gives a copy again to those that lacked a part of it, or all. Whoever does not take it is reported.
    async fn mend(&self, key: CopyKey, copy: Sealed, mut without: BTreeSet<RaftId>) {
        tracing::warn!(actor = %key.actor, seq = key.seq, disks = ?without, "copies are missing or spoiled");
        let own = self.admission().map(|a| a.raft_id);
        for disk in without.clone() {
            let mended = match Some(disk) == own {
                true => {
                    let _in_use = self.hold_chunks(&key.actor).await;
                    self.keep([(&key, &copy)].into_iter()).await
                }
                false => self.put_copies(disk, &[(&key, &copy)]).await,
            };
            if mended.is_ok() {
                without.remove(&disk);
            }
        }
        if !without.is_empty() {
            self.report_missing(&key, without).await;
        }
    }

    /// What this disk has of a copy.
    async fn read_own<S: Sink>(&self, fetch: &mut Fetch<S>) -> io::Result<()> {
        let manifest = match fetch.is_short {
            true => read_copy(&*self.store, &fetch.key),
            false => self.own_copy(&fetch.key).await,
        };
        let Some(manifest) = manifest? else { return Ok(()) };
        fetch.begin(manifest).await?;
        let (actor, wanted) = (fetch.key.actor.clone(), fetch.wanted());
        let mut turns = pin!(self.own_chunks(&actor, wanted, |checked| checked));
        while let Some(turn) = turns.next().await {
            for (at, checked) in turn? {
                if let Some(checked) = checked {
                    fetch.put(at, checked).await?;
                }
            }
        }
        Ok(())
    }

    /// What one holder has of a copy.
    async fn read_other<S: Sink>(&self, disk: RaftId, fetch: &mut Fetch<S>) -> io::Result<()> {
        let until = Instant::now() + self.timing.store;
        if fetch.found.is_none() && fetch.is_short {
            match self.ask_for_copy(disk, &fetch.key).await {
                Ok(None) => return Ok(()),
                Ok(Some(manifest)) => {
                    fetch.begin(manifest).await?;
                }
                // A stream there would be as silent.
                Err(e @ RequestError::Deadline { sent: true }) => return Err(other(e)),
                // There may be no room among users' messages, or it is long with all that is around it.
                Err(_) => {}
            }
        }
        if fetch.is_complete() {
            return Ok(());
        }
        self.read_stream(disk, fetch, until.saturating_duration_since(Instant::now())).await
    }

    /// A short copy, in one frame: where many come back at once, a stream for each would be most of the work.
    async fn ask_for_copy(&self, disk: RaftId, key: &CopyKey) -> Result<Option<Bytes>, RequestError> {
        let body = Rare::Copy(key.clone()).frame();
        let frame = self.send_to_disk(disk, Lane::Call, body, self.timing.store).await?;
        // Copied: the frame lies among others, which would all stay as long as it does.
        Ok((!frame.is_empty() && is_copy(&frame, key)).then(|| Bytes::copy_from_slice(&frame)))
    }

    /// The same by a stream, which is to be open within a while.
    async fn read_stream<S: Sink>(
        &self,
        disk: RaftId,
        fetch: &mut Fetch<S>,
        within: Duration,
    ) -> io::Result<()> {
        let header = StreamHeader::GetCopy(fetch.key.clone());
        let stream = self.open_on_disk(disk, &header, within).await.map_err(other)?;
        let (mut send, mut recv) = stream.split();
        let frame = recv.recv().await.map_err(other)?.ok_or_else(|| other("no answer"))?;
        if frame.is_empty() {
            return Ok(());
        }
        let head: CopyHead = decode(&frame).map_err(other)?;
        if head.key != fetch.key {
            return Err(other("an answer to another question"));
        }
        let manifest = match receive_manifest(&mut recv, &head.key).await {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(()),
            manifest => manifest?,
        };
        let found = fetch.begin(manifest).await?;
        if found.wanted.is_empty() {
            return Ok(());
        }
        wanted::ask(&mut send, &found.wanted, found.chunks.len()).await?;
        for (at, chunk) in fetch.wanted() {
            if let Some(checked) = wanted::receive(&mut recv, &chunk).await? {
                fetch.put(at, checked).await?;
            }
        }
        Ok(())
    }

    async fn report_missing(&self, key: &CopyKey, without: BTreeSet<RaftId>) {
        tracing::warn!(actor = %key.actor, seq = key.seq, disks = ?without, "disks are struck off that lack a copy");
        let held = |holder| Held { actor: key.actor.clone(), epoch: key.epoch, seq: key.seq, holder };
        let items = without.into_iter().map(held).collect();
        if let Err(e) = self.propose(Command::DropHolders { items }, SAVE_DEADLINE).await {
            tracing::warn!(%e, "could not report a missing copy; the next restore will");
        }
    }
}
