//! Links that tests cut. Packets are lost, as on a real cut: nobody is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;

/// Which directed links are cut, shared by the transports of one test process. Knows addresses only.
#[derive(Debug, Clone, Default)]
pub struct LinkTable {
    cut: Arc<Mutex<BTreeSet<(SocketAddr, SocketAddr)>>>,
}

impl LinkTable {
    /// Nothing is cut.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses every packet between the two, both ways, from now on.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        lock(&self.cut).extend([(a, b), (b, a)]);
    }

    /// Loses every packet from one to the other, from now on.
    pub fn cut_one_way(&self, from: SocketAddr, to: SocketAddr) {
        lock(&self.cut).insert((from, to));
    }

    /// Ends the cuts between the two, both ways.
    pub fn heal(&self, a: SocketAddr, b: SocketAddr) {
        let mut cut = lock(&self.cut);
        cut.remove(&(a, b));
        cut.remove(&(b, a));
    }

    /// Ends all cuts.
    pub fn heal_all(&self) {
        lock(&self.cut).clear();
    }

    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        lock(&self.cut).contains(&(from, to))
    }
}

/// What one socket loses.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) local: SocketAddr,
    pub(super) table: Option<LinkTable>,
    /// Loses everything: the process is as good as killed.
    pub(super) mute: AtomicBool,
}

impl Faults {
    pub(super) fn loses(&self, to: SocketAddr) -> bool {
        self.mute.load(Ordering::Relaxed) || self.table.as_ref().is_some_and(|t| t.is_cut(self.local, to))
    }
}
