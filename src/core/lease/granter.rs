//! The leader's view of all leases: whom to grant, who certainly holds none any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::flight::Flights;
use super::words::{Admission, Effect, Heard, Input, MemberView, Refusal, Status};
use super::{Flight, Grant, granter_wait};
use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::core::probe::{Probes, Voters, is_lone};
use crate::id::{Incarnation, NodeId, RaftId};
use crate::limits::{ADMISSION_RETRY, MAX_LEASE, MAX_MEMBERS};

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// When it came up before this leader's eyes.
    up_since: Option<Mono>,
    heard: Option<Heard>,
    /// No grant of this leader is valid from here on.
    granted_until: Option<Mono>,
}

/// What is known in one reign and dies with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reign {
    term: u64,
    since: Mono,
    /// Every lease that another leader, or this one in an earlier reign, granted is over from here on.
    settled: Mono,
    /// Since when this leader could grant without a pause.
    granting_since: Mono,
    seen: BTreeMap<NodeId, Seen>,
    flights: Flights,
}

/// The leader's side of all leases. It exists on every peer and idles where there is no leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Granter {
    own: RaftId,
    lease: Duration,
    started: Option<Mono>,
    voters: Voters,
    members: BTreeMap<NodeId, MemberView>,
    members_at: u64,
    /// The newest term of which an entry was applied, and the first index of it.
    newest_term: Option<(u64, u64)>,
    probes: Probes,
    reign: Option<Reign>,
    /// The newest term whose reign is over. It never resumes: what was in flight in it is forgotten.
    over: Option<u64>,
}

impl Granter {
    /// `lease` is the same on all peers of a cluster; at most [`MAX_LEASE`], or it is cut to that.
    pub fn new(own: RaftId, lease: Duration) -> Self {
        Self {
            own,
            lease: lease.min(MAX_LEASE),
            started: None,
            voters: Voters::new(),
            members: BTreeMap::new(),
            members_at: 0,
            newest_term: None,
            probes: Probes::default(),
            reign: None,
            over: None,
        }
    }

    /// Takes one input. `now` is this peer's clock, read after the input arrived.
    pub fn step(&mut self, input: Input, now: Mono) -> Vec<Effect> {
        match input {
            Input::RaftStarted => self.raft_started(now),
            Input::BecameLeader { term } => self.became_leader(term, now),
            Input::LostLeadership => self.lost_leadership(),
            Input::AppliedTerm { term, index } => self.applied_term(term, index),
            Input::Voters(voters) => self.voters = voters,
            Input::ProbeStart => return self.probe(now).into_iter().collect(),
            Input::ProbeAck { from, term, n } => self.probe_ack(from, term, n, now),
            Input::Heartbeat { node, incarnation, seq, applied } => {
                return vec![match self.heartbeat(&node, incarnation, applied, now) {
                    Ok(grant) => Effect::Grant { node, incarnation, seq, grant },
                    Err(reason) => Effect::Refuse { node, incarnation, seq, reason },
                }];
            }
            Input::Begin { node, what, term } => self.begin(&node, what, term),
            Input::End { node, what, term, at } => self.end(&node, what, term, at),
            Input::MembersApplied { index, members } => self.members_applied(index, members, now),
            Input::Tick => return self.tick(now),
        }
        Vec::new()
    }

    fn raft_started(&mut self, now: Mono) {
        self.reign = None;
        self.started = Some(now);
        self.members.clear();
        self.members_at = 0;
        self.newest_term = None;
    }

    fn lost_leadership(&mut self) {
        if let Some(reign) = self.reign.take() {
            self.over = self.over.max(Some(reign.term));
        }
    }

    fn became_leader(&mut self, term: u64, now: Mono) {
        if self.over >= Some(term) || self.reign.as_ref().is_some_and(|reign| reign.term >= term) {
            return;
        }
        self.probes.start_term(term);
        let wait = if made(Mistake::NoWaitAfterElection) { Duration::ZERO } else { granter_wait(self.lease) };
        self.reign = Some(Reign {
            term,
            since: now,
            settled: self.started.map_or(now, |started| started.max(now)) + wait,
            granting_since: now,
            seen: BTreeMap::new(),
            flights: Flights::default(),
        });
    }

    /// It may be told before the reign is: the two come over different ways.
    fn applied_term(&mut self, term: u64, index: u64) {
        if self.newest_term.is_none_or(|(newest, _)| newest < term) {
            self.newest_term = Some((term, index));
        }
    }

    /// The reign, once the member table shows everything that earlier leaders decided.
    fn ready(&self) -> Option<&Reign> {
        let (term, index) = self.newest_term?;
        let shows = index <= self.members_at;
        self.reign.as_ref().filter(|reign| shows && reign.term == term)
    }

    fn probe(&mut self, now: Mono) -> Option<Effect> {
        let reign = self.reign.as_ref()?;
        let to: BTreeSet<RaftId> = self.voters.iter().flatten().copied().collect();
        let n = self.probes.start_round(now);
        Some(Effect::Probe { term: reign.term, n, to })
    }

    fn probe_ack(&mut self, from: RaftId, term: u64, n: u64, now: Mono) {
        let Some(reign) = &mut self.reign else { return };
        let base = self.probes.confirmed().unwrap_or(reign.since);
        if self.probes.ack(from, term, n, &self.voters) && now.since(base) >= self.lease {
            reign.granting_since = now;
        }
    }

    fn begin(&mut self, node: &NodeId, what: Flight, term: u64) {
        if !self.members.contains_key(node) {
            return;
        }
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.term == term) {
            reign.flights.begin(node, what);
        }
    }

    fn end(&mut self, node: &NodeId, what: Flight, term: u64, at: Option<u64>) {
        // The end of an older reign's proposal must not be taken for that of one of this reign.
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.term == term) {
            reign.flights.end(node, what, at);
            reign.flights.settle(self.members_at);
        }
    }

    fn members_applied(&mut self, index: u64, members: BTreeMap<NodeId, MemberView>, now: Mono) {
        if index < self.members_at {
            return;
        }
        if let Some(reign) = &mut self.reign {
            for (node, member) in &members {
                let before = self.members.get(node);
                if before == Some(member) {
                    continue;
                }
                let seen = reign.seen.entry(node.clone()).or_default();
                if before.is_some_and(|before| before.incarnation != member.incarnation) {
                    *seen = Seen::default();
                }
                seen.up_since = Some(now);
            }
            reign.seen.retain(|node, _| members.contains_key(node));
            reign.flights.settle(index);
        }
        self.members_at = index;
        self.members = members;
    }

    fn heartbeat(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        applied: u64,
        now: Mono,
    ) -> Result<Grant, Refusal> {
        let is_ready = self.ready().is_some();
        let reign = self.reign.as_mut().ok_or(Refusal::NotLeader)?;
        if !is_ready {
            return Err(Refusal::NotReady);
        }
        let member = self.members.get(node).ok_or(Refusal::Unknown)?;
        if incarnation < member.incarnation {
            return Err(Refusal::Retired { by: member.incarnation });
        }
        if incarnation > member.incarnation {
            return Err(Refusal::Unknown);
        }
        let seen = reign.seen.entry(node.clone()).or_default();
        let applied = seen.heard.map_or(applied, |heard| heard.applied.max(applied));
        seen.heard = Some(Heard { at: now, applied });
        match member.status {
            Status::Up => {}
            Status::Down => return Err(Refusal::Down),
            Status::Left => return Err(Refusal::Left),
        }
        if reign.flights.any(node) && !made(Mistake::GrantedDuringMarkDown) {
            return Err(Refusal::InFlight);
        }
        let age = self.probes.age(self.own, &self.voters, now).filter(|age| *age < self.lease);
        let stale = made(Mistake::StaleLeaderGrants).then_some(Duration::ZERO);
        let quorum_age = stale.or(age).ok_or(Refusal::NoQuorum)?;
        // No later than one lease after the probe: the holder subtracts the quorum age.
        let end = now - quorum_age + granter_wait(self.lease);
        seen.granted_until = seen.granted_until.max(Some(end));
        Ok(Grant { term: reign.term, quorum_age, lease: self.lease, applied: self.members_at })
    }

    fn tick(&mut self, now: Mono) -> Vec<Effect> {
        let (is_able, lease) = (self.ready().is_some() && self.has_quorum(now), self.lease);
        let Some(reign) = self.reign.as_mut().filter(|_| is_able) else { return Vec::new() };
        let mut effects = Vec::new();
        for (node, member) in &self.members {
            let due = member.status == Status::Up && now >= reign.certain_end(node, lease);
            if !due || reign.flights.any(node) {
                continue;
            }
            reign.flights.begin(node, Flight::MarkDown);
            let silent = reign.silent(node, now);
            let (node, incarnation, term) = (node.clone(), member.incarnation, reign.term);
            effects.push(Effect::Lapsed { node, incarnation, term, silent });
        }
        effects
    }

    fn has_quorum(&self, now: Mono) -> bool {
        self.probes.age(self.own, &self.voters, now).is_some_and(|age| age < self.lease)
    }

    /// Whether a process may be admitted under `node` now. [`Granter::admit`] decides it.
    pub fn admission(&self, node: &NodeId, now: Mono) -> Admission {
        let later = Admission::NotReady { retry_after: ADMISSION_RETRY };
        let Some(reign) = self.ready() else { return later };
        if !self.has_quorum(now) || reign.flights.len() >= MAX_MEMBERS {
            return later;
        }
        let last_heard = reign.heard(node).map(|heard| now.since(heard.at));
        if reign.flights.has(node, Flight::Admit) {
            return Admission::Wait { retry_after: ADMISSION_RETRY, last_heard };
        }
        let end = match self.members.get(node) {
            Some(_) if made(Mistake::NoWaitAfterElection) && last_heard.is_none() => now,
            Some(member) if member.status == Status::Up => reign.certain_end(node, self.lease),
            _ => return Admission::Free { term: reign.term },
        };
        let retry_after = end.since(now);
        if now >= end {
            Admission::Free { term: reign.term }
        } else if now < reign.settled && last_heard.is_none() {
            Admission::NotReady { retry_after }
        } else {
            Admission::Wait { retry_after, last_heard }
        }
    }

    /// Decides whether a process may be admitted under `node` now. If the answer is `Free`, an
    /// `Admit` is in flight from here on: propose it with that term, and report its [`Input::End`].
    pub fn admit(&mut self, node: &NodeId, now: Mono) -> Admission {
        let admission = self.admission(node, now);
        if let (Admission::Free { .. }, Some(reign)) = (admission, &mut self.reign) {
            reign.flights.begin(node, Flight::Admit);
        }
        admission
    }

    /// Goes by what consensus says of its quorum from here on, a mistake.
    #[cfg(feature = "canary")]
    pub fn trust(&mut self, ago: Option<Duration>, now: Mono) {
        self.probes.trust(ago.map(|ago| now - ago));
    }

    /// Whether a quorum certainly followed this leader at `asked` or later, on this peer's clock. It is
    /// what a linearizable read waits for, after [`Input::AppliedTerm`], and what a restarting voter asks.
    pub fn confirmed_since(&self, asked: Mono) -> bool {
        let lone = is_lone(self.own, &self.voters);
        self.reign.is_some() && (lone || self.probes.confirmed().is_some_and(|sent| sent >= asked))
    }

    /// What this leader last heard from the current incarnation of `node` in this reign.
    pub fn heard(&self, node: &NodeId) -> Option<Heard> {
        self.reign.as_ref().and_then(|reign| reign.heard(node))
    }

    /// Whether anything that ends a right to a lease is in flight.
    #[cfg(feature = "testing")]
    pub fn decides(&self) -> bool {
        self.reign.as_ref().is_some_and(|reign| reign.flights.len() > 0)
    }

    /// For how long at least the current incarnation of `node` has been silent: of what was before its own reign this
    /// leader knows nothing.
    pub fn silent(&self, node: &NodeId, now: Mono) -> Duration {
        self.reign.as_ref().map_or(Duration::ZERO, |reign| reign.silent(node, now))
    }
}

impl Reign {
    fn heard(&self, node: &NodeId) -> Option<Heard> {
        self.seen.get(node).and_then(|seen| seen.heard)
    }

    fn silent(&self, node: &NodeId, now: Mono) -> Duration {
        now.since(self.heard(node).map_or(self.since, |heard| heard.at))
    }

    /// From here on the current incarnation of `node` certainly holds no lease, and has had its
    /// chance to ask for one. The first two lines of the maximum are safety; the rest keeps a leader
    /// that was itself away, or a peer that only just came, from being taken for a death.
    fn certain_end(&self, node: &NodeId, lease: Duration) -> Mono {
        let seen = self.seen.get(node);
        let granted = seen.and_then(|seen| seen.granted_until).unwrap_or_default();
        let safe = self.settled.max(granted);
        let came = seen.and_then(|seen| seen.up_since).map_or(self.since, |up| up + granter_wait(lease));
        let heard = self.heard(node).map_or(self.since, |heard| heard.at + lease / 2);
        safe.max(self.granting_since + lease).max(came).max(heard)
    }
}
