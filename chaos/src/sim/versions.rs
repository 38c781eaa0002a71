//! A process of another release in a peer's place.

use standin::transport::PROTOCOL_VERSION;

use super::stage::{Act, Stage};
use crate::plan::Back;

impl Stage {
    /// Restarts a peer as a program that speaks another version of the protocol: an upgrade that went wrong, or half way.
    /// Two of them would understand each other, and might be a majority.
    pub(super) async fn other_version(&mut self, at: usize, newer: bool, for_ms: u64) {
        if self.odd.contains(&true) {
            return;
        }
        self.kill(at);
        let version = if newer { PROTOCOL_VERSION + 1 } else { PROTOCOL_VERSION - 1 };
        self.cluster.next_speaks(at, version);
        self.bring_back(at, Back::Disk).await;
        self.odd[at] = self.running[at];
        self.later(for_ms, Act::SameVersion(at, self.lives[at]));
    }

    /// That peer is restarted as it was.
    pub(super) async fn same_version(&mut self, at: usize, life: u64) {
        if self.odd[at] && self.lives[at] == life {
            self.kill(at);
            self.bring_back(at, Back::Disk).await;
        }
    }
}
