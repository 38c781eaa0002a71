//! Back from a checkpoint: the nearest valid copy.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::replicate::{other, receive_copy};
use crate::core::command::{Checkpoint, Command, Held};
use crate::id::{ActorId, Epoch, RaftId};
use crate::limits::SAVE_DEADLINE;
use crate::peer::Shared;
use crate::store::CopyKey;
use crate::wire::{CopyHead, StreamHeader, decode};

/// No copy could be had now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// Some holder could not be asked: try again.
    #[error("no holder of a copy can be reached: {0}")]
    Unavailable(String),
    /// Every holder answered that it has no valid copy. The log has been told.
    #[error("no holder has a valid copy")]
    Gone,
}

impl Shared {
    /// Gets a committed checkpoint's bytes, verified: from this disk, else from the others in turn.
    /// Holders that have no valid copy are reported to the log.
    pub(crate) async fn fetch_copy(
        self: &Arc<Self>,
        actor: &ActorId,
        epoch: Epoch,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<u8>, FetchError> {
        let key = CopyKey { actor: actor.clone(), epoch, seq: checkpoint.seq, digest: checkpoint.digest };
        let own = self.admission().map(|a| a.raft_id);
        let mut holders: Vec<RaftId> = checkpoint.holders.iter().copied().collect();
        holders.sort_by_key(|disk| Some(*disk) != own);
        let mut unreachable = None;
        let mut without = BTreeSet::new();
        let mut found = None;
        for disk in holders {
            let copy = match Some(disk) == own {
                true => self.own_copy(&key),
                false => self.get_copy(disk, &key).await,
            };
            match copy {
                Ok(Some(bytes)) => {
                    found = Some(bytes);
                    break;
                }
                Ok(None) => {
                    without.insert(disk);
                }
                Err(e) => unreachable = Some(e.to_string()),
            }
        }
        if !without.is_empty() {
            let shared = self.clone();
            let report = async move { shared.report_missing(&key, without).await };
            match found {
                // A restore need not wait for the log.
                Some(_) => self.spawn(report),
                // Before that, another try would ask the same holders, and report the same.
                None => report.await,
            }
        }
        match (found, unreachable) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(why)) => Err(FetchError::Unavailable(why)),
            (None, None) => Err(FetchError::Gone),
        }
    }

    /// One holder's copy; none if it says that it has no valid one (or sends an invalid one).
    async fn get_copy(&self, disk: RaftId, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        let header = StreamHeader::GetCopy(key.clone());
        let stream = self.open_on_disk(disk, &header, self.timing.store).await.map_err(other)?;
        let (_send, mut recv) = stream.split();
        let frame = recv.recv().await.map_err(other)?.ok_or_else(|| other("no answer"))?;
        if frame.is_empty() {
            return Ok(None);
        }
        let head: CopyHead = decode(&frame).map_err(other)?;
        if head.key != *key {
            return Err(other("an answer to another question"));
        }
        match receive_copy(&mut recv, &head).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn report_missing(&self, key: &CopyKey, without: BTreeSet<RaftId>) {
        tracing::warn!(actor = %key.actor, seq = key.seq, disks = ?without, "copies are missing or spoiled");
        let held = |holder| Held { actor: key.actor.clone(), epoch: key.epoch, seq: key.seq, holder };
        let items = without.into_iter().map(held).collect();
        if let Err(e) = self.propose(Command::DropHolders { items }, SAVE_DEADLINE).await {
            tracing::warn!(%e, "could not report a missing copy; the next restore will");
        }
    }
}
