//! What a test does to a running cluster's links and disks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Cluster;
use super::cluster::Ground;
use crate::core::lease::Granter;
use crate::id::ActorId;
use crate::peer::lock;
use crate::store::{CopyKey, RocksStore, durably};

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Cluster {
    fn addr(&self, at: usize) -> SocketAddr {
        self.seats[at].peer.as_ref().and_then(|p| p.status().addr).unwrap_or(self.seats[at].addr)
    }

    /// Cuts the link between two peers, both ways. A peer that comes back on another port is not cut.
    pub fn cut(&self, a: usize, b: usize) {
        match &self.ground {
            Ground::Real { links, .. } => links.cut(self.addr(a), self.addr(b)),
            Ground::Simulated(world) => {
                world.network().cut(self.host(a), self.host(b));
                world.network().cut(self.host(b), self.host(a));
            }
        }
    }

    /// Cuts every link between the peers of one side and those of the other.
    pub fn partition(&self, one: &[usize], other: &[usize]) {
        one.iter().for_each(|a| other.iter().for_each(|b| self.cut(*a, *b)));
    }

    /// Cuts a peer off from all others.
    pub fn isolate(&self, at: usize) {
        (0..self.seats.len()).filter(|other| *other != at).for_each(|other| self.cut(at, other));
    }

    /// Mends the link between two peers.
    pub fn heal(&self, a: usize, b: usize) {
        match &self.ground {
            Ground::Real { links, .. } => links.heal(self.addr(a), self.addr(b)),
            Ground::Simulated(world) => {
                world.network().heal(self.host(a), self.host(b));
                world.network().heal(self.host(b), self.host(a));
            }
        }
    }

    /// Mends all links.
    pub fn heal_all(&self) {
        match &self.ground {
            Ground::Real { links, .. } => links.heal_all(),
            Ground::Simulated(world) => world.network().heal_all(),
        }
    }

    /// Copies the directory of a peer that is stopped or killed: a backup, as an operator would take one.
    ///
    /// # Errors
    /// If the directory is still in use after a while, or cannot be read.
    pub async fn copy_of_dir(&mut self, at: usize) -> Result<PathBuf, Failure> {
        let to = self.spare_dir(at);
        let from = self.dir(at).to_owned();
        if let Ground::Simulated(world) = &self.ground {
            world.copy(&from, &to);
            return Ok(to);
        }
        let end = tokio::time::Instant::now() + super::PATIENCE;
        // A stopped peer's threads let go of its disk a moment later.
        while let Err(e) = RocksStore::open(&from) {
            if tokio::time::Instant::now() >= end {
                return Err(e.into());
            }
            tokio::time::sleep(crate::limits::CONDITION_POLL).await;
        }
        copy_tree(&from, &to)?;
        Ok(to)
    }

    /// Spoils every copy of an actor's checkpoints on a running peer's disk, as bits that rot do.
    /// Returns how many there were.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn spoil_copies(&self, at: usize, actor: &ActorId) -> Result<usize, Failure> {
        let store = &self.peer(at).shared.store;
        let keys = store.copies_of(Some(&[actor]))?;
        let mut spoiled = Vec::new();
        for key in keys {
            let mut bytes = store.copy_get(&key)?.unwrap_or_default();
            bytes.first_mut().into_iter().for_each(|first| *first ^= 1);
            spoiled.push((key, bytes.into()));
        }
        let count = spoiled.len();
        durably(|done| store.copies_put(spoiled, done)).await?;
        Ok(count)
    }

    /// Spoils one of the chunks of an actor's large checkpoints on a running peer's disk.
    ///
    /// # Errors
    /// What the disk says, or that there is none of this number.
    pub async fn spoil_chunk(&self, at: usize, actor: &ActorId, number: usize) -> Result<(), Failure> {
        let store = &self.peer(at).shared.store;
        let mut chunks = store.chunks_of(actor)?.into_iter();
        let chunk = chunks.nth(number).ok_or_else(|| Failure::from("no such chunk is there"))?;
        let rotten = vec![(chunk, bytes::Bytes::from_static(b"rotten"))];
        Ok(durably(|done| store.chunks_put(actor, rotten, done)).await?)
    }

    /// How many chunks of an actor's checkpoints are on a running peer's disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn chunks_held(&self, at: usize, actor: &ActorId) -> Result<usize, Failure> {
        Ok(self.peer(at).shared.store.chunks_of(actor)?.len())
    }

    /// Whether a peer's disk holds a copy of an actor's newest checkpoint that is not what was written.
    #[doc(hidden)]
    pub fn holds_spoiled(&self, at: usize, actor: &ActorId) -> bool {
        let shared = &self.peer(at).shared;
        let newest = shared.state(|s| s.actors.get(actor)?.checkpoint).flatten();
        let Some((epoch, c)) = newest else { return false };
        let key = CopyKey { actor: actor.clone(), epoch, seq: c.seq, digest: c.digest };
        matches!(shared.store.copy_get(&key), Ok(Some(bytes)) if blake3::hash(&bytes) != c.digest)
    }

    /// Lets a leader ask another peer to lead.
    #[doc(hidden)]
    pub fn hand_over(&self, from: usize, to: usize) {
        let raft_id = self.peer(to).status().raft_id;
        let consensus = self.peer(from).shared.consensus();
        if let (Some(to), Some(consensus)) = (raft_id, consensus) {
            self.peer(from).shared.spawn(async move { consensus.hand_over(to).await });
        }
    }

    /// Clocks drift by more than leases allow for from now on: that never two act at one instant is no promise
    /// then, and not checked.
    #[doc(hidden)]
    pub fn expect_wild_clocks(&self) {
        self.watch.expect_wild_clocks();
    }

    /// Whether a running peer, as the leader, has proposed to end somebody's right to a lease, and does not know yet
    /// what came of it.
    #[doc(hidden)]
    pub fn decides(&self, at: usize) -> bool {
        lock(&self.peer(at).shared.granter).as_ref().is_some_and(Granter::decides)
    }

    /// Whether all that a leader has written is committed.
    #[doc(hidden)]
    pub fn is_settled(&self, at: usize) -> bool {
        let view = self.peer(at).shared.consensus().map(|consensus| consensus.view());
        view.is_some_and(|view| view.committed == view.last_log)
    }

    /// The sets of disks (as Raft ids) that must each have a majority for anything to be decided: of the newest Raft
    /// configuration that a running peer knows, and of what the one goes by that has applied most.
    #[doc(hidden)]
    pub fn electorates(&self) -> Vec<BTreeSet<u64>> {
        let views: Vec<_> = self.peers().filter_map(|p| p.shared.consensus().map(|c| c.view())).collect();
        let newest = views.iter().max_by_key(|view| &view.configuration.since);
        let surest = views.iter().max_by_key(|view| view.committed);
        let sets = newest.into_iter().chain(surest).flat_map(|view| &view.configuration.voters);
        sets.map(|set| set.iter().map(|id| id.0).collect()).collect()
    }

    /// The Raft configuration that a running peer goes by: one set of voters, or two while it is joint,
    /// and the learners.
    #[doc(hidden)]
    pub fn configuration(&self, at: usize) -> (Vec<Vec<u64>>, Vec<u64>) {
        let Some(consensus) = self.peer(at).shared.consensus() else { return (vec![], vec![]) };
        let configuration = consensus.view().configuration;
        let raw = |ids: &BTreeSet<crate::id::RaftId>| ids.iter().map(|id| id.0).collect();
        (configuration.voters.iter().map(raw).collect(), raw(&configuration.learners))
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
