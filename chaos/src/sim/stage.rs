//! The run itself: start, faults in time, healing, and the last questions.

use standin::id::{ActorId, Incarnation};
use standin::testing::{Cluster, Prng, Process, World};
use standin::{Peer, PhaseStatus, Placement, Timing, WaitError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::moments::Ambush;
use super::notes::Notes;
use super::relapse::Relapse;
use super::{Violation, promises};
use crate::plan::{Back, Fault, Plan};
use crate::report::Happening;
use crate::trace::Trace;
use crate::work::ranks::{self, Job};
use crate::work::{Cast, Clients, Desk, History, Member, Ticks, Work, judge, probe, register};

/// From so many bytes on a checkpoint is cut, where the plan says so. Most of a run's are longer.
const SMALL_CHECKPOINT: usize = 48;

/// What is to be done at some moment: the beginning of a fault, or the end of one.
#[derive(Clone)]
pub(super) enum Act {
    Begin(Fault),
    Return(usize, Back),
    Thaw(usize),
    Hear(Vec<(usize, usize)>),
    /// An old machine, whose place was taken, is heard again.
    HearHost(std::net::IpAddr),
    CutOff(usize),
    /// A machine, in its place or not, is heard no more.
    CutHost(std::net::IpAddr),
    Fair,
    FairLink(usize, usize),
    /// A disk that fails is noticed, and its machine restarted.
    Restart(usize),
    /// A disk syncs nothing for so many milliseconds.
    Stall(usize, u64),
    /// A disk syncs again.
    Flow(usize),
    /// A machine that broke down over its disk is replaced.
    Look(usize),
    Watch(Ambush),
    Relapse(Relapse),
    /// A process of another release is restarted, if it is still that life of that peer.
    SameVersion(usize, u64),
    /// A leader and one peer say nothing more to the others.
    Silence(usize, usize, u64),
    /// Clients find peers again.
    Open,
    /// A handler of a part of a graph panics.
    Trip,
}

/// A copy of a disk, and the first process that was let in after having been started since. One that was let in later but
/// started before had asked already: the copy knows of that.
pub(super) struct Backup {
    pub(super) dir: std::path::PathBuf,
    pub(super) since: Option<Incarnation>,
}

/// Who ended at a chosen moment, as the how-manieth process of that peer, and for how many milliseconds.
pub(super) type Trapped = (usize, u64, u64);

/// Between two attempts at what failed at once.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Between two panics of a graph's parts.
const TRIP_MS: u64 = 7000;

/// A cluster, and what is wrong with it at the moment.
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) world: World,
    pub(super) cluster: Cluster,
    pub(super) trace: Trace,
    pub(super) notes: Notes,
    pub(super) random: Prng,
    pub(super) desk: Desk<(Peer, Process)>,
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    acts: BTreeMap<u64, Act>,
    number: u64,
    pub(super) running: Vec<bool>,
    /// Disks that fail, noticed or not.
    pub(super) sick: Vec<bool>,
    /// Who speaks another version of the protocol.
    pub(super) odd: Vec<bool>,
    /// Disks of which something cannot be read.
    pub(super) spoiled: Vec<bool>,
    /// How many processes each peer has been.
    pub(super) lives: Vec<u64>,
    pub(super) traps: mpsc::Sender<Trapped>,
    trapped: mpsc::Receiver<Trapped>,
    /// Registers of which a copy was spoiled.
    pub(super) rotten: BTreeSet<ActorId>,
    /// Disks that were lost since all was well.
    pub(super) wiped: Vec<bool>,
    /// Copies of disks, and the process that ran on each then.
    pub(super) backups: BTreeMap<usize, Backup>,
    /// Which process of each peer each peer knew of when it was last heard of, on the disk that it has now.
    pub(super) known: Vec<Vec<Option<Incarnation>>>,
    pub(super) newest: usize,
    pub(super) struck: u64,
    pub(super) noisy: bool,
}

/// Plays a plan to its end.
pub(super) async fn play(
    plan: &Plan,
    trace: &Trace,
) -> (Option<Violation>, History, u64, standin::testing::Traffic) {
    let world = World::new(plan.seed).with_sync(Duration::from_micros(plan.sync_us));
    let timing = if plan.wide { Timing::wan() } else { Timing::lan() };
    let peers = plan.peers;
    let (every, kept) = (plan.snapshot_every, plan.snapshot_every / 4);
    let is_chunked = plan.chunked;
    let setup = move |peer: standin::Builder| {
        let peer = peer.timing(timing.clone()).snapshots(every, kept);
        register(if is_chunked { peer.cut_from(SMALL_CHECKPOINT) } else { peer })
    };
    let cluster = match Cluster::simulated(world.clone(), peers, setup).await {
        Ok(cluster) => cluster,
        Err(e) => {
            let violation = Violation::new("a_cluster_starts", e);
            return (Some(violation), History::default(), 0, world.network().traffic());
        }
    };
    if plan.wild_clocks {
        cluster.expect_wild_clocks();
    }
    // One place for each peer is enough: each ends once.
    let (traps, trapped) = mpsc::channel(peers);
    let mut stage = Stage {
        plan: plan.clone(),
        world,
        cluster,
        trace: trace.clone(),
        notes: Notes::new(trace.clone()),
        random: Prng::new(plan.seed.rotate_left(32)),
        desk: Desk::default(),
        agenda: BinaryHeap::new(),
        acts: BTreeMap::new(),
        number: 0,
        running: vec![true; peers],
        sick: vec![false; peers],
        odd: vec![false; peers],
        spoiled: vec![false; peers],
        lives: vec![0; peers],
        traps,
        trapped,
        rotten: BTreeSet::new(),
        wiped: vec![false; peers],
        backups: BTreeMap::new(),
        known: vec![vec![None; peers]; peers],
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
        self.notes.phase(promises::FAULTS);
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
        self.supersede_rotten().await?;
        match self.cluster.check_invariants().await {
            Err(v) if self.noisy && v.invariant == "bad_input_reaches_no_handler" => {}
            other => other?,
        }
        self.last_questions(history).await
    }

    fn work(&self) -> Work {
        let Plan { seed, clients, pause_ms, actors, panics, .. } = self.plan;
        Work { seed, clients, pause_ms, actors: 0..actors, panics }
    }

    async fn create_actors(&mut self) -> Result<(), Violation> {
        let cast = self.cast();
        let peer = self.cluster.peer(0).clone();
        for member in cast.members() {
            // How far its home is from the first peer, as what that is noted; and by what is drawn who stands in.
            let (actor, at_home, draw) = match member {
                Member::Register(n) => (n, Some((0, "register")), 0),
                Member::Ledger(n) => (n, Some((1, "ledger")), 1),
                Member::Purse(n) => (n, Some((2, "purse")), 2),
                Member::Account(n) => (n, None, 3),
                Member::Part(_, n) => (n, Some((3, "part")), 4),
            };
            let home = at_home.map_or(Placement::Spread, |(shift, kind)| {
                let at = (actor + shift) as usize % self.plan.peers;
                self.notes.placed(format!("{kind}/{}", member.key()), at);
                Placement::On(self.cluster.node(at))
            });
            let made = member.create(&peer, home.down(self.plan.down(actor, draw))).await;
            made.map_err(|e| Violation::new("create", e))?;
        }
        cast.begin(&peer, self.patience()).await.map_err(|e| Violation::new("create", e))?;
        if cast.job.is_some() && self.plan.panics > 0 {
            self.later(TRIP_MS, Act::Trip);
        }
        Ok(())
    }

    fn cast(&self) -> Cast {
        Cast { actors: 0..self.plan.actors, job: self.job() }
    }

    /// The graph that is ranked all the while, if there is one.
    fn job(&self) -> Option<Job> {
        let Plan { seed, seconds, parts, .. } = self.plan;
        (parts > 0).then_some(Job { seed, first: 0, parts, steps: seconds * 2 })
    }

    /// Lets a handler of a part of the graph panic, and again after a while.
    pub(super) fn trip(&mut self) {
        let running: Vec<usize> = (0..self.plan.peers).filter(|at| self.running[*at]).collect();
        if let (Some(job), false) = (self.job(), running.is_empty()) {
            let at = *self.random.pick(&running);
            let part = self.random.below(self.plan.parts.into()) as u32;
            let (peer, process) = (self.cluster.peer(at).clone(), self.cluster.process(at));
            drop(process.spawn(async move { ranks::trip(&peer, job, part, RETRY * 20).await }));
        }
        self.later(TRIP_MS, Act::Trip);
    }

    /// Lets clients find a peer, and the trace tell what it sees.
    pub(super) fn announce(&mut self, at: usize) {
        let (peer, process) = (self.cluster.peer(at).clone(), self.cluster.process(at));
        let (trace, mut events) = (self.trace.clone(), peer.events());
        let node = peer.node_id().clone();
        let life = self.notes.started(at, &peer);
        tokio::spawn(async move {
            let ended = loop {
                match events.recv().await {
                    Ok(event) => {
                        trace.say(format_args!("  {node} {event:?}"));
                        trace.note(Happening::Told { peer: at, life, event });
                    }
                    Err(why) => break why,
                }
            };
            if ended == RecvError::Closed {
                trace.note(Happening::Ended { peer: at, life });
            }
        });
        self.running[at] = true;
        self.lives[at] += 1;
        self.desk.set(at, Some((peer, process)));
    }

    /// Clients find a peer where another has its place from now on, too: one that does not know may go on.
    pub(super) fn haunt(&mut self, at: usize) {
        let ghost = (self.cluster.peer(at).clone(), self.cluster.process(at));
        self.desk.set(self.plan.peers + at, Some(ghost));
    }

    pub(super) fn conceal(&mut self, at: usize) {
        if self.running[at] {
            self.known[at] = self.knows(at);
            let own = self.cluster.peer(at).status().incarnation;
            if let Some(backup) = self.backups.get_mut(&at) {
                backup.since = backup.since.or(own);
            }
        }
        self.running[at] = false;
        self.sick[at] = false;
        self.odd[at] = false;
        self.desk.set(at, None);
    }

    /// Ends a peer's process.
    pub(super) fn kill(&mut self, at: usize) {
        self.conceal(at);
        self.notes.ended(at);
        self.cluster.kill(at);
    }

    pub(super) fn later(&mut self, wait_ms: u64, act: Act) {
        self.number += 1;
        self.agenda.push(Reverse((Instant::now() + Duration::from_millis(wait_ms), self.number)));
        self.acts.insert(self.number, act);
        self.notes.planned(self.number);
    }

    async fn faults(&mut self) -> Result<(), Violation> {
        for step in self.plan.steps.clone() {
            self.later(step.at_ms, Act::Begin(step.fault));
        }
        let end = Instant::now() + Duration::from_secs(self.plan.seconds);
        loop {
            let due = self.agenda.peek().map_or(end, |Reverse((due, _))| end.min(*due));
            tokio::select! {
                biased;
                Some(who) = self.trapped.recv() => self.trapped(who),
                () = tokio::time::sleep_until(due) => {
                    if due >= end {
                        return self.cluster.nothing_was_violated().map_err(Violation::from);
                    }
                    let number = self.agenda.pop().map(|Reverse((_, number))| number).unwrap_or_default();
                    if let Some(act) = self.acts.remove(&number) {
                        self.notes.begins(number);
                        self.act(act).await;
                        self.notes.done(number);
                    }
                }
            }
            self.cluster.nothing_was_violated()?;
        }
    }

    /// How long a well majority may need to get going.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.plan.wide { 150 } else { 40 })
    }

    /// Mends the links, and the machines of a majority drawn by chance; these must get going without the others.
    async fn heal_a_majority(&mut self) -> Result<(), Violation> {
        self.agenda.clear();
        self.desk.close(false);
        self.cluster.end_rightful_ghosts();
        let peers = self.plan.peers;
        let mut order: Vec<usize> = (0..peers).collect();
        for at in (1..peers).rev() {
            order.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        // Of the disks that vote there must be a majority too; some may be lost, others be too new to vote.
        let electorates = self.cluster.electorates();
        let disks = self.disks();
        let enough = |some: &[usize]| {
            let intact: Vec<u64> = some.iter().filter_map(|at| disks[*at]).collect();
            let most =
                |set: &BTreeSet<u64>| intact.iter().filter(|id| set.contains(id)).count() > set.len() / 2;
            !electorates.is_empty() && electorates.iter().all(most)
        };
        let size = (peers / 2 + 1..=peers).find(|n| enough(&order[..*n])).unwrap_or(peers);
        let (mut healed, others) = (order[..size].to_vec(), order[size..].to_vec());
        healed.sort_unstable();
        self.trace.say(format_args!("healing {healed:?} only"));
        self.notes.phase(promises::MAJORITY);
        for at in others {
            if self.running[at] {
                self.kill(at);
            }
        }
        self.mend(&healed).await;
        let end = Instant::now() + self.patience();
        for actor in 0..self.plan.actors {
            // One that runs elsewhere than at home may have all its copies with the others.
            let home = actor as usize % peers;
            let intact = |at: &usize| !self.wiped[*at] && self.holds(*at, &format!("r{actor}"));
            if !healed.contains(&home) || self.wiped[home] || !healed.iter().any(intact) {
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
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        }
        self.trace.say("the majority goes on");
        self.notes.phase(promises::GOES_ON);
        Ok(())
    }

    /// Who lost its name to another learns of it, and ends.
    async fn ghosts_know(&mut self) -> Result<(), Violation> {
        let patience = self.patience();
        let mut known = Ok(());
        // All at once: they may know of nobody but each other, and of the others through each other.
        self.cluster.ghosts().for_each(|(_, process)| process.thaw());
        let served: BTreeSet<_> = self.cluster.peers().filter_map(|peer| peer.status().addr).collect();
        // One that ended at its moment can learn nothing.
        for (peer, _) in self.cluster.ghosts().filter(|(_, process)| !process.is_killed()) {
            // Whoever it knows has moved: there is nobody to learn it from.
            if !peer.status().members.values().any(|member| served.contains(&member.addr)) {
                continue;
            }
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

    /// A spoiled copy is noticed when it is read, and may lie there as long as nobody reads it: another checkpoint
    /// takes its place.
    async fn supersede_rotten(&self) -> Result<(), Violation> {
        for actor in &self.rotten {
            let (key, end) = (actor.key(), Instant::now() + self.patience());
            // What is under way to a machine that was restarted just now ends as unknown.
            while let Err(e) = probe(self.cluster.peer(0), key, self.patience()).await {
                if Instant::now() >= end {
                    return Err(Violation::new("everything_lives_again", format!("{key}: {e}")));
                }
            }
        }
        Ok(())
    }

    /// The disk (as a Raft id) of each machine, as the running peer says that has applied most; none, if it is lost.
    fn disks(&self) -> Vec<Option<u64>> {
        let newest = self.cluster.peers().map(standin::Peer::status).max_by_key(|status| status.applied);
        let disk = |at| Some(newest.as_ref()?.members.get(&self.cluster.node(at))?.raft_id.0);
        (0..self.plan.peers).map(|at| disk(at).filter(|_| !self.wiped[at])).collect()
    }

    /// Whether the newest directory says that a peer's disk holds the newest checkpoint of an actor.
    fn holds(&self, at: usize, key: &str) -> bool {
        let Some(newest) = self.cluster.peers().max_by_key(|peer| peer.status().applied) else {
            return false;
        };
        let disk = newest.status().members.get(&self.cluster.node(at)).map(|member| member.raft_id);
        let line = newest.actors().into_iter().find(|actor| actor.id.key() == key);
        line.zip(disk).is_some_and(|(line, disk)| line.holders.contains(&disk))
    }

    async fn heal_everybody(&mut self) {
        let all: Vec<usize> = (0..self.plan.peers).collect();
        self.notes.phase(promises::ALL);
        self.mend(&all).await;
    }

    /// Ends all faults of these peers, and those of the network.
    async fn mend(&mut self, some: &[usize]) {
        self.world.network().heal_all();
        self.notes.all_mended();
        for at in some.iter().copied() {
            if self.running[at] {
                self.notes.thawed(at);
                self.cluster.process(at).thaw();
                self.cluster.clock(at).drift(0);
                self.world.disk(self.cluster.dir(at)).mend();
                if self.sick[at] || self.odd[at] || self.spoiled[at] || self.is_broken(at) {
                    self.kill(at);
                }
            }
            if !self.running[at] {
                // Bits that flipped may not have been read yet; they would be, some day.
                self.bring_back(at, if self.spoiled[at] { Back::Empty } else { Back::Disk }).await;
            }
        }
    }

    async fn last_questions(&mut self, history: &mut History) -> Result<(), Violation> {
        self.notes.phase(promises::QUESTIONS);
        let late = |e: String| Violation::new("everything_lives_again", e);
        let peer = self.cluster.peer(0);
        let found = self.cast().found(peer, &mut history.transfers, self.patience()).await.map_err(late)?;
        self.trace.say(format_args!("{} calls, {} faults", history.len(), self.struck));
        judge(history, &found).map_err(|(invariant, what)| Violation::new(invariant, what))
    }
}
