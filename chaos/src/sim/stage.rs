//! The run itself: start, faults in time, healing, and the last questions.

use standin::id::Incarnation;
use standin::testing::{Cluster, Prng, Process, World};
use standin::{Peer, PhaseStatus, Placement, Timing, WaitError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;
use tokio::time::Instant;

use super::Violation;
use crate::plan::{Back, Fault, Plan};
use crate::trace::Trace;
use crate::work::{Clients, Desk, History, Ledger, Register, Ticks, Work, entries, judge, probe, register};

/// What is to be done at some moment: the beginning of a fault, or the end of one.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Begin(Fault),
    Return(usize, Back),
    Thaw(usize),
    Hear(Vec<(usize, usize)>),
    /// An old machine, whose place was taken, is heard again.
    HearHost(std::net::IpAddr),
    CutOff(usize),
    Fair,
    FairLink(usize, usize),
    /// A disk that fails is noticed, and its machine restarted.
    Restart(usize),
}

/// A cluster, and what is wrong with it at the moment.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) world: World,
    pub(super) cluster: Cluster,
    pub(super) trace: Trace,
    pub(super) random: Prng,
    desk: Desk<(Peer, Process)>,
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    acts: BTreeMap<u64, Act>,
    number: u64,
    pub(super) running: Vec<bool>,
    /// Disks that fail, noticed or not.
    pub(super) sick: Vec<bool>,
    /// Disks that were lost since all was well.
    pub(super) wiped: Vec<bool>,
    /// Copies of disks, and the process that ran on each then.
    pub(super) backups: BTreeMap<usize, (std::path::PathBuf, Option<Incarnation>)>,
    pub(super) newest: usize,
    pub(super) struck: u64,
    pub(super) noisy: bool,
}

/// Plays a plan to its end.
pub(super) async fn play(
    plan: &Plan,
    trace: &Trace,
) -> (Option<Violation>, History, u64, standin::testing::Traffic) {
    let world = World::new(plan.seed);
    let timing = if plan.wide { Timing::wan() } else { Timing::lan() };
    let peers = plan.peers;
    let setup = move |peer: standin::Builder| register(peer.timing(timing.clone()));
    let cluster = match Cluster::simulated(world.clone(), peers, setup).await {
        Ok(cluster) => cluster,
        Err(e) => {
            let violation = Violation::new("a_cluster_starts", e);
            return (Some(violation), History::default(), 0, world.network().traffic());
        }
    };
    let mut stage = Stage {
        plan: plan.clone(),
        world,
        cluster,
        trace: trace.clone(),
        random: Prng::new(plan.seed.rotate_left(32)),
        desk: Desk::default(),
        agenda: BinaryHeap::new(),
        acts: BTreeMap::new(),
        number: 0,
        running: vec![true; peers],
        sick: vec![false; peers],
        wiped: vec![false; peers],
        backups: BTreeMap::new(),
        newest: 0,
        struck: 0,
        noisy: false,
    };
    let mut history = History::default();
    let violation = stage.scenes(&mut history).await.err();
    let traffic = stage.world.network().traffic();
    (violation, history, stage.struck, traffic)
}

impl Stage {
    async fn scenes(&mut self, history: &mut History) -> Result<(), Violation> {
        for at in 0..self.plan.peers {
            self.announce(at);
        }
        self.create_actors().await?;
        self.cluster.everything_lives_again().await?;
        self.trace.say(format_args!("{} peers are well", self.plan.peers));
        let clients = Clients::start(&self.work(), &self.desk, &Ticks::default());
        let faults = self.faults().await;
        let progress = match faults {
            Ok(()) => self.heal_a_majority().await,
            broken => broken,
        };
        self.heal_everybody().await;
        let ghosts = self.ghosts_know().await;
        // They may wait for peers that were frozen until now.
        *history = clients.finish().await;
        progress?;
        ghosts?;
        match self.cluster.check_invariants().await {
            Err(v) if self.noisy && v.invariant == "bad_input_reaches_no_handler" => {}
            other => other?,
        }
        self.last_questions(history).await
    }

    fn work(&self) -> Work {
        let Plan { seed, clients, pause_ms, actors, .. } = self.plan;
        Work { seed, clients, pause_ms, actors: 0..actors }
    }

    async fn create_actors(&mut self) -> Result<(), Violation> {
        for actor in 0..self.plan.actors {
            let home = |shift: u32| {
                let at = (actor + shift) as usize % self.plan.peers;
                Placement::On(self.cluster.node(at))
            };
            let peer = self.cluster.peer(0);
            let failed = |e| Violation::new("create", e);
            peer.create(format!("r{actor}"), Register::default(), home(0)).await.map_err(failed)?;
            peer.create(format!("l{actor}"), Ledger::default(), home(1)).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Lets clients find a peer, and the trace tell what it sees.
    pub(super) fn announce(&mut self, at: usize) {
        let (peer, process) = (self.cluster.peer(at).clone(), self.cluster.process(at));
        let (trace, mut events) = (self.trace.clone(), peer.events());
        let node = peer.node_id().clone();
        tokio::spawn(async move {
            while let Ok(event) = events.recv().await {
                trace.say(format_args!("  {node} {event:?}"));
            }
        });
        self.running[at] = true;
        self.desk.set(at, Some((peer, process)));
    }

    pub(super) fn conceal(&mut self, at: usize) {
        self.running[at] = false;
        self.sick[at] = false;
        self.desk.set(at, None);
    }

    /// Ends a peer's process.
    pub(super) fn kill(&mut self, at: usize) {
        self.conceal(at);
        self.cluster.kill(at);
    }

    pub(super) fn later(&mut self, wait_ms: u64, act: Act) {
        self.number += 1;
        self.agenda.push(Reverse((Instant::now() + Duration::from_millis(wait_ms), self.number)));
        self.acts.insert(self.number, act);
    }

    async fn faults(&mut self) -> Result<(), Violation> {
        for step in self.plan.steps.clone() {
            self.later(step.at_ms, Act::Begin(step.fault));
        }
        let end = Instant::now() + Duration::from_secs(self.plan.seconds);
        while let Some(Reverse((due, number))) = self.agenda.pop() {
            if due >= end {
                break;
            }
            tokio::time::sleep_until(due).await;
            if let Some(act) = self.acts.remove(&number) {
                self.act(act).await?;
            }
            self.cluster.nothing_was_violated()?;
        }
        tokio::time::sleep_until(end).await;
        Ok(())
    }

    /// How long a well majority may need to get going.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.plan.wide { 150 } else { 40 })
    }

    /// Mends the links, and the machines of a majority drawn by chance; these must get going without the others.
    async fn heal_a_majority(&mut self) -> Result<(), Violation> {
        self.agenda.clear();
        self.cluster.end_rightful_ghosts();
        let peers = self.plan.peers;
        let mut order: Vec<usize> = (0..peers).collect();
        for at in (1..peers).rev() {
            order.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        // Of the voters before the last disks were lost, there must be a majority too.
        let voters = self.voters();
        let intact = |at: &&usize| !self.wiped[**at] && voters.contains(at);
        let enough = |some: &[usize]| some.iter().filter(intact).count() > voters.len() / 2;
        let size = (peers / 2 + 1..=peers).find(|n| enough(&order[..*n])).unwrap_or(peers);
        let (mut healed, others) = (order[..size].to_vec(), order[size..].to_vec());
        healed.sort_unstable();
        self.trace.say(format_args!("healing {healed:?} only"));
        for at in others {
            if self.running[at] {
                self.kill(at);
            }
        }
        self.mend(&healed).await;
        let end = Instant::now() + self.patience();
        for actor in 0..self.plan.actors {
            let home = actor as usize % peers;
            if !healed.contains(&home) || self.wiped[home] {
                continue;
            }
            let from = healed[self.random.below(healed.len() as u64) as usize];
            let key = format!("r{actor}");
            loop {
                let answer = probe(self.cluster.peer(from), &key, Duration::from_secs(5)).await;
                match answer {
                    Ok(_) => break,
                    Err(e) if Instant::now() >= end => {
                        let what = format!("{key}, asked by peer-{}: {e}", from + 1);
                        return Err(Violation::new("a_healed_majority_goes_on", what));
                    }
                    Err(_) => {}
                }
            }
        }
        self.trace.say("the majority goes on");
        Ok(())
    }

    /// Who lost its name to another learns of it, and ends.
    async fn ghosts_know(&mut self) -> Result<(), Violation> {
        let patience = self.patience();
        let mut known = Ok(());
        for (peer, process) in self.cluster.ghosts() {
            process.thaw();
            let told = peer.wait_until(|s| s.phase == PhaseStatus::Retired, patience).await;
            match told {
                // It may have failed before, or is retired: the wait ends early, as an error.
                Ok(()) | Err(WaitError::Retired | WaitError::Failed(_)) => {}
                Err(e) => {
                    known = Err(Violation::new("a_retired_process_learns_of_it", format!("{peer:?}: {e}")))
                }
            }
        }
        self.cluster.end_ghosts();
        known
    }

    /// Who votes, as the running peer says that has applied most; everybody, if none runs.
    fn voters(&self) -> Vec<usize> {
        let newest = self.cluster.peers().map(standin::Peer::status).max_by_key(|status| status.applied);
        let votes = |at: &usize| {
            let member = newest.as_ref().and_then(|status| status.members.get(&self.cluster.node(*at)));
            newest.is_none() || member.is_some_and(|member| member.votes)
        };
        (0..self.plan.peers).filter(votes).collect()
    }

    async fn heal_everybody(&mut self) {
        let all: Vec<usize> = (0..self.plan.peers).collect();
        self.mend(&all).await;
    }

    /// Ends all faults of these peers, and those of the network.
    async fn mend(&mut self, some: &[usize]) {
        self.world.network().heal_all();
        for at in some.iter().copied() {
            if self.running[at] {
                self.cluster.process(at).thaw();
                self.cluster.clock(at).drift(0);
                if self.sick[at] || self.is_broken(at) {
                    self.kill(at);
                }
            }
            if !self.running[at] {
                self.bring_back(at, Back::Disk).await;
            }
        }
    }

    async fn last_questions(&mut self, history: &mut History) -> Result<(), Violation> {
        let mut ledgers = BTreeMap::new();
        for actor in 0..self.plan.actors {
            let asked = entries(self.cluster.peer(0), &format!("l{actor}"), self.patience()).await;
            let found =
                asked.map_err(|e| Violation::new("everything_lives_again", format!("l{actor}: {e}")))?;
            ledgers.insert(actor, found);
        }
        let calls = history.accesses.len() + history.orders.len();
        self.trace.say(format_args!("{calls} calls, {} faults", self.struck));
        judge(history, &ledgers).map_err(|(invariant, what)| Violation::new(invariant, what))
    }
}
