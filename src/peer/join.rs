//! Admission: how a process asks for its node id, and how contacts and the leader answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::shared::{Shared, lock, millis};
use crate::canary::{Mistake, made};
use crate::core::command::{Admission as Place, Admit, Command, Response};
use crate::core::lease::{Admission, Flight, Input};
use crate::core::state::{Member, State, Status};
use crate::id::{ClusterId, Incarnation, RaftId};
use crate::limits::{JOIN_DEADLINE, MAX_LABELS};
use crate::raft::{Consensus, ProposeError};
use crate::transport::{Dest, Lane};
use crate::wire::{Answer, Join, JoinAnswer, Request};

/// What a round of asking came to.
pub(super) enum Round {
    Admitted(Place, ClusterId),
    /// Somebody decides, but not yet: ask again after this.
    Later(Duration),
    /// Everybody that answered knows of no leader. `all` tells whether every contact answered, and
    /// `founded` whether any of them belongs to a cluster.
    Nobody {
        all: bool,
        founded: bool,
    },
    /// Asking again cannot help.
    Refused(String),
}

impl Shared {
    fn join_request(&self, disk: Option<&Disk>) -> Join {
        Join {
            node: self.node.clone(),
            addr: self.transport().map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |t| t.advertised_addr()),
            disk: disk.map(Disk::claim),
            nonce: self.nonce,
            kinds: self.own_kinds(),
            labels: self.labels.clone(),
            forwarded: false,
        }
    }

    /// Asks this peer itself (it may lead), then whoever is known, until one decides.
    pub(super) async fn ask_to_join(self: &Arc<Self>, disk: Option<&Disk>) -> Round {
        let join = self.join_request(disk);
        let mut founded = disk.is_some_and(|d| d.incarnation.0 > 0);
        let own = self.on_join(join.clone()).await;
        if let Some(round) = self.judge(own, &mut founded) {
            return round;
        }
        let mut all = true;
        for dest in self.whom_to_ask() {
            let request = Request::Join(join.clone());
            match self.ask(&dest, &request, Lane::Control, JOIN_DEADLINE).await {
                Ok(Answer::Join(answer)) => {
                    if let Some(round) = self.judge(answer, &mut founded) {
                        return round;
                    }
                }
                Ok(_) => all = false,
                Err(e) => {
                    tracing::debug!(node = %self.node, addr = %dest.addr, %e, "a contact does not answer");
                    all = false;
                }
            }
        }
        Round::Nobody { all, founded }
    }

    pub(super) fn whom_to_ask(&self) -> Vec<Dest> {
        let own = self.transport().map(|t| t.advertised_addr());
        let mut addrs = self.contacts.clone();
        addrs.extend(
            self.state(|s| s.members.values().map(|m| m.addr).collect::<Vec<_>>()).unwrap_or_default(),
        );
        addrs.extend(lock(&self.learned).values().map(|(_, addr)| *addr));
        let mut seen = std::collections::BTreeSet::new();
        addrs.retain(|addr| Some(*addr) != own && seen.insert(*addr));
        addrs.into_iter().map(|addr| Dest { node_id: None, addr, incarnation: None }).collect()
    }

    fn judge(&self, answer: JoinAnswer, founded: &mut bool) -> Option<Round> {
        match answer {
            JoinAnswer::Admitted { admission, cluster_id, history } => {
                lock(&self.history).begin(admission.incarnation.0, &history, self.now());
                Some(Round::Admitted(admission, cluster_id))
            }
            JoinAnswer::InUse { addr, incarnation, retry_after_ms, .. } => {
                self.note_in_use(addr, incarnation, retry_after_ms);
                Some(Round::Later(Duration::from_millis(retry_after_ms)))
            }
            JoinAnswer::Wait { retry_after_ms } => Some(Round::Later(Duration::from_millis(retry_after_ms))),
            JoinAnswer::NoLeader { founded: f, last_run } => {
                *founded |= f;
                self.is_outdated(last_run.as_ref());
                None
            }
            JoinAnswer::Refused(why) => Some(Round::Refused(why)),
        }
    }

    /// Answers another process's wish to join, or this one's own.
    pub(super) async fn on_join(self: &Arc<Self>, join: Join) -> JoinAnswer {
        let last_run = join.disk.as_ref().and_then(|disk| self.last_run_on(disk));
        let no_leader = || JoinAnswer::NoLeader { founded: self.is_founded(), last_run };
        let Some(consensus) = self.consensus() else { return no_leader() };
        let view = consensus.view();
        if view.leads() {
            let mut answer = self.admit(join).await.unwrap_or_else(no_leader);
            if let JoinAnswer::Admitted { history, .. } = &mut answer {
                *history = lock(&self.history).tell(self.now());
            }
            return answer;
        }
        let (Some(leader), false) = (view.leader, join.forwarded) else { return no_leader() };
        if join.node == self.node {
            return no_leader(); // the asker is this process: it asks the leader by itself
        }
        let request = Request::Join(Join { forwarded: true, ..join });
        match self.ask_disk(leader, request, JOIN_DEADLINE / 2).await {
            // Where the leader was there may be a new process now, the asker itself even, that knows nothing.
            Ok(Answer::Join(JoinAnswer::NoLeader { founded: false, .. })) => no_leader(),
            Ok(Answer::Join(answer)) => answer,
            _ => no_leader(),
        }
    }

    /// Whether this peer knows of a cluster: its disk belongs to one long before it is a member again. If the
    /// disk cannot tell, it says yes: a second founding would be worse than none.
    fn is_founded(&self) -> bool {
        self.admission().is_some() || Disk::read(self.store.as_ref()).map_or(true, |disk| disk.is_some())
    }

    /// The leader's decision. None if it turns out that this peer does not lead.
    async fn admit(self: &Arc<Self>, join: Join) -> Option<JoinAnswer> {
        if join.labels.len() > MAX_LABELS {
            return Some(JoinAnswer::Refused(format!("more than {MAX_LABELS} labels")));
        }
        // Only a leader that a quorum follows *after* the question may answer it.
        self.confirm_leadership(JOIN_DEADLINE / 4).await.ok()?;
        let consensus = self.consensus()?;
        let (first, known) = consensus.applied().read(|s| {
            // A new leader knows from the log how long it was already silent when it was marked down.
            let down_ms = |m: &Member| if m.standing == Status::Down { m.silent_ms } else { 0 };
            (first_answer(s, &join), s.members.get(&join.node).map(down_ms))
        });
        if first.is_some() {
            return first;
        }
        let now = self.now();
        let (admission, heard, silent) = {
            let mut granter = lock(&self.granter);
            let granter = granter.as_mut()?;
            (granter.admit(&join.node, now), granter.heard(&join.node), granter.silent(&join.node, now))
        };
        let silent_ms = known.map_or(0, |down_ms| down_ms.max(millis(silent)));
        match admission {
            Admission::Free { term } => self.propose_admission(join, term, silent_ms).await,
            Admission::Wait { retry_after, .. } => {
                let member = consensus.applied().read(|s| s.members.get(&join.node).cloned());
                let retry_after_ms = millis(retry_after).saturating_add(1);
                Some(match member {
                    Some(m) => JoinAnswer::InUse {
                        addr: m.addr,
                        incarnation: m.incarnation,
                        last_heard_ms: heard.map(|_| silent_ms),
                        retry_after_ms,
                    },
                    None => JoinAnswer::Wait { retry_after_ms },
                })
            }
            Admission::NotReady { retry_after } => {
                Some(JoinAnswer::Wait { retry_after_ms: millis(retry_after).saturating_add(1) })
            }
        }
    }

    async fn propose_admission(
        self: &Arc<Self>,
        join: Join,
        term: u64,
        silent_ms: u64,
    ) -> Option<JoinAnswer> {
        let consensus = self.consensus()?;
        let node = join.node.clone();
        let (replaces, raft_id) =
            consensus.applied().read(|s| (s.members.get(&node).map(|m| m.incarnation), kept_disk(s, &join)));
        let admit = Admit {
            node: node.clone(),
            addr: join.addr,
            raft_id,
            nonce: join.nonce,
            kinds: join.kinds,
            labels: join.labels,
            replaces,
            term,
            silent_ms,
        };
        if made(Mistake::AdmittedBeforeCommit) {
            return self.admit_early(&consensus, admit);
        }
        let outcome = consensus.propose(Command::Admit(admit)).await;
        let at = match &outcome {
            Ok((index, _)) => Some(*index),
            Err(ProposeError::NotLeader | ProposeError::TooLong) => None,
            // It may be in the log yet: the flight lasts as long as this reign.
            Err(_) => return None,
        };
        let end = Input::End { node, what: Flight::Admit, term, at };
        if let Some(granter) = lock(&self.granter).as_mut() {
            granter.step(end, self.now());
        }
        let cluster_id = consensus.applied().read(|s| s.cluster.as_ref().map(|(id, _)| *id))?;
        match outcome.ok()?.1 {
            Response::Admitted(admission) => {
                Some(JoinAnswer::Admitted { admission, cluster_id, history: vec![] })
            }
            Response::Refused(why) => {
                tracing::info!(node = %join.node, %why, "an admission came to nothing; it will be asked for again");
                Some(JoinAnswer::Wait { retry_after_ms: millis(self.timing.heartbeat) })
            }
            _ => None,
        }
    }
}

impl Shared {
    /// Answers with what the log will say, most likely.
    fn admit_early(self: &Arc<Self>, consensus: &Consensus, admit: Admit) -> Option<JoinAnswer> {
        let index = consensus.view().last_log? + 1;
        let cluster_id = consensus.applied().read(|s| s.cluster.as_ref().map(|(id, _)| *id))?;
        let raft_id = admit.raft_id.unwrap_or(RaftId(index));
        let consensus = consensus.clone();
        self.spawn(async move { drop(consensus.propose(Command::Admit(admit)).await) });
        let admission = Place { incarnation: Incarnation(index), raft_id };
        Some(JoinAnswer::Admitted { admission, cluster_id, history: vec![] })
    }
}

/// The answer that this very process got before, if it was admitted.
fn first_answer(state: &State, join: &Join) -> Option<JoinAnswer> {
    let (cluster_id, _) = state.cluster.as_ref()?;
    let member = state.members.get(&join.node).filter(|m| m.nonce == join.nonce)?;
    let admission = Place { incarnation: member.incarnation, raft_id: member.raft_id };
    Some(JoinAnswer::Admitted { admission, cluster_id: *cluster_id, history: vec![] })
}

/// The disk counts as the node's own only if the newest process of the node ran on it: it names that
/// one's incarnation, or the nonce under which that one had asked (it died before it could write more).
/// Anything else is a restored copy, a retired machine or another cluster's disk, on which the same
/// numbers name other things: it may lack acknowledged entries.
fn kept_disk(state: &State, join: &Join) -> Option<RaftId> {
    let disk = join.disk.as_ref()?;
    state.cluster.as_ref().filter(|(ours, _)| *ours == disk.cluster_id)?;
    let Some(member) = state.members.get(&join.node) else {
        // The founder, before its own admission.
        return (state.members.is_empty() && disk.raft_id == RaftId(0)).then_some(disk.raft_id);
    };
    (member.raft_id == disk.raft_id && disk.knows(&member.last_run())).then_some(disk.raft_id)
}
