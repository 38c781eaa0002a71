//! Who a disk belongs to, written before Raft starts on it.

use serde::{Deserialize, Serialize};
use std::io;

use crate::id::{ClusterId, Incarnation, NodeId, RaftId};
use crate::limits::MAX_ASKED;
use crate::store::{Slot, Store, durably};
use crate::wire::DiskClaim;

/// The identity record of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) cluster_id: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) raft_id: RaftId,
    /// The newest incarnation that ran on it; 0 before the founder's first.
    pub(crate) incarnation: Incarnation,
    /// Under which nonces later processes on it have asked to be admitted, newest last. One of them may
    /// have been admitted and died before it could write that down.
    pub(crate) asked: Vec<u128>,
    /// Whether it was found to be an older copy; it never votes again under this id.
    pub(crate) is_old: bool,
}

impl Disk {
    pub(crate) fn read(store: &dyn Store) -> io::Result<Option<Self>> {
        let Some(bytes) = store.get(Slot::Identity)? else { return Ok(None) };
        let disk =
            rmp_serde::from_slice(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Some(disk))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        rmp_serde::to_vec(self).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
    }

    /// Durable when it returns.
    pub(crate) async fn write(&self, store: &dyn Store) -> io::Result<()> {
        let bytes = self.bytes()?;
        durably(|done| store.put(Slot::Identity, bytes, done)).await
    }

    /// Empties the Raft half of a disk and gives it a new identity, in one step.
    pub(crate) async fn renew(&self, store: &dyn Store) -> io::Result<()> {
        let bytes = self.bytes()?;
        durably(|done| store.reset_raft(bytes, done)).await
    }

    /// Notes, durably and before the first question, that a process asks to be admitted on it.
    pub(crate) async fn note_asking(&mut self, nonce: u128, store: &dyn Store) -> io::Result<()> {
        self.asked.push(nonce);
        let excess = self.asked.len().saturating_sub(MAX_ASKED);
        self.asked.drain(..excess);
        self.write(store).await
    }

    pub(crate) fn claim(&self) -> DiskClaim {
        DiskClaim {
            cluster_id: self.cluster_id,
            raft_id: self.raft_id,
            incarnation: self.incarnation,
            asked: self.asked.clone(),
        }
    }
}
