//! What a simulated cluster stands on: a network, disks and clocks, all made from one seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

use crate::clock::{Clock, Mono};
use crate::peer::lock;
use crate::prng::Prng;
use crate::store::MemoryStore;
use crate::transport::SimNetwork;

/// How long a disk takes to sync, if nothing else is said.
const SYNC: Duration = Duration::from_micros(1500);

/// The parts of a simulation. Clones are the same world.
///
/// Everything in it runs on one thread of a tokio runtime whose clock is paused, which then jumps from one
/// event to the next; so a run takes as long as its events take to compute.
#[derive(Clone)]
pub struct World {
    network: SimNetwork,
    disks: Arc<Mutex<BTreeMap<PathBuf, MemoryStore>>>,
    random: Arc<Mutex<Prng>>,
    sync: Duration,
}

impl World {
    /// A world without peers. Call it on a current-thread runtime with a paused clock.
    pub fn new(seed: u64) -> Self {
        Self {
            network: SimNetwork::new(seed),
            disks: Arc::default(),
            random: Arc::new(Mutex::new(Prng::new(!seed))),
            sync: SYNC,
        }
    }

    /// The same world with disks that take so long to sync.
    #[must_use]
    pub fn with_sync(mut self, sync: Duration) -> Self {
        self.sync = sync;
        self
    }

    /// The network.
    pub fn network(&self) -> &SimNetwork {
        &self.network
    }

    /// The host that a peer of this number runs on.
    pub fn host(at: usize) -> IpAddr {
        let at = u16::try_from(at).unwrap_or(u16::MAX).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 0, at[0], at[1]))
    }

    /// The disk of this name; an empty one if there was none.
    pub fn disk(&self, name: &Path) -> MemoryStore {
        lock(&self.disks).entry(name.to_owned()).or_insert_with(|| MemoryStore::new(self.sync)).clone()
    }

    /// What a power failure leaves of a disk: all that was synced, and some of what was not.
    pub(super) fn crash(&self, name: &Path) {
        let mut disks = lock(&self.disks);
        if let Some(disk) = disks.get_mut(name) {
            let unsynced = disk.unsynced() as u64;
            let kept = lock(&self.random).below(unsynced + 1);
            *disk = disk.crash(usize::try_from(kept).unwrap_or(0));
        }
    }

    /// What an orderly end leaves of a disk: everything.
    pub(super) fn close(&self, name: &Path) {
        if let Some(disk) = lock(&self.disks).get_mut(name) {
            *disk = disk.crash(usize::MAX);
        }
    }

    /// Copies a disk that no process uses.
    pub(super) fn copy(&self, from: &Path, to: &Path) {
        let copy = self.disk(from).backup();
        lock(&self.disks).insert(to.to_owned(), copy);
    }
}

/// A machine's clock: the simulation's, but it starts anywhere and may run fast or slow.
pub struct SimClock {
    /// Since when, from which reading on, and by how many parts per million too fast it runs.
    course: Mutex<(Instant, u64, i64)>,
}

impl SimClock {
    /// A true clock that has been running for `offset`.
    pub fn new(offset: Duration) -> Self {
        let reading = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX / 2);
        Self { course: Mutex::new((Instant::now(), reading, 0)) }
    }

    /// Lets it run too fast by so many parts per million from now on; too slow if negative.
    pub fn drift(&self, ppm: i64) {
        let reading = self.now().0;
        *lock(&self.course) = (Instant::now(), reading, ppm);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Mono {
        let (since, reading, ppm) = *lock(&self.course);
        let nanos = i128::try_from(since.elapsed().as_nanos()).unwrap_or(i128::MAX >> 64);
        let nanos = nanos + nanos * i128::from(ppm) / 1_000_000;
        Mono(reading.saturating_add(u64::try_from(nanos).unwrap_or(0)))
    }
}
