//! Looks on while a cluster runs, and notes what must never be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use super::invariants::Violation;
use crate::actor::Observer;
use crate::core::state::{Actor, State};
use crate::id::{ActorId, Epoch, Incarnation, NodeId, RaftId};
use crate::limits::{CONDITION_POLL, MAX_VIOLATIONS};
use crate::peer::{Peer, Shared, lock};

/// Sees every poll of a handler and, every few milliseconds, every peer.
#[derive(Default)]
pub(super) struct Watch {
    peers: Mutex<Vec<Watched>>,
    record: Mutex<Record>,
}

struct Watched {
    /// Weak: a killed peer's disk must become free.
    peer: Weak<Shared>,
    dir: PathBuf,
    /// Whether it speaks another version of the protocol than this one.
    is_odd: bool,
    /// Up to where its directory was looked at.
    seen: (Option<Incarnation>, u64),
    /// Retired processes that it listens to, and how often it had applied more since that was seen first.
    old_visitors: BTreeMap<(NodeId, Incarnation), (u32, u64)>,
}

/// How often a peer may have applied more while it still listens to a retired process.
const PATIENT_LOOKS: u32 = 5;

/// What was seen so far.
#[derive(Default)]
struct Record {
    violations: Vec<Violation>,
    /// Clocks may drift by more than leases allow for.
    wild_clocks: bool,
    leaders: BTreeMap<u64, RaftId>,
    /// What every peer, in every one of its lives, applied at an index.
    entries: BTreeMap<u64, [u8; 32]>,
    disks: BTreeMap<RaftId, PathBuf>,
    /// The newest entry by which a process that was down may have leases again.
    up_since: BTreeMap<Incarnation, u64>,
    lines: BTreeMap<(Incarnation, ActorId), Line>,
    turns: BTreeMap<ActorId, Turns>,
}

/// What one process last showed of an actor: its life, its epoch, its newest checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    life: u64,
    epoch: Epoch,
    checkpoint: Option<(Epoch, u64)>,
}

/// Who polls an actor's handler now, and the newest epoch that ever did.
#[derive(Default)]
struct Turns {
    newest: Option<Epoch>,
    running: BTreeSet<Epoch>,
}

impl Watch {
    /// Begins to look at what [`Watch::add`] names, until the last handle is dropped.
    pub(super) fn start() -> Arc<Self> {
        let watch = Arc::new(Self::default());
        let weak = Arc::downgrade(&watch);
        tokio::spawn(async move {
            while let Some(watch) = weak.upgrade() {
                watch.look_at_all();
                drop(watch);
                tokio::time::sleep(CONDITION_POLL).await;
            }
        });
        watch
    }

    /// Looks at one more process.
    pub(super) fn add(&self, peer: &Peer, dir: &Path, is_odd: bool) {
        let peer = Arc::downgrade(&peer.shared);
        let mut peers = lock(&self.peers);
        peers.retain(|watched| watched.peer.strong_count() > 0);
        let (dir, old_visitors) = (dir.to_owned(), BTreeMap::new());
        peers.push(Watched { peer, dir, is_odd, seen: (None, 0), old_visitors });
    }

    /// What was seen that must not be, of one invariant.
    pub(super) fn violation(&self, invariant: &str) -> Option<Violation> {
        lock(&self.record).violations.iter().find(|v| v.invariant == invariant).cloned()
    }

    pub(super) fn first_violation(&self) -> Option<Violation> {
        lock(&self.record).violations.first().cloned()
    }

    /// Clocks drift by more than leases allow for from now on: who is polled when is no promise then.
    pub(super) fn expect_wild_clocks(&self) {
        lock(&self.record).wild_clocks = true;
    }

    /// A last look at a process that is about to end.
    pub(super) fn look(&self, peer: &Arc<Shared>) {
        let mut peers = lock(&self.peers);
        if let Some(watched) = peers.iter_mut().find(|w| std::ptr::eq(w.peer.as_ptr(), Arc::as_ptr(peer))) {
            watched.look(peer, &mut lock(&self.record));
        }
    }

    pub(super) fn look_at_all(&self) {
        let mut peers = lock(&self.peers);
        let mut open: BTreeMap<NodeId, Vec<Arc<Shared>>> = BTreeMap::new();
        for watched in peers.iter_mut() {
            let Some(peer) = watched.peer.upgrade() else { continue };
            watched.look(&peer, &mut lock(&self.record));
            if peer.gate.is_open() {
                open.entry(peer.node.clone()).or_default().push(peer);
            }
        }
        for (node, processes) in open.into_iter().filter(|(_, processes)| processes.len() > 1) {
            // Open when the first look ended and open now: both were, at one moment.
            let still: Vec<_> =
                processes.iter().filter(|p| p.gate.is_open()).map(|p| p.incarnation()).collect();
            if still.len() > 1 {
                lock(&self.record).note_at_once(
                    "one_live_incarnation_per_node",
                    format!("{node}: {still:?} hold leases at the same time"),
                );
            }
        }
    }
}

impl Watched {
    fn look(&mut self, peer: &Shared, record: &mut Record) {
        if self.is_odd {
            record.is_shut_out(peer);
        }
        let Some(consensus) = peer.consensus() else { return };
        let view = consensus.view();
        if let Some(leader) = view.leader {
            record.leads(view.term, leader, &peer.node);
        }
        for step in consensus.applied().take_trail() {
            record.applied(step.index, step.digest, &peer.node);
            if let Some(who) = step.up {
                record.up_since.insert(who, step.index);
            }
            for actor in step.thin {
                let what = format!("{actor}: at {} a checkpoint on too few disks was accepted", step.index);
                record.note("checkpoints_are_on_their_holders", what);
            }
        }
        let Some(place) = peer.admission() else { return };
        self.look_at_visitors(peer, record);
        record.uses_disk(place.raft_id, &self.dir);
        // The gate first: it opens after the entry is applied, maybe meanwhile.
        let runs = peer.gate.is_open();
        consensus.applied().read_at(|state, index, _| {
            if runs {
                record.holds_lease(place.incarnation, index, &peer.node);
            }
            let seen = (Some(place.incarnation), index);
            if std::mem::replace(&mut self.seen, seen) != seen {
                record.shows(place.incarnation, state);
            }
        });
    }

    /// Whether a peer still listens to a process of which it knows that a newer one has its name. It gets a while to
    /// act on that: until it has applied more, several times.
    fn look_at_visitors(&mut self, peer: &Shared, record: &mut Record) {
        let (Some(transport), Some(consensus)) = (peer.transport(), peer.consensus()) else { return };
        let (old, index) = consensus.applied().read_at(|state, index, _| {
            let is_old = |(node, life): &(NodeId, Incarnation)| {
                state.members.get(node).is_some_and(|newest| newest.incarnation > *life)
            };
            // One that is retired itself, and hears itself, is on its way out.
            if peer.incarnation().is_some_and(|mine| is_old(&(peer.node.clone(), mine))) {
                return (BTreeSet::new(), index);
            }
            (transport.visitors().into_iter().filter(is_old).collect::<BTreeSet<_>>(), index)
        });
        self.old_visitors.retain(|who, _| old.contains(who));
        for who in old {
            let (times, last) = self.old_visitors.entry(who.clone()).or_insert((0, index));
            if *last < index {
                (*times, *last) = (*times + 1, index);
            }
            if *times == PATIENT_LOOKS {
                let what = format!("{} listens to the retired {who:?}", peer.node);
                record.note("one_live_incarnation_per_node", what);
            }
        }
    }
}

impl Record {
    fn note(&mut self, invariant: &'static str, what: String) {
        tracing::error!(invariant, what, "an invariant is violated");
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { invariant, what });
        }
    }

    /// Notes that two acted at once, which only clocks within their bounds prevent.
    fn note_at_once(&mut self, invariant: &'static str, what: String) {
        if !self.wild_clocks {
            self.note(invariant, what);
        }
    }

    /// Peers of different versions refuse each other, both ways, before anything else is said.
    fn is_shut_out(&mut self, odd: &Shared) {
        let met = odd.transport().map(|transport| transport.company()).unwrap_or_default();
        // It may well talk to itself.
        let others: Vec<_> = met.iter().filter(|node| **node != odd.node).collect();
        if !others.is_empty() || odd.admission().is_some() {
            let what = format!("{}, of another version, has come in, and knows {others:?}", odd.node);
            self.note("other_versions_stay_out", what);
        }
    }

    fn leads(&mut self, term: u64, leader: RaftId, seen_by: &NodeId) {
        let known = *self.leaders.entry(term).or_insert(leader);
        if known != leader {
            self.note("raft_is_safe", format!("{known} and, says {seen_by}, {leader} lead in term {term}"));
        }
    }

    fn applied(&mut self, index: u64, digest: [u8; 32], by: &NodeId) {
        if *self.entries.entry(index).or_insert(digest) != digest {
            self.note("raft_is_safe", format!("{by} applied another entry at {index} than others"));
        }
    }

    fn uses_disk(&mut self, id: RaftId, dir: &Path) {
        let known = self.disks.entry(id).or_insert_with(|| dir.to_owned());
        if known != dir {
            let what = format!("{id} is used by {} and {}", known.display(), dir.display());
            self.note("one_live_incarnation_per_node", what);
        }
    }

    fn holds_lease(&mut self, process: Incarnation, applied: u64, node: &NodeId) {
        if let Some(since) = self.up_since.get(&process).copied().filter(|since| applied < *since) {
            let what = format!("{node} holds a lease, and has not applied {since}, which lets it");
            self.note_at_once("one_executing_host", what);
        }
    }

    fn shows(&mut self, process: Incarnation, state: &State) {
        for line in state.actors.iter() {
            let (id, actor) = (&line.id(), &line.actor());
            let checkpoint = actor.checkpoint.as_ref().map(|(epoch, c)| (*epoch, c.seq));
            let line = Line { life: actor.life, epoch: actor.epoch, checkpoint };
            if let Some(why) = fault(state, actor) {
                self.note("no_write_under_an_old_epoch", format!("{id}: {why}"));
            }
            let before = self.lines.insert((process, id.clone()), line).filter(|b| b.life == line.life);
            let Some(before) = before else { continue };
            if before.epoch > line.epoch || before.checkpoint > line.checkpoint {
                self.note("no_write_under_an_old_epoch", format!("{id} went back to epoch {}", line.epoch));
            }
            let written = line.checkpoint.filter(|new| Some(*new) != before.checkpoint);
            if written.is_some_and(|(under, _)| under < before.epoch) {
                let what = format!("{id}: {written:?} was accepted after epoch {}", before.epoch);
                self.note("no_write_under_an_old_epoch", what);
            }
        }
    }

    fn begin(&mut self, actor: &ActorId, epoch: Epoch) {
        let turns = self.turns.entry(actor.clone()).or_default();
        let newest = turns.newest;
        turns.newest = newest.max(Some(epoch));
        // An older poll that cannot be interrupted may still run; it must not begin.
        if newest > Some(epoch) {
            self.note_at_once(
                "one_executing_host",
                format!("{actor} is polled under {epoch}, after {newest:?}"),
            );
        } else if !turns.running.insert(epoch) {
            self.note("one_executing_host", format!("{actor} is polled twice at once under {epoch}"));
        }
    }

    fn end(&mut self, actor: &ActorId, epoch: Epoch) {
        if let Some(turns) = self.turns.get_mut(actor) {
            turns.running.remove(&epoch);
        }
    }
}

/// What cannot be in one line of a directory.
fn fault(state: &State, actor: &Actor) -> Option<&'static str> {
    if actor.checkpoint.as_ref().is_some_and(|(written, _)| *written > actor.epoch) {
        return Some("a checkpoint of an epoch to come");
    }
    match actor.host {
        Some(host) if state.member_of(host).is_none() => Some("its host is retired"),
        _ => None,
    }
}

impl Observer for Watch {
    fn on_poll_begin(&self, actor: &ActorId, epoch: Epoch) {
        lock(&self.record).begin(actor, epoch);
    }

    fn on_poll_end(&self, actor: &ActorId, epoch: Epoch) {
        lock(&self.record).end(actor, epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(look: impl FnOnce(&mut Record)) -> Vec<&'static str> {
        let mut record = Record::default();
        look(&mut record);
        record.violations.iter().map(|v| v.invariant).collect()
    }

    #[test]
    fn a_watch_notices_what_must_never_be_seen() {
        let (node, actor) = (NodeId::new("a").unwrap(), ActorId::new("k", "1").unwrap());
        assert_eq!(
            seen(|r| [1, 1, 2].iter().for_each(|id| r.leads(7, RaftId(*id), &node))),
            ["raft_is_safe"]
        );
        assert_eq!(seen(|r| [1, 1, 2].iter().for_each(|d| r.applied(9, [*d; 32], &node))), ["raft_is_safe"]);
        let same_disk_id = |r: &mut Record| {
            ["x", "x", "y"].iter().for_each(|dir| r.uses_disk(RaftId(3), Path::new(dir)));
        };
        assert_eq!(seen(same_disk_id), ["one_live_incarnation_per_node"]);
        let older_begins_later = |r: &mut Record| {
            r.begin(&actor, Epoch(1));
            r.begin(&actor, Epoch(2));
            r.end(&actor, Epoch(1));
            r.end(&actor, Epoch(2));
            assert!(r.violations.is_empty());
            r.begin(&actor, Epoch(1));
        };
        assert_eq!(seen(older_begins_later), ["one_executing_host"]);
        let twice_at_once = |r: &mut Record| (0..2).for_each(|_| r.begin(&actor, Epoch(1)));
        assert_eq!(seen(twice_at_once), ["one_executing_host"]);
    }
}
