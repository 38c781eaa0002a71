//! Reacts to what the log has decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shared::{Shared, lock};
use crate::core::event::Event;
use crate::core::lease::PeerInput;
use crate::core::state::{State, Status};
use crate::id::{ActorId, Incarnation, NodeId};
use crate::raft::{Consensus, View};

impl Shared {
    /// Runs beside consensus for as long as that does.
    pub(super) async fn follow(self: Arc<Self>, consensus: Consensus) {
        let mut applied = consensus.applied().watch();
        let mut views = consensus.watch_view();
        let mut leader = None;
        let mut seen = BTreeMap::new();
        let mut another_view = true;
        loop {
            // Read first: what is noted then covers every entry up to it, and maybe more.
            let index = *applied.borrow_and_update();
            lock(&self.history).note(index, self.now());
            let changes = consensus.applied().take_changes();
            if changes.members || another_view {
                self.note_leader(&consensus.view(), &mut leader);
            }
            if changes.members {
                self.note_members(&mut seen);
                self.note_away();
            }
            for (at, event) in changes.events {
                // What happened before this process came is no news to its user.
                if self.incarnation().is_some_and(|mine| at >= mine.0) {
                    self.emit(event);
                }
            }
            if changes.members || self.is_one_homesick(&changes.actors) {
                self.homesick.notify_one();
            }
            if changes.members || !changes.actors.is_empty() {
                self.bells.ring(&changes.actors, changes.members);
            }
            if !changes.actors.is_empty() {
                self.reconcile(changes.actors.iter());
                lock(&self.collectable).extend(changes.actors);
            }
            // At last: a lease must not extend what one of these entries has ended here.
            self.step_lease(PeerInput::Applied { index });
            another_view = tokio::select! {
                changed = applied.changed() => { if changed.is_err() { return } false }
                alive = views.changed() => { if !alive { return } true }
            };
        }
    }

    /// Reports another leader, once its name is known here.
    fn note_leader(&self, view: &View, before: &mut Option<NodeId>) {
        let leader = view.leader.and_then(|disk| self.node_of(disk));
        if *before == leader || (leader.is_none() && view.leader.is_some()) {
            return;
        }
        before.clone_from(&leader);
        tracing::info!(node = %self.node, leader = leader.as_ref().map_or("nobody", |n| n.as_str()), term = view.term,
            "leader changed");
        self.emit(Event::LeaderChanged { leader, term: view.term });
    }

    /// Whether one of these actors could run here, its home, and does not.
    fn is_one_homesick(&self, actors: &BTreeSet<ActorId>) -> bool {
        let away = |s: &State, id: &ActorId| {
            s.actors.line(id).is_some_and(|a| a.home == self.node.as_str() && s.homesick(&a).is_some())
        };
        self.state(|s| actors.iter().any(|id| away(s, id))) == Some(true)
    }

    /// Remembers since when who is away.
    fn note_away(&self) {
        let away: Vec<NodeId> = self
            .state(|s| {
                s.members.iter().filter(|(_, m)| m.standing != Status::Up).map(|(n, _)| n.clone()).collect()
            })
            .unwrap_or_default();
        let now = self.now();
        let mut since = lock(&self.away_since);
        since.retain(|node, _| away.contains(node));
        for node in away {
            since.entry(node).or_insert(now);
        }
    }

    /// Invariant 2: once a newer process of a node is admitted, the older one's connections end.
    fn note_members(&self, seen: &mut BTreeMap<NodeId, Incarnation>) {
        let members: Vec<(NodeId, Incarnation)> = self
            .state(|s| s.members.iter().map(|(n, m)| (n.clone(), m.incarnation)).collect())
            .unwrap_or_default();
        for (node, incarnation) in members {
            if seen.insert(node.clone(), incarnation) == Some(incarnation) {
                continue;
            }
            self.forget_learned(&node);
            if node == self.node && self.incarnation().is_some_and(|mine| mine < incarnation) {
                self.retire(incarnation);
            } else if let Some(transport) = self.transport() {
                // Of its own node too: this may be the newer one.
                transport.close_older(&node, incarnation);
            }
        }
    }

    /// Forgets where a process said hello from, once the member table knows it, or a newer one.
    fn forget_learned(&self, node: &NodeId) {
        let member = self.state(|s| s.members.get(node).map(|m| (m.raft_id, m.addr))).flatten();
        let Some((disk, addr)) = member else { return };
        let mut learned = lock(&self.learned);
        if learned.get(node).is_some_and(|(on, other)| *on < disk || *other == addr) {
            learned.remove(node);
        }
    }
}
