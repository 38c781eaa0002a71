//! What a user can see of a peer and, through it, of the cluster.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

use super::Peer;
use super::shared::Phase;
use crate::clock::moment;
use crate::core::lines::Line;
use crate::core::state::Status as Standing;
use crate::id::{ActorId, Epoch, Incarnation, NodeId, RaftId};
use crate::limits::{CONDITION_POLL, CONDITION_REST, MAX_HELD_CALLS};

/// Where a process is on its way through the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseStatus {
    /// Looking for a leader that lets it in.
    Joining,
    /// In.
    Member,
    /// A newer process has its node id. Shut this one down.
    Retired,
    /// Shut down.
    Stopped,
    /// Cannot go on; the text says what an operator should do.
    Failed(String),
}

/// A snapshot of what one peer knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This peer's node id.
    pub node: NodeId,
    /// Where others find it: the address that it advertises, or else the one that it listens on.
    pub addr: Option<SocketAddr>,
    /// Where this process is on its way.
    pub phase: PhaseStatus,
    /// Its place, once admitted.
    pub incarnation: Option<Incarnation>,
    /// Its disk, once admitted.
    pub raft_id: Option<RaftId>,
    /// Whether its actors run.
    pub holds_lease: bool,
    /// Who leads, as far as this peer knows.
    pub leader: Option<NodeId>,
    /// Whether this peer believes to lead.
    pub leads: bool,
    /// The Raft term.
    pub term: u64,
    /// The last log index applied here.
    pub applied: u64,
    /// All members.
    pub members: BTreeMap<NodeId, MemberStatus>,
    /// Whether a change of voters is under way.
    pub joint: bool,
    /// Actors in the directory.
    pub actors: usize,
    /// Those that run here.
    pub actors_here: usize,
    /// Those of which no copy is left.
    pub actors_lost: usize,
    /// Those that have a home whose process runs them now.
    pub actors_hosted: usize,
    /// Checkpoints with fewer copies on other living peers than they should have.
    pub short_of_copies: usize,
    /// Calls of this peer that wait for an actor that is away, or for others under way to a busy one.
    pub calls_held: usize,
}

/// One member, as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its newest process.
    pub incarnation: Incarnation,
    /// That one's disk.
    pub raft_id: RaftId,
    /// Where it accepts connections.
    pub addr: SocketAddr,
    /// Up, down or left.
    pub standing: Standing,
    /// Whether it votes.
    pub votes: bool,
    /// Actors that live there.
    pub actors: usize,
}

/// One actor's line in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorStatus {
    /// Its name.
    pub id: ActorId,
    /// Where it belongs.
    pub home: NodeId,
    /// Who runs it now.
    pub host: Option<Incarnation>,
    /// Under which activation.
    pub epoch: Epoch,
    /// The epoch and number of its newest committed checkpoint.
    pub checkpoint: Option<(Epoch, u64)>,
    /// The disks that hold it.
    pub holders: Vec<RaftId>,
    /// Whether none is left.
    pub lost: bool,
}

/// A condition that did not come true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Not within the deadline. Nothing else is wrong.
    #[error("not within the deadline; the last status was {0:?}")]
    Deadline(Box<Status>),
    /// A newer process has this node id.
    #[error("this peer was retired by a newer process of its node id")]
    Retired,
    /// This peer cannot go on.
    #[error("this peer cannot go on: {0}")]
    Failed(String),
    /// This peer is no member.
    #[error("this peer is not a member")]
    NotMember,
    /// The log did not decide in time.
    #[error("{0}")]
    Undecided(String),
}

impl Peer {
    /// What this peer knows now. Costs a walk over the directory.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let consensus = shared.consensus();
        let view = consensus.as_ref().map(|c| c.view());
        let place = shared.admission();
        let mut status = Status {
            node: shared.node.clone(),
            addr: shared.transport().map(|t| t.advertised_addr()),
            phase: match shared.phase.borrow().clone() {
                Phase::Joining => PhaseStatus::Joining,
                Phase::Member => PhaseStatus::Member,
                Phase::Retired { .. } => PhaseStatus::Retired,
                Phase::Stopped => PhaseStatus::Stopped,
                Phase::Failed(why) => PhaseStatus::Failed(why),
            },
            incarnation: place.map(|p| p.incarnation),
            raft_id: place.map(|p| p.raft_id),
            holds_lease: shared.gate.is_open(),
            leader: None,
            leads: view.as_ref().is_some_and(|v| v.leads()),
            term: view.as_ref().map_or(0, |v| v.term),
            applied: consensus.as_ref().map_or(0, |c| c.applied().read_at(|_, index, _| index)),
            members: BTreeMap::new(),
            joint: view.as_ref().is_some_and(|v| v.configuration.voters.len() > 1),
            actors: 0,
            actors_here: shared.host().map_or(0, |host| host.count()),
            actors_lost: 0,
            actors_hosted: 0,
            short_of_copies: 0,
            calls_held: MAX_HELD_CALLS.saturating_sub(shared.held.available_permits()),
        };
        if let (Some(consensus), Some(view)) = (consensus, view) {
            consensus.applied().read(|s| fill(&mut status, s, &view));
        }
        status
    }

    /// The directory as applied here, in order of the names.
    pub fn actors(&self) -> Vec<ActorStatus> {
        let line = |line: Line<'_>| {
            let a = line.actor();
            ActorStatus {
                id: line.id(),
                home: a.home,
                host: a.host,
                epoch: a.epoch,
                checkpoint: a.checkpoint.as_ref().map(|(epoch, c)| (*epoch, c.seq)),
                holders: a.checkpoint.into_iter().flat_map(|(_, c)| c.holders).collect(),
                lost: a.lost,
            }
        };
        let mut all: Vec<_> = self.shared.state(|s| s.actors.iter().map(line).collect()).unwrap_or_default();
        all.sort_unstable_by(|a: &ActorStatus, b| a.id.cmp(&b.id));
        all
    }

    /// Waits until a condition on this peer's [`Status`] holds. Looks every 10 ms; where a look takes long, because the
    /// directory is large, seldom enough that looks take a sixth of one thread at most.
    ///
    /// # Errors
    /// [`WaitError`] if it does not within `deadline`, or this peer cannot go on.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&Status) -> bool,
        deadline: Duration,
    ) -> Result<(), WaitError> {
        let end = moment(deadline);
        loop {
            let looked_at = Instant::now();
            let status = self.status();
            if condition(&status) {
                return Ok(());
            }
            match &status.phase {
                PhaseStatus::Retired => return Err(WaitError::Retired),
                PhaseStatus::Failed(why) => return Err(WaitError::Failed(why.clone())),
                _ if Instant::now() >= end => return Err(WaitError::Deadline(Box::new(status))),
                _ => {}
            }
            let rest = looked_at.elapsed().saturating_mul(CONDITION_REST);
            tokio::time::sleep_until(end.min(Instant::now() + rest.max(CONDITION_POLL))).await;
        }
    }
}

fn fill(status: &mut Status, state: &crate::core::state::State, view: &crate::raft::View) {
    status.leader = view.leader.and_then(|id| state.disk(id)).map(|(node, _)| node.clone());
    status.members = state
        .members
        .iter()
        .map(|(node, m)| {
            let member = MemberStatus {
                incarnation: m.incarnation,
                raft_id: m.raft_id,
                addr: m.addr,
                standing: m.standing,
                votes: view.configuration.votes(m.raft_id),
                actors: 0,
            };
            (node.clone(), member)
        })
        .collect();
    let hosts: BTreeMap<Incarnation, RaftId> =
        state.living().map(|(_, m)| (m.incarnation, m.raft_id)).collect();
    let disks: std::collections::BTreeSet<RaftId> = hosts.values().copied().collect();
    status.actors = state.actors.len();
    for actor in state.actors.iter() {
        if let Some(home) = status.members.get_mut(actor.home) {
            home.actors += 1;
        }
        let own = actor.host.and_then(|host| hosts.get(&host));
        status.actors_hosted += usize::from(own.is_some());
        status.actors_lost += usize::from(actor.lost());
        if !actor.is_unborn() {
            let (copies, mut holders) = actor.copies();
            let others = holders.by_ref().filter(|disk| disks.contains(disk) && Some(disk) != own).count();
            let wanted = usize::from(copies).min(disks.len().saturating_sub(usize::from(own.is_some())));
            status.short_of_copies += usize::from(others < wanted);
        }
    }
}
