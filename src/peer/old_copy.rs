//! A disk that is an older copy of itself: restored from a backup, or a clone.
//!
//! Under its name a newer process has voted, and has acknowledged entries, of which this disk knows nothing. If it
//! voted again, what is acknowledged could be lost, and two could lead in one term. So every message to a disk's
//! consensus, and every answer to who asks to join, says which process ran there last by the sender's log. Among any
//! majority that elects a leader with such a vote there is one whose log has the newer process's admission, and
//! then the leader's log has it; but for a copy that is the only disk which that majority and the one that
//! committed the admission share: nobody can tell that one, nor what it has forgotten.
//!
//! Nor can anybody tell a copy from the disk as long as no process that was started on the disk after the copy was made
//! has been let in. An operator never restores a data directory while its node may have run on since.

use std::io;

use super::disk::Disk;
use super::shared::{Shared, lock};
use crate::canary::{Mistake, made};
use crate::core::event::Event;
use crate::core::state::LastRun;
use crate::id::RaftId;
use crate::raft::Consensus;
use crate::wire::{DiskClaim, ToDisk};

/// What this process's disk knows of who ran on it, and whether somebody knew more.
#[derive(Debug, Default)]
pub(crate) struct OwnDisk {
    claim: Option<DiskClaim>,
    is_old: bool,
}

impl Shared {
    /// Says what this process's disk is from now on.
    pub(super) fn note_own_disk(&self, disk: &Disk) {
        *lock(&self.own_disk) = OwnDisk { claim: Some(disk.claim()), is_old: disk.is_old };
    }

    /// How consensus's messages to a disk are headed.
    pub(super) fn to_disk(&self, id: RaftId) -> ToDisk {
        ToDisk { id, last_run: self.consensus().and_then(|c| c.last_run(id)) }
    }

    /// The newest process that is known here to have been admitted on a disk.
    pub(super) fn last_run_on(&self, disk: &DiskClaim) -> Option<LastRun> {
        let ours = lock(&self.own_disk).claim.as_ref().map(|own| own.cluster_id);
        let same_cluster = ours == Some(disk.cluster_id);
        self.consensus().filter(|_| same_cluster).and_then(|c| c.last_run(disk.raft_id))
    }

    /// The consensus that a message is for, unless this is not that disk any more.
    pub(super) fn consensus_on(&self, to: &ToDisk) -> Result<Consensus, &'static str> {
        let consensus = self.consensus().filter(|c| c.view().me == to.id).ok_or("that disk is not here")?;
        if self.is_outdated(to.last_run.as_ref()) {
            return Err("this is an older copy of that disk");
        }
        Ok(consensus)
    }

    /// Whether this process's disk is an older copy, by what another peer knows of it, now or before.
    pub(super) fn is_outdated(&self, run: Option<&LastRun>) -> bool {
        if made(Mistake::OldCopyVotes) {
            return false;
        }
        let mut own = lock(&self.own_disk);
        let news = run.filter(|run| own.claim.as_ref().is_some_and(|claim| !claim.knows(run)));
        if let Some(run) = news
            && !own.is_old
            && self.admission().is_none()
        {
            own.is_old = true;
            tracing::error!(node = %self.node, newest = run.incarnation.0,
                "this data directory is an older copy of this node's; it does not vote");
            self.emit(Event::OldDisk { newest: run.incarnation });
        }
        news.is_some() || own.is_old
    }

    /// Stops consensus on an older copy, for good.
    pub(super) async fn lay_down_old_copy(&self, disk: &mut Option<Disk>) -> io::Result<()> {
        let Some(disk) = disk.as_mut().filter(|disk| !disk.is_old && lock(&self.own_disk).is_old) else {
            return Ok(());
        };
        if let Some(consensus) = self.consensus() {
            self.set_consensus(None);
            consensus.shutdown().await;
        }
        disk.is_old = true;
        disk.write(self.store.as_ref()).await
    }
}
