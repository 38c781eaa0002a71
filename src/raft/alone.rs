//! The state machine without a group around it: what a directory costs one peer, to be measured.

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Machine, is_snapshot};
use super::types::{Entry, LogId, Snapshot, TypeConfig};
use crate::core::command::Command;
use crate::core::state::State;
use crate::store::MemoryStore;

/// A state machine on a disk of memory.
pub(crate) struct Alone {
    machine: Machine,
    /// Of the newest entry.
    index: u64,
}

/// A snapshot, as it goes to another peer.
pub(crate) struct Taken(Snapshot);

impl Alone {
    pub(crate) fn new() -> io::Result<Self> {
        let store = Arc::new(MemoryStore::new(Duration::ZERO));
        Ok(Self { machine: Machine::open(store)?, index: 0 })
    }

    /// Applies an entry as a follower does.
    pub(crate) async fn apply(&mut self, command: Command) -> io::Result<()> {
        self.index += 1;
        let id = LogId { leader_id: 1.into(), index: self.index };
        let entry = Entry::new(id, EntryPayload::Normal(command.into()));
        let entries = futures_util::stream::iter([Ok::<EntryResponder<TypeConfig>, _>((entry, None))]);
        self.machine.apply(entries).await?;
        drop(self.machine.applied.take_changes());
        Ok(())
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.machine.applied.read(look)
    }

    pub(crate) async fn snapshot(&mut self) -> io::Result<Taken> {
        Ok(Taken(self.machine.get_snapshot_builder().await.build_snapshot().await?))
    }

    /// What a peer does with a snapshot that another one sent.
    pub(crate) async fn install(&mut self, Taken(snapshot): Taken) -> io::Result<()> {
        if !is_snapshot(&snapshot.snapshot) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await
    }
}

impl Taken {
    pub(crate) fn bytes(&self) -> usize {
        self.0.snapshot.len()
    }
}
