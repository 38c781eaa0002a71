//! Keeps this peer's lease: a heartbeat per interval, to the leader or around a cut link.

use std::sync::Arc;

use super::reach::in_turn;
use super::shared::{Shared, lock};
use crate::canary::{Mistake, made};
use crate::core::lease::{Effect, Input, PeerInput, Refusal};
use crate::core::state::Status;
use crate::id::{Incarnation, NodeId};
use crate::raft::Consensus;
use crate::transport::Lane;
use crate::wire::{Answer, Heartbeat, HeartbeatAnswer, Probe, Request};

impl Shared {
    /// Sends heartbeats for as long as this peer runs.
    pub(super) async fn keep_lease(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.timing.heartbeat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        for seq in 1.. {
            ticks.tick().await;
            if self.is_stopped() || self.phase.borrow().is_over() {
                return;
            }
            self.gate.note();
            // One that hangs must not hold up the next one.
            let shared = self.clone();
            self.spawn(async move { shared.beat(seq).await });
        }
    }

    async fn beat(self: Arc<Self>, seq: u64) {
        let (Some(consensus), Some(admission)) = (self.consensus(), self.admission()) else { return };
        let applied = consensus.applied().read_at(|_, index, _| index);
        let heartbeat = Heartbeat {
            node: self.node.clone(),
            incarnation: admission.incarnation,
            raft_id: admission.raft_id,
            seq,
            applied,
            ack: self.standing_probe(&consensus),
            load: self.host().map_or(0, |host| host.places().try_into().unwrap_or(u32::MAX)),
        };
        // The lease counts from here: before the first byte leaves.
        lock(&self.lease).step(PeerInput::Sent { seq, now: self.now() });
        let answer = self.deliver_heartbeat(&consensus, heartbeat).await;
        if let Some(answer) = answer {
            self.on_heartbeat_answer(seq, answer);
        }
    }

    /// The newest probe, if this voter's vote still is that leader's.
    fn standing_probe(&self, consensus: &Consensus) -> Option<(u64, u64)> {
        let probe = (*lock(&self.probe))?;
        consensus.follows(probe.term, probe.leader).then_some((probe.term, probe.n))
    }

    async fn deliver_heartbeat(
        self: &Arc<Self>,
        consensus: &Consensus,
        heartbeat: Heartbeat,
    ) -> Option<HeartbeatAnswer> {
        let view = consensus.view();
        if view.leads() {
            let (node, incarnation) = (heartbeat.node.clone(), heartbeat.incarnation);
            let answer = self.on_heartbeat(heartbeat);
            self.mark_up(node, incarnation);
            return Some(answer);
        }
        let seq = heartbeat.seq;
        let request = Request::Heartbeat(heartbeat);
        let Some(leader) = view.leader else {
            // Nobody leads; or this process was replaced before it ever heard of a leader. Whoever knows that
            // refuses to talk to it, and says so.
            if let Some(dest) = in_turn(&self.whom_to_ask(), seq) {
                drop(self.ask(dest, &request, Lane::Control, self.timing.heartbeat * 2).await);
            }
            return None;
        };
        match self.ask_disk(leader, request, self.timing.heartbeat * 2).await {
            Ok(Answer::Heartbeat(answer)) => Some(answer),
            Ok(_) => None,
            Err(e) => {
                tracing::debug!(node = %self.node, %e, "no answer to a heartbeat");
                None
            }
        }
    }

    fn on_heartbeat_answer(&self, seq: u64, answer: HeartbeatAnswer) {
        if let Some(probe) = answer.probe {
            let mut newest = lock(&self.probe);
            if newest.is_none_or(|p| (p.term, p.n) < (probe.term, probe.n)) {
                *newest = Some(probe);
            }
        }
        match answer.lease {
            Ok(grant) => {
                if made(Mistake::LeaseFromReceipt) {
                    self.gate.extend(self.now() + grant.lease);
                }
                self.step_lease(PeerInput::Granted { seq, grant });
            }
            Err(Refusal::Retired { by }) => self.retire(by),
            Err(why) => tracing::debug!(node = %self.node, ?why, "no lease for now"),
        }
    }

    /// Advances this peer's own view of its lease, and lets its actors run that long.
    pub(super) fn step_lease(&self, input: PeerInput) {
        if let Some(until) = lock(&self.lease).step(input) {
            self.gate.extend(until);
        }
    }

    /// The leader's answer to a heartbeat.
    pub(super) fn on_heartbeat(self: &Shared, heartbeat: Heartbeat) -> HeartbeatAnswer {
        let Heartbeat { node, incarnation, raft_id, seq, applied, ack, .. } = heartbeat;
        let now = self.now();
        let mut granter = lock(&self.granter);
        let Some(granter) = granter.as_mut() else {
            return HeartbeatAnswer { lease: Err(Refusal::NotLeader), probe: None };
        };
        if let Some((term, n)) = ack {
            granter.step(Input::ProbeAck { from: raft_id, term, n }, now);
        }
        #[cfg(feature = "canary")]
        if made(Mistake::AgeOfConsensusTrusted) {
            granter.trust(self.consensus().and_then(|consensus| consensus.last_quorum_acked()), now);
        }
        let effects = granter.step(Input::Heartbeat { node, incarnation, seq, applied }, now);
        let lease = effects.into_iter().find_map(|effect| match effect {
            Effect::Grant { grant, .. } => Some(Ok(grant)),
            Effect::Refuse { reason, .. } => Some(Err(reason)),
            _ => None,
        });
        HeartbeatAnswer { lease: lease.unwrap_or(Err(Refusal::NotReady)), probe: *lock(&self.own_probe) }
    }

    /// A voter's answer to an urgent probe.
    pub(super) fn on_probe(&self, probe: Probe) -> bool {
        self.consensus().is_some_and(|consensus| consensus.follows(probe.term, probe.leader))
    }

    /// Whether a message about a node comes from its newest process, as far as is known here.
    pub(super) fn newer_than(&self, node: &NodeId, incarnation: Incarnation) -> Option<Incarnation> {
        self.state(|s| s.members.get(node).map(|m| m.incarnation))
            .flatten()
            .filter(|newest| *newest > incarnation)
    }

    /// Whether a member was marked down and nobody replaced it: it may be marked up again.
    pub(super) fn is_down(&self, node: &NodeId, incarnation: Incarnation) -> bool {
        self.state(|s| {
            s.members.get(node).is_some_and(|m| m.incarnation == incarnation && m.standing == Status::Down)
        })
        .unwrap_or(false)
    }
}
