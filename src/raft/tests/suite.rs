//! openraft's own contract for a store, on both of ours.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

use super::super::log::Log;
use super::super::machine::Machine;
use super::super::types::TypeConfig;
use crate::store::{MemoryStore, RocksStore, Store};

/// Opens a fresh disk for each case of the suite; the guard removes what was on it.
struct Fresh<F>(F);

impl<G, F> StoreBuilder<TypeConfig, Log, Machine, G> for Fresh<F>
where
    G: Send + Sync,
    F: Fn() -> io::Result<(G, Arc<dyn Store>)> + Send + Sync,
{
    async fn build(&self) -> Result<(G, Log, Machine), StorageError<TypeConfig>> {
        let opened = (self.0)()
            .and_then(|(guard, store)| Ok((guard, Log::open(store.clone())?, Machine::open(store)?)));
        opened.map_err(|e| StorageError::read(TypeConfig::err_from_error(&e)))
    }
}

#[tokio::test]
async fn the_rocks_store_keeps_the_contract_of_consensus() {
    let fresh = Fresh(|| -> io::Result<(TempDir, Arc<dyn Store>)> {
        let dir = tempfile::tempdir()?;
        let store = RocksStore::open(dir.path()).map_err(io::Error::other)?;
        Ok((dir, Arc::new(store)))
    });
    Suite::test_all(fresh).await.unwrap();
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract_of_consensus() {
    for delay in [Duration::ZERO, Duration::from_millis(1)] {
        let fresh =
            Fresh(|| -> io::Result<((), Arc<dyn Store>)> { Ok(((), Arc::new(MemoryStore::new(delay)))) });
        Suite::test_all(fresh).await.unwrap();
    }
}
