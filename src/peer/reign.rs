//! What a leader does: proves that a quorum follows it, grants leases, notices lapses, keeps the
//! Raft configuration and the number of copies as they should be.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::shared::{Shared, lock, millis};
use crate::clock::{Mono, moment};
use crate::core::command::Command;
use crate::core::lease::{Effect, Flight, Granter, Input, MemberView};
use crate::core::state::State;
use crate::id::{NodeId, RaftId};
use crate::raft::{Consensus, ProposeError, View};
use crate::wire::{Answer, Probe, Request};

/// Leadership could not be confirmed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotLeading;

impl Shared {
    /// Runs beside consensus for as long as that does.
    pub(super) async fn reign(self: Arc<Self>, consensus: Consensus) {
        let mut ticks = tokio::time::interval(self.timing.heartbeat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut views = consensus.watch_view();
        let mut applied = consensus.applied().watch();
        let mut duties = super::duties::Duties::default();
        let mut leads = false;
        loop {
            let tick = tokio::select! {
                _ = ticks.tick(), if leads => true,
                alive = views.changed() => { if !alive { return } false }
                alive = applied.changed() => {
                    if alive.is_err() { return }
                    // Who never led has nobody to tell; that changes with the view.
                    if lock(&self.granter).is_none() { continue }
                    false
                }
            };
            let view = self.tell_granter(&consensus);
            if !self.goes_by(&consensus) {
                // Its log was discarded: another one takes its place.
                return;
            }
            if let Some(why) = &view.stopped {
                return self.fail(format!("consensus has stopped: {why}"));
            }
            leads = view.leads();
            if tick && leads {
                self.probe_round(&consensus, &view);
                self.step_granter(Input::Tick, &consensus);
                duties.due(&self, &consensus, &view);
            }
        }
    }

    /// Brings the lease core up to date with what consensus says. Cheap when nothing has changed.
    fn tell_granter(self: &Arc<Self>, consensus: &Consensus) -> View {
        // Before the look: several tasks come here, and an older view told after a newer one would
        // bring back voters, or a whole reign, that are over.
        let mut slot = lock(&self.granter);
        let view = consensus.view();
        if !self.goes_by(consensus) {
            return view;
        }
        let now = self.now();
        let (lease, members, index, term) = consensus.applied().read_at(|s, index, term| {
            let lease = s.cluster.as_ref().map(|(_, settings)| Duration::from_millis(settings.lease_ms));
            (lease, view.leads().then(|| members_of(s)), index, term)
        });
        if !view.leads() {
            *lock(&self.own_probe) = None;
            if let Some(granter) = slot.as_mut() {
                granter.step(Input::LostLeadership, now);
            }
            return view;
        }
        let lease = lease.unwrap_or(self.timing.lease);
        let granter = slot.get_or_insert_with(|| {
            let mut granter = Granter::new(view.me, lease);
            granter.step(Input::RaftStarted, now);
            granter
        });
        granter.step(Input::Voters(view.configuration.voters.clone()), now);
        granter.step(Input::BecameLeader { term: view.term }, now);
        if let Some(members) = members {
            granter.step(Input::MembersApplied { index, members }, now);
        }
        if term == view.term {
            granter.step(Input::AppliedTerm { term, index }, now);
        }
        view
    }

    fn step_granter(self: &Arc<Self>, input: Input, consensus: &Consensus) {
        let effects = match lock(&self.granter).as_mut() {
            Some(granter) => granter.step(input, self.now()),
            None => return,
        };
        for effect in effects {
            if let Effect::Lapsed { node, incarnation, term, silent } = effect {
                let silent_ms = millis(silent);
                tracing::warn!(%node, incarnation = incarnation.0, silent_ms,
                    "a peer's lease has ended: marking it down");
                let command = Command::MarkDown { node: node.clone(), incarnation, term, silent_ms };
                self.propose_in_flight(consensus.clone(), command, node, Flight::MarkDown, term);
            }
        }
    }

    /// Proposes what ends or renews a right to a lease; no grant meanwhile.
    fn propose_in_flight(
        self: &Arc<Self>,
        consensus: Consensus,
        command: Command,
        node: NodeId,
        what: Flight,
        term: u64,
    ) {
        let shared = self.clone();
        self.spawn(async move {
            let at = match consensus.propose(command).await {
                Ok((index, _)) => Some(index),
                Err(ProposeError::NotLeader | ProposeError::TooLong) => None,
                Err(_) => return, // unknown: the flight lasts as long as this reign
            };
            if let Some(granter) = lock(&shared.granter).as_mut() {
                granter.step(Input::End { node, what, term, at }, shared.now());
            }
        });
    }

    /// A member that was marked down is heard of again, and nobody took its place.
    pub(super) fn mark_up(self: &Arc<Self>, node: NodeId, incarnation: crate::id::Incarnation) {
        let Some(consensus) = self.consensus() else { return };
        let view = consensus.view();
        if !view.leads() || !self.is_down(&node, incarnation) || !lock(&self.rising).insert(node.clone()) {
            return;
        }
        let shared = self.clone();
        self.spawn(async move {
            let command = Command::MarkUp { node: node.clone(), incarnation, term: view.term };
            drop(consensus.propose(command).await);
            lock(&shared.rising).remove(&node);
        });
    }

    /// Starts a probe round. Voters answer with their next heartbeat; if the proof of leadership is
    /// getting old (or there is none yet), they are asked at once.
    fn probe_round(self: &Arc<Self>, consensus: &Consensus, view: &View) {
        let fresh_enough = self.is_followed(self.now() - self.timing.heartbeat * 3);
        self.start_probe(consensus, view, !fresh_enough);
    }

    /// Whether a quorum surely followed this leader at a moment or later.
    pub(super) fn is_followed(&self, since: Mono) -> bool {
        lock(&self.granter).as_ref().is_some_and(|granter| granter.confirmed_since(since))
    }

    fn start_probe(self: &Arc<Self>, consensus: &Consensus, view: &View, urgent: bool) {
        let effects = match lock(&self.granter).as_mut() {
            Some(granter) => granter.step(Input::ProbeStart, self.now()),
            None => return,
        };
        for effect in effects {
            let Effect::Probe { term, n, to } = effect else { continue };
            let probe = Probe { term, n, leader: view.me };
            *lock(&self.own_probe) = Some(probe);
            if consensus.follows(term, view.me) {
                self.credit_probe(view.me, probe);
            }
            if urgent {
                for voter in to.into_iter().filter(|id| *id != view.me) {
                    let shared = self.clone();
                    self.spawn(async move { shared.probe_voter(voter, probe).await });
                }
            }
        }
    }

    async fn probe_voter(self: Arc<Self>, voter: RaftId, probe: Probe) {
        let answer = self.ask_disk(voter, Request::Probe(probe), self.timing.heartbeat * 3).await;
        if matches!(answer, Ok(Answer::Probe(true))) {
            self.credit_probe(voter, probe);
        }
    }

    fn credit_probe(&self, from: RaftId, probe: Probe) {
        if let Some(granter) = lock(&self.granter).as_mut() {
            granter.step(Input::ProbeAck { from, term: probe.term, n: probe.n }, self.now());
        }
        self.confirmed.notify_waiters();
    }

    /// Waits until a quorum has followed this leader at some moment after the call.
    pub(super) async fn confirm_leadership(self: &Arc<Self>, deadline: Duration) -> Result<(), NotLeading> {
        let asked = self.now();
        let end = moment(deadline);
        let Some(consensus) = self.consensus() else { return Err(NotLeading) };
        while Instant::now() < end {
            let view = self.tell_granter(&consensus);
            if !view.leads() {
                return Err(NotLeading);
            }
            self.start_probe(&consensus, &view, true);
            let next = (Instant::now() + self.timing.heartbeat).min(end);
            if tokio::time::timeout_at(next, self.confirmed_since(asked)).await.is_ok() {
                return Ok(());
            }
        }
        Err(NotLeading)
    }

    async fn confirmed_since(&self, asked: Mono) {
        loop {
            let answered = self.confirmed.notified();
            if self.is_followed(asked) {
                return;
            }
            answered.await;
        }
    }

    /// The index that a linearizable read must have applied.
    pub(super) async fn on_read_index(self: &Arc<Self>) -> Answer {
        let Some(consensus) = self.consensus() else { return Answer::NotLeader };
        // What is applied *now* on the leader, once a quorum has confirmed it, covers every
        // write that was acknowledged before the question.
        let index =
            consensus.applied().read_at(|_, index, term| (term == consensus.view().term).then_some(index));
        match (index, self.confirm_leadership(self.timing.lease).await) {
            (Some(index), Ok(())) => Answer::ReadIndex(index),
            _ => Answer::NotLeader,
        }
    }
}

fn members_of(state: &State) -> std::collections::BTreeMap<NodeId, MemberView> {
    state
        .members
        .iter()
        .map(|(node, m)| (node.clone(), MemberView { incarnation: m.incarnation, status: m.standing }))
        .collect()
}
