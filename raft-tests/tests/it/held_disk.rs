//! A disk that lets nobody write chunks for a while.

use bytes::Bytes;
use standin::id::ActorId;
use standin::store::{ChunkDigest, CopyKey, Durable, MemoryStore, Slot, Store};
use standin::testing::Cluster;
use standin::{Builder, Event, Placement};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::large::{Heap, Put, heaps};
use crate::support::{Latch, PAST_LEASES, PATIENCE, add, counter, counters, logs};

static MAY_STORE: Latch = Latch::new(true);

/// Whoever writes chunks waits, as where RocksDB has so much to write that it takes in no more.
struct HeldStore(MemoryStore);

impl Store for HeldStore {
    fn chunks_put(&self, actor: &ActorId, chunks: Vec<(ChunkDigest, Bytes)>, done: Durable) {
        MAY_STORE.wait();
        self.0.chunks_put(actor, chunks, done);
    }

    fn get(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        self.0.get(slot)
    }
    fn put(&self, slot: Slot, value: Vec<u8>, done: Durable) {
        self.0.put(slot, value, done);
    }
    fn put_unsynced(&self, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        self.0.put_unsynced(slot, value)
    }
    fn log_bounds(&self) -> io::Result<Option<(u64, u64)>> {
        self.0.log_bounds()
    }
    fn log_read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Vec<u8>)>> {
        self.0.log_read(range, max_bytes)
    }
    fn log_append(&self, entries: Vec<(u64, Vec<u8>)>, done: Durable) {
        self.0.log_append(entries, done);
    }
    fn log_truncate(&self, first: u64) -> io::Result<()> {
        self.0.log_truncate(first)
    }
    fn log_purge(&self, last: u64, slot: Slot, value: Vec<u8>) -> io::Result<()> {
        self.0.log_purge(last, slot, value)
    }
    fn reset_raft(&self, identity: Vec<u8>, done: Durable) {
        self.0.reset_raft(identity, done);
    }
    fn snapshot(&self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        self.0.snapshot()
    }
    fn put_snapshot(&self, meta: Vec<u8>, bytes: Vec<u8>, done: Durable) {
        self.0.put_snapshot(meta, bytes, done);
    }
    fn copies_put(&self, copies: Vec<(CopyKey, Bytes)>, done: Durable) {
        self.0.copies_put(copies, done);
    }
    fn copy_get(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        self.0.copy_get(key)
    }
    fn copies_of(&self, actors: Option<&[&ActorId]>) -> io::Result<Vec<CopyKey>> {
        self.0.copies_of(actors)
    }
    fn copies_delete(&self, keys: &[CopyKey]) -> io::Result<()> {
        self.0.copies_delete(keys)
    }
    fn chunk_get(&self, actor: &ActorId, chunk: &ChunkDigest) -> io::Result<Option<Vec<u8>>> {
        self.0.chunk_get(actor, chunk)
    }
    fn chunks_of(&self, actor: &ActorId) -> io::Result<BTreeSet<ChunkDigest>> {
        self.0.chunks_of(actor)
    }
    fn chunked_actors(&self) -> io::Result<Vec<ActorId>> {
        self.0.chunked_actors()
    }
    fn chunks_delete(&self, actor: &ActorId, chunks: &[ChunkDigest]) -> io::Result<()> {
        self.0.chunks_delete(actor, chunks)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_lives_while_its_disk_takes_in_no_chunks() {
    logs();
    let held = |peer: Builder| peer.store(Arc::new(HeldStore(MemoryStore::new(Duration::ZERO))));
    let mut cluster = Cluster::start(3, move |peer| heaps(counters(held(peer)))).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let home = Placement::On(cluster.node(2));
    let heap = cluster.peer(2).create("heap", Heap::new(1 << 20), home).await.unwrap();
    let small = counter(&cluster, 2, "small", 0).await;
    let mut events = cluster.peer(0).events();
    MAY_STORE.set(false);
    let (peer, target) = (cluster.peer(0).clone(), heap.clone());
    let durable = tokio::spawn(async move { peer.ask_durable(&target, Put(7, 7), PATIENCE).await });
    let end = Instant::now() + PAST_LEASES;
    let mut n = 0;
    while Instant::now() < end {
        n += 1;
        assert_eq!(add(&cluster, 0, &small, 1).await, n, "another actor there answers meanwhile");
    }
    assert!(!durable.is_finished(), "nothing is stored yet");
    MAY_STORE.set(true);
    durable.await.unwrap().unwrap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::PeerDown { .. }), "{event:?}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
