//! A leader's slow duties, one step of each at a time: the voters, the copies, a hung disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shared::{Shared, lock, millis};
use crate::checkpoint::Search;
use crate::clock::Mono;
use crate::core::command::Command;
use crate::core::state::{Session, State, Status};
use crate::core::voters::{self, Config, Health, Situation, Step};
use crate::id::{NodeId, RaftId};
use crate::limits::{DOWN_LONG, HUNG_COMMIT, MAX_BATCH_ITEMS, SESSION_EXPIRY, TAKE_OVER_LOOK};
use crate::raft::{Consensus, View};

/// What one leader remembers between two looks.
#[derive(Default)]
pub(super) struct Duties {
    term: u64,
    stepping: Arc<AtomicBool>,
    repairing: Arc<AtomicBool>,
    down_since: BTreeMap<NodeId, Mono>,
    /// When to look again whether others may run a node's actors.
    next_look: BTreeMap<NodeId, Mono>,
    taking_over: Arc<AtomicBool>,
    /// Whose disk an id was: the member table forgets retired ones.
    owners: BTreeMap<RaftId, NodeId>,
    stuck_since: Option<(u64, Mono)>,
    /// Sessions whose process is gone, since this leader noticed.
    orphans: BTreeMap<u64, Mono>,
    /// Up to which entry no actor is short of copies.
    repaired: Arc<AtomicU64>,
    search: Arc<Mutex<Search>>,
}

impl Duties {
    /// Looks what is due, and starts it.
    pub(super) fn due(&mut self, shared: &Arc<Shared>, consensus: &Consensus, view: &View) {
        if self.term != view.term {
            *self = Self { term: view.term, owners: std::mem::take(&mut self.owners), ..Self::default() };
        }
        self.voters(shared, consensus, view);
        self.copies(shared, consensus);
        self.stand_ins(shared, consensus, view);
        self.hung(shared, consensus, view);
        self.sessions(shared, consensus);
    }

    fn voters(&mut self, shared: &Arc<Shared>, consensus: &Consensus, view: &View) {
        let now = shared.now();
        let (members, max_voters) = consensus.applied().read(|s| {
            (self.members(s, now), s.cluster.as_ref().map_or(usize::MAX, |(_, settings)| settings.max_voters))
        });
        let config = Config {
            voters: view.configuration.voters.clone(),
            learners: view.configuration.learners.clone(),
            owners: self.owners.clone(),
        };
        self.owners.retain(|id, _| view.configuration.has(*id) || members.values().any(|m| m.raft_id == *id));
        let committed = view.committed.unwrap_or(0);
        let caught_up: BTreeSet<RaftId> = view
            .matched
            .iter()
            .filter(|(id, matched)| config.learners.contains(id) && **matched >= committed.saturating_sub(16))
            .map(|(id, _)| *id)
            .collect();
        let situation = Situation {
            members: &members,
            config: &config,
            caught_up: &caught_up,
            leader: view.me,
            max_voters,
        };
        let step = voters::desired(situation);
        if step == Step::Nothing || self.stepping.swap(true, Ordering::SeqCst) {
            return;
        }
        let (consensus, stepping, seen) =
            (consensus.clone(), self.stepping.clone(), view.configuration.clone());
        shared.spawn(async move {
            tracing::info!(?step, "changing the voters");
            let done = match &step {
                Step::FinishJoint => consensus.finish_joint(&seen).await,
                Step::AddLearner(id) => consensus.add_learner(*id).await,
                Step::Swap { add, remove } => consensus.swap_voters(add, remove, &seen).await,
                Step::HandOver(to) => {
                    consensus.hand_over(*to).await;
                    Ok(())
                }
                Step::RemoveLearner(id) => consensus.remove_learner(*id, &seen).await,
                Step::Nothing => Ok(()),
            };
            if let Err(e) = done {
                tracing::debug!(%e, "will be tried again");
            }
            stepping.store(false, Ordering::SeqCst);
        });
    }

    fn members(&mut self, state: &State, now: Mono) -> BTreeMap<NodeId, voters::Member> {
        let is_away = |node: &NodeId| state.members.get(node).is_some_and(|m| m.standing != Status::Up);
        self.down_since.retain(|node, _| is_away(node));
        self.next_look.retain(|node, _| is_away(node));
        let mut members = BTreeMap::new();
        for (node, m) in &state.members {
            self.owners.insert(m.raft_id, node.clone());
            let health = match m.standing {
                Status::Up => Health::Up,
                away => {
                    let since = *self.down_since.entry(node.clone()).or_insert(now);
                    match away {
                        Status::Left => continue,
                        _ if now.since(since) >= DOWN_LONG => Health::DownLong,
                        _ => Health::Down,
                    }
                }
            };
            let zone = m.zone().unwrap_or_default().to_owned();
            members.insert(node.clone(), voters::Member { raft_id: m.raft_id, zone, health });
        }
        members
    }

    fn copies(&self, shared: &Arc<Shared>, consensus: &Consensus) {
        let applied = consensus.applied().read_at(|_, index, _| index);
        // Who lacks a copy is written in the log: nothing new there, nothing to look for.
        if self.repaired.load(Ordering::SeqCst) == applied || self.repairing.swap(true, Ordering::SeqCst) {
            return;
        }
        let (consensus, repairing) = (consensus.clone(), self.repairing.clone());
        let (repaired, by, search) = (self.repaired.clone(), shared.clone(), self.search.clone());
        shared.spawn(async move {
            let mut here = std::mem::take(&mut *lock(&search));
            if let Some(at) = by.repair_copies(&consensus, &mut here).await {
                repaired.store(at, Ordering::SeqCst);
            }
            *lock(&search) = here;
            repairing.store(false, Ordering::SeqCst);
        });
    }

    /// Lets others run the actors of nodes that have been away for long enough.
    fn stand_ins(&mut self, shared: &Arc<Shared>, consensus: &Consensus, view: &View) {
        let now = shared.now();
        for (node, since) in &self.down_since {
            if self.next_look.get(node).is_some_and(|at| now < *at) || self.taking_over.load(Ordering::SeqCst)
            {
                continue;
            }
            let look = consensus
                .applied()
                .read(|s| Some((s.members.get(node)?.incarnation, s.next_take_over(node)?)));
            let due = look.map(|(_, after)| *since + Duration::from_millis(after.into()));
            let next = due.filter(|at| *at > now).unwrap_or(now + TAKE_OVER_LOOK).min(now + TAKE_OVER_LOOK);
            self.next_look.insert(node.clone(), next);
            let Some((incarnation, _)) = look.filter(|_| due.is_some_and(|at| at <= now)) else { continue };
            self.taking_over.store(true, Ordering::SeqCst);
            let (consensus, taking_over) = (consensus.clone(), self.taking_over.clone());
            let away_ms = millis(now.since(*since));
            let command = Command::TakeOver { node: node.clone(), incarnation, term: view.term, away_ms };
            shared.spawn(async move {
                drop(consensus.propose(command).await);
                taking_over.store(false, Ordering::SeqCst);
            });
        }
    }

    /// Closes sessions whose process has been gone for too long.
    fn sessions(&mut self, shared: &Arc<Shared>, consensus: &Consensus) {
        let now = shared.now();
        let orphans: BTreeSet<u64> = consensus.applied().read(|s| {
            let lives =
                |session: &Session| s.member_of(session.by).is_some_and(|(_, m)| m.standing != Status::Left);
            s.sessions.iter().filter(|(_, session)| !lives(session)).map(|(number, _)| *number).collect()
        });
        self.orphans.retain(|number, _| orphans.contains(number));
        for number in orphans {
            self.orphans.entry(number).or_insert(now);
        }
        let is_over = |(_, since): &(&u64, &Mono)| now.since(**since) >= SESSION_EXPIRY;
        let sessions: Vec<u64> =
            self.orphans.iter().filter(is_over).map(|(number, _)| *number).take(MAX_BATCH_ITEMS).collect();
        if !sessions.is_empty() {
            self.orphans.retain(|number, _| !sessions.contains(number));
            let consensus = consensus.clone();
            shared.spawn(async move { drop(consensus.propose(Command::CloseSessions { sessions }).await) });
        }
    }

    /// A leader whose own disk hangs can hear everybody and commit nothing: somebody else should lead.
    fn hung(&mut self, shared: &Arc<Shared>, consensus: &Consensus, view: &View) {
        let (Some(last), committed) = (view.last_log, view.committed.unwrap_or(0)) else { return };
        let now = shared.now();
        // Who hears no majority cannot commit either, and has nobody to hand over to.
        if last <= committed || !shared.is_followed(now - shared.timing.heartbeat * 3) {
            self.stuck_since = None;
            return;
        }
        match self.stuck_since {
            Some((at, since)) if at == committed && now.since(since) >= HUNG_COMMIT => {
                self.stuck_since = None;
                let best = view
                    .matched
                    .iter()
                    .filter(|(id, _)| view.configuration.votes(**id))
                    .max_by_key(|(_, m)| **m);
                if let Some((to, _)) = best {
                    tracing::warn!(to = to.0, "nothing commits any more; handing leadership over");
                    let (consensus, to) = (consensus.clone(), *to);
                    shared.spawn(async move { consensus.hand_over(to).await });
                }
            }
            Some((at, _)) if at == committed => {}
            _ => self.stuck_since = Some((committed, now)),
        }
    }
}
