//! Machines that go, and come back.

use standin::id::{Incarnation, RaftId};
use standin::store::WriteKind;
use standin::{ActorStatus, PhaseStatus};
use std::collections::BTreeSet;
use std::time::Duration;

use super::stage::{Act, Backup, RETRY, Stage};
use crate::plan::{Back, Way, Who};
use crate::work::move_to;

/// How long an orderly end may take.
const ORDERLY: Duration = Duration::from_secs(2);

/// How long a peer may take to move its actors away and leave. It asks for twice that: some are killed meanwhile.
const DRAINED: Duration = Duration::from_secs(5);

impl Stage {
    /// Kills a process, and has a machine take its place later.
    pub(super) async fn strike_dead(&mut self, at: usize, away_ms: u64, back: Back) {
        if back != Back::Backup || self.backups.contains_key(&at) {
            self.kill(at);
            self.later(away_ms, Act::Return(at, back));
            return;
        }
        // Made now, and used at the next such fault.
        self.kill(at);
        if let Ok(dir) = self.cluster.copy_of_dir(at).await {
            self.backups.insert(at, Backup { dir, since: None });
        }
        self.later(away_ms, Act::Return(at, Back::Disk));
    }

    /// Stops a process in good order, if it can be, and has it started again later.
    pub(super) async fn stop(&mut self, at: usize, away_ms: u64) {
        let peer = self.cluster.peer(at).clone();
        self.end_in_order(at, ORDERLY, away_ms, async move { peer.shutdown().await }).await;
    }

    /// Moves a peer's actors away and lets it leave, if it can be, and has it started again later.
    pub(super) async fn drain(&mut self, at: usize, away_ms: u64) {
        // Who has left does not vote: as with a lost disk, fewer others may be lost.
        if !self.may_lose_a_disk(at) {
            return;
        }
        self.wiped[at] = true;
        let peer = self.cluster.peer(at).clone();
        // Whether it could leave does not matter here.
        self.end_in_order(at, DRAINED, away_ms, async move { drop(peer.drain(DRAINED * 2).await) }).await;
    }

    async fn end_in_order(
        &mut self,
        at: usize,
        within: Duration,
        away_ms: u64,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        self.conceal(at);
        let end = self.cluster.process(at).spawn(end);
        if tokio::time::timeout(within, end).await.is_err() {
            self.trace.say(format_args!("peer-{} did not stop in good order", at + 1));
        }
        self.cluster.kill(at);
        self.later(away_ms, Act::Return(at, Back::Disk));
    }

    /// Asks for a register and a purse to be moved to a peer. What comes of it shows.
    pub(super) fn move_actors(&self, actor: u32, to: usize) {
        let (peer, process) = (self.cluster.peer(to).clone(), self.cluster.process(to));
        let node = self.cluster.node(to);
        drop(process.spawn(async move {
            let moved = move_to(&peer, actor, &node).await;
            tracing::debug!(?moved);
        }));
    }

    /// Starts another machine under a running peer's name; the old one may be cut off before.
    pub(super) async fn usurp(&mut self, at: usize, way: Option<Way>, for_ms: u64) {
        if self.running[at] && self.may_lose_a_disk(at) {
            way.into_iter().for_each(|way| self.cut_off(at, way));
            self.take_name(at, for_ms).await;
        }
    }

    /// Starts another machine under a running peer's name; if some do not hear that one, they do again after a while.
    pub(super) async fn take_name(&mut self, at: usize, for_ms: u64) {
        self.wiped[at] = true;
        self.spoiled[at] = false;
        self.trace.say(format_args!("another machine is started as peer-{}", at + 1));
        let old = self.cluster.host(at);
        self.later(for_ms, Act::HearHost(old));
        if self.cluster.peer(at).status().phase == PhaseStatus::Member {
            self.haunt(at);
            self.conceal(at);
        } else {
            // It could get the name back at the new one's next restart, and a second disk would be lost.
            self.kill(at);
        }
        match self.cluster.usurp(at).await {
            Ok(()) => self.announce(at),
            Err(e) => self.trace.say(format_args!("peer-{} did not start: {e}", at + 1)),
        }
    }

    /// Spoils copies on one disk, if others are surely left.
    pub(super) async fn rot(&mut self, who: Who, actor: u32) {
        let Some(at) = self.find(who) else { return };
        if !self.may_lose_a_disk(at) {
            return;
        }
        let key = format!("r{}", actor % self.plan.actors);
        let Ok(register) = standin::actor::ActorRef::<crate::work::Register>::new(key) else { return };
        self.rotten.insert(register.id().clone());
        // Written at once; a disk that hangs would be waited for until it does not.
        let spoiled = tokio::time::timeout(RETRY, self.cluster.spoil_copies(at, register.id())).await;
        self.wiped[at] |= spoiled.map_or(true, |count| count.is_ok_and(|count| count > 0));
    }

    /// Flips bits on the disk of a process that is away for a while.
    pub(super) fn flip_bits(&mut self, at: usize, what: WriteKind, draw: u64, away_ms: u64) {
        if !self.may_lose_a_disk(at) {
            return;
        }
        self.kill(at);
        if self.world.disk(self.cluster.dir(at)).flip_bits(what, draw) {
            self.wiped[at] = true;
            self.spoiled[at] = true;
        }
        self.later(away_ms, Act::Return(at, Back::Disk));
        // It may take a while until it is read, and noticed.
        self.later(away_ms * 2 + 3000, Act::Look(at));
    }

    /// Whether one more disk may be lost, this one. A cluster survives the loss of a minority of its disks, and two copies of a
    /// state the loss of one, at a time: until all is well again.
    pub(super) fn may_lose_a_disk(&mut self, at: usize) -> bool {
        if self.running.iter().all(|runs| *runs) && self.cluster.is_well() {
            // Bits that flipped count as lost until the machine is replaced, though nobody may have noticed; and a
            // spoiled copy until another checkpoint takes its place.
            self.wiped = (0..self.plan.peers).map(|peer| self.is_spoiled(peer)).collect();
        }
        let most = if self.plan.peers >= 5 { 2 } else { 1 };
        self.wiped.iter().filter(|wiped| **wiped).count() < most && self.leaves_a_copy(at)
    }

    /// The same for a machine that may have lost its disk before, since all was well.
    fn may_be_replaced(&mut self, at: usize) -> bool {
        if self.wiped[at] { self.leaves_a_copy(at) } else { self.may_lose_a_disk(at) }
    }

    fn is_spoiled(&self, at: usize) -> bool {
        self.spoiled[at] || self.rotten.iter().any(|actor| self.cluster.holds_spoiled(at, actor))
    }

    /// Whether each actor's checkpoint is on one more disk than those that are lost, and this one. While few peers
    /// live it has fewer copies than its kind wishes.
    fn leaves_a_copy(&self, at: usize) -> bool {
        let running =
            (0..self.plan.peers).filter(|peer| self.running[*peer]).map(|peer| self.cluster.peer(peer));
        let Some(newest) = running.max_by_key(|peer| peer.status().applied) else { return false };
        let members = newest.status().members;
        // One that was lost, and is replaced by now, counts again.
        let is_gone = |peer: usize, disk: RaftId| {
            let admitted = self.running[peer] && self.cluster.peer(peer).status().raft_id == Some(disk);
            peer == at || self.wiped[peer] && (!admitted || self.is_spoiled(peer))
        };
        let disk = |peer: usize| members.get(&self.cluster.node(peer)).map(|m| m.raft_id);
        let gone = (0..self.plan.peers).filter_map(|peer| disk(peer).filter(|disk| is_gone(peer, *disk)));
        let gone: BTreeSet<RaftId> = gone.collect();
        let is_left = |actor: &ActorStatus| {
            actor.lost || actor.checkpoint.is_none() || actor.holders.iter().any(|disk| !gone.contains(disk))
        };
        newest.actors().iter().all(is_left)
    }

    /// Starts a process in a dead one's place.
    pub(super) async fn bring_back(&mut self, at: usize, back: Back) {
        if self.running[at] {
            return;
        }
        let back = self.as_allowed(at, back);
        self.trace.say(format_args!("peer-{} comes back: {back:?}", at + 1));
        if back == Back::Backup {
            // It is a copy of what it was then; and no machine uses two.
            if let Some(backup) = self.backups.remove(&at) {
                self.cluster.set_dir(at, backup.dir);
            }
        }
        let mut started = self.start(at, back).await;
        if let Err(e) = &started
            && self.spoiled[at]
        {
            self.trace.say(format_args!("peer-{} is replaced: {e}", at + 1));
            started = self.start(at, Back::Empty).await;
        }
        match started {
            Ok(()) => {
                self.newest = at;
                self.announce(at);
            }
            Err(e) => self.trace.say(format_args!("peer-{} did not start: {e}", at + 1)),
        }
    }

    async fn start(&mut self, at: usize, back: Back) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if matches!(back, Back::Empty | Back::EmptySamePort | Back::Backup) {
            self.spoiled[at] = false;
            self.known[at].fill(None);
        }
        match back {
            Back::Disk => self.cluster.restart_at_same_address_unjoined(at).await,
            Back::DiskMoved | Back::Backup => self.cluster.restart_unjoined(at).await,
            Back::Empty => self.cluster.replace_unjoined(at).await,
            Back::EmptySamePort => self.cluster.replace_at_same_address_unjoined(at).await,
        }
    }

    /// Not every machine may come back as planned: too many lost disks are more than a cluster promises to
    /// survive; and who moves while nobody is there to hear of it is never found again.
    fn as_allowed(&mut self, at: usize, back: Back) -> Back {
        // A copy of a disk of which not everybody knows that somebody else has run on it since may be taken for the
        // disk: operators are warned.
        if back == Back::Backup && !self.is_backup_outdated(at) {
            return Back::Disk;
        }
        let keeps = matches!(back, Back::Disk | Back::DiskMoved);
        if !keeps && !self.may_be_replaced(at) {
            return Back::Disk;
        }
        self.wiped[at] |= !keeps;
        // Who waits to be let in knows its contacts only, and hears of nobody's move.
        let hears =
            |at: &usize| self.running[*at] && self.cluster.peer(*at).status().phase == PhaseStatus::Member;
        let others = (0..self.plan.peers).filter(hears).count();
        if back == Back::DiskMoved && others + 1 < self.plan.peers { Back::Disk } else { back }
    }

    /// Whether there is a backup of a peer's disk, and all others know of a newer process than it does.
    pub(super) fn is_backup_outdated(&self, at: usize) -> bool {
        let others = || (0..self.plan.peers).filter(|other| *other != at);
        let Some(backup) = self.backups.get(&at) else { return false };
        let running = || self.running[at].then(|| self.cluster.peer(at).status().incarnation).flatten();
        let since = backup.since.or_else(running);
        since.is_some() && others().all(|other| self.knows(other)[at] >= since)
    }

    /// Which process of each peer a peer knows of, or its disk does.
    pub(super) fn knows(&self, at: usize) -> Vec<Option<Incarnation>> {
        if !self.running[at] {
            return self.known[at].clone();
        }
        let members = self.cluster.peer(at).status().members;
        // One that has just started has applied nothing yet.
        let process = |other| members.get(&self.cluster.node(other)).map(|m| m.incarnation);
        (0..self.plan.peers).map(|other| process(other).or(self.known[at][other])).collect()
    }

    /// Whether a peer says that only an operator can help.
    pub(super) fn is_broken(&self, at: usize) -> bool {
        !matches!(self.cluster.peer(at).status().phase, PhaseStatus::Joining | PhaseStatus::Member)
    }

    /// Replaces a machine that broke down over its disk.
    pub(super) async fn replace_if_broken(&mut self, at: usize) {
        if self.running[at] && self.spoiled[at] && self.is_broken(at) {
            self.kill(at);
            self.bring_back(at, Back::Empty).await;
        }
    }
}
