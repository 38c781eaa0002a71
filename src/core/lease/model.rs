//! A model of a whole cluster that tries to break the lease rules: several voters, of which some
//! believe to lead, peers whose old processes go on beside new ones, delayed, lost and doubled messages,
//! clocks off by up to 1%, restarts, and a log in which an old leader's entry may commit late.
//!
//! Raft itself is taken as correct and reduced to what matters here: votes only rise, a leader commits
//! while a majority's vote is its term, a new one has all that was committed and perhaps some of what was not.
//!
//! One property is checked after every event, in real time: who holds a lease is the newest committed
//! incarnation of its node, is `Up` there, and has itself applied the entry that made it so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::clock::Mono;
use crate::id::{Incarnation, NodeId, RaftId};
use crate::prng::Prng;

const MS: u64 = 1_000_000;
const LEASE: Duration = Duration::from_secs(1);
const NODES: u64 = 3;
const SEEDS: u64 = 200;

/// A clock that is off by so many millionths.
#[derive(Clone, Copy)]
struct Skewed(i64);

impl Skewed {
    fn draw(rng: &mut Prng) -> Self {
        Self(*rng.pick(&[-9_999, 0, 9_999]))
    }

    fn read(self, real: u64) -> Mono {
        let off = i128::from(real) * i128::from(self.0) / 1_000_000;
        Mono((i128::from(real) + off) as u64 + 7_000_000_000)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Command {
    /// The first entry of a term.
    Blank,
    MarkDown(Incarnation),
    MarkUp(Incarnation),
    Leave(Incarnation),
    /// The process that is admitted.
    Admit(usize),
}

#[derive(Clone, Debug)]
struct Entry {
    term: u64,
    node: NodeId,
    command: Command,
}

/// A committed member, and the index since which it has been as it is.
#[derive(Clone, Copy, Debug)]
struct Member {
    view: MemberView,
    since: u64,
}

type Table = BTreeMap<NodeId, Member>;

/// What one peer has in its log beyond the committed part.
struct Leading {
    term: u64,
    base: usize,
    pending: Vec<Entry>,
}

struct Voter {
    clock: Skewed,
    vote: (u64, usize),
    votes: BTreeSet<usize>,
    granter: Granter,
    leading: Option<Leading>,
    applied: usize,
}

struct Process {
    node: NodeId,
    clock: Skewed,
    incarnation: Option<Incarnation>,
    lease: PeerLease,
    seq: u64,
    applied: usize,
    cut_until: u64,
    alive: bool,
}

#[derive(Clone)]
enum Event {
    Beat(usize),
    Heartbeat { to: usize, from: usize, seq: u64 },
    Granted { to: usize, seq: u64, grant: Grant },
    PeerApplies(usize),
    ProbeStart(usize),
    Probe { to: usize, from: usize, term: u64, n: u64 },
    Ack { to: usize, from: usize, term: u64, n: u64 },
    Tick(usize),
    Commit(usize),
    Applies(usize),
    Campaign,
    Ask { to: usize, from: usize, term: u64 },
    Vote { to: usize, from: usize, term: u64 },
    Won { who: usize, term: u64 },
    Lost { who: usize, term: u64 },
    Trouble,
    Joins(usize),
}

#[derive(Default, Debug)]
struct Counts {
    reigns: u64,
    grants: u64,
    lapses: u64,
    admitted: u64,
    ups: u64,
}

struct World {
    rng: Prng,
    real: u64,
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    voters: Vec<Voter>,
    processes: Vec<Process>,
    log: Vec<Entry>,
    tables: Vec<Table>,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Prng::new(seed);
        let count = *rng.pick(&[1, 3, 5]);
        let voters: Vec<Voter> = (0..count).map(|who| Voter::new(who, Skewed::draw(&mut rng))).collect();
        let (events, processes) = (BTreeMap::new(), Vec::new());
        let mut world = Self {
            rng,
            real: 0,
            events,
            made: 0,
            voters,
            processes,
            log: Vec::new(),
            tables: vec![Table::new()],
            counts: Counts::default(),
        };
        for who in 0..count {
            world.start_raft(who);
            [Event::ProbeStart(who), Event::Tick(who), Event::Commit(who), Event::Applies(who)]
                .into_iter()
                .for_each(|event| world.after(0, event));
        }
        (0..NODES).for_each(|name| world.new_process(name));
        world.after(0, Event::Campaign);
        world.after(MS, Event::Trouble);
        world
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.made += 1;
        self.events.insert((self.real + delay, self.made), event);
    }

    /// A message: mostly quick, sometimes very late, doubled or lost.
    fn send(&mut self, event: Event) {
        for _ in 0..if self.rng.chance(5) { 2 } else { 1 } {
            let longest = if self.rng.chance(10) { 1_500 * MS } else { 20 * MS };
            let delay = self.rng.below(longest);
            if !self.rng.chance(5) {
                self.after(delay, event.clone());
            }
        }
    }

    fn now(&self, who: usize) -> Mono {
        self.voters[who].clock.read(self.real)
    }

    fn step(&mut self, who: usize, input: Input) -> Vec<Effect> {
        let now = self.now(who);
        self.voters[who].granter.step(input, now)
    }

    fn start_raft(&mut self, who: usize) {
        self.voters[who].granter = Granter::new(RaftId(who as u64), LEASE);
        let all = (0..self.voters.len()).map(|id| RaftId(id as u64)).collect();
        self.step(who, Input::RaftStarted);
        self.step(who, Input::Voters(vec![all]));
        self.tell_members(who);
    }

    fn tell_members(&mut self, who: usize) {
        let applied = self.voters[who].applied;
        let members = self.tables[applied].iter().map(|(node, member)| (node.clone(), member.view)).collect();
        self.step(who, Input::MembersApplied { index: applied as u64, members });
    }

    fn new_process(&mut self, name: u64) {
        let id = self.processes.len();
        self.processes.push(Process {
            node: NodeId::new(format!("n{name}")).unwrap(),
            clock: Skewed::draw(&mut self.rng),
            incarnation: None,
            lease: PeerLease::new(),
            seq: 0,
            applied: 0,
            cut_until: 0,
            alive: true,
        });
        self.after(0, Event::Joins(id));
        self.after(0, Event::Beat(id));
        self.after(0, Event::PeerApplies(id));
    }

    /// Whom a process takes for the leader: mostly the right one.
    fn guess_leader(&mut self) -> usize {
        let newest =
            (0..self.voters.len()).max_by_key(|who| self.voters[*who].leading.as_ref().map(|l| l.term));
        let any = self.rng.below(self.voters.len() as u64) as usize;
        if self.rng.chance(80) { newest.unwrap() } else { any }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Beat(id) => self.beat(id),
            Event::Heartbeat { to, from, seq } => self.heartbeat(to, from, seq),
            Event::Granted { to, seq, grant } => {
                self.counts.grants += 1;
                self.processes[to].lease.step(PeerInput::Granted { seq, grant });
            }
            Event::PeerApplies(id) => self.peer_applies(id),
            Event::ProbeStart(who) => self.probe(who),
            Event::Probe { to, from, term, n } => {
                if self.voters[to].vote == (term, from) {
                    self.send(Event::Ack { to: from, from: to, term, n });
                }
            }
            Event::Ack { to, from, term, n } => {
                self.step(to, Input::ProbeAck { from: RaftId(from as u64), term, n });
            }
            Event::Tick(who) => self.tick(who),
            Event::Commit(who) => {
                self.commit(who);
                let delay = self.rng.below(60 * MS);
                self.after(delay, Event::Commit(who));
            }
            Event::Applies(who) => self.applies(who),
            Event::Campaign => self.campaign(),
            Event::Ask { to, from, term } => {
                if term > self.voters[to].vote.0 {
                    self.take_vote(to, term, from);
                    self.send(Event::Vote { to: from, from: to, term });
                }
            }
            Event::Vote { to, from, term } => self.vote(to, from, term),
            Event::Won { who, term } => {
                if self.voters[who].leading.as_ref().is_some_and(|leading| leading.term == term) {
                    self.step(who, Input::BecameLeader { term });
                }
            }
            Event::Lost { who, term } => {
                if self.voters[who].leading.as_ref().is_none_or(|leading| leading.term <= term) {
                    self.step(who, Input::LostLeadership);
                    self.voters[who].leading = None;
                }
            }
            Event::Trouble => self.trouble(),
            Event::Joins(id) => self.joins(id),
        }
    }

    fn beat(&mut self, id: usize) {
        if !self.processes[id].alive {
            return;
        }
        self.after(100 * MS, Event::Beat(id));
        let process = &mut self.processes[id];
        process.seq += 1;
        let (seq, now) = (process.seq, process.clock.read(self.real));
        process.lease.step(PeerInput::Sent { seq, now });
        if process.incarnation.is_some() && process.cut_until <= self.real {
            let to = self.guess_leader();
            self.send(Event::Heartbeat { to, from: id, seq });
        }
    }

    fn heartbeat(&mut self, to: usize, from: usize, seq: u64) {
        let Some(incarnation) = self.processes[from].incarnation else { return };
        let node = self.processes[from].node.clone();
        for effect in self.step(to, Input::Heartbeat { node: node.clone(), incarnation, seq, applied: 0 }) {
            match effect {
                Effect::Grant { seq, grant, .. } => self.send(Event::Granted { to: from, seq, grant }),
                Effect::Refuse { reason: Refusal::Down, .. } => {
                    let term = self.voters[to].leading.as_ref().map_or(0, |leading| leading.term);
                    self.propose(
                        to,
                        Entry { term, node: node.clone(), command: Command::MarkUp(incarnation) },
                    );
                }
                _ => {}
            }
        }
    }

    fn peer_applies(&mut self, id: usize) {
        let delay = if self.rng.chance(10) { self.rng.below(2_000 * MS) } else { self.rng.below(50 * MS) };
        self.after(delay, Event::PeerApplies(id));
        let process = &mut self.processes[id];
        process.applied += self.rng.below((self.log.len() - process.applied) as u64 + 1) as usize;
        process.lease.step(PeerInput::Applied { index: process.applied as u64 });
    }

    fn probe(&mut self, who: usize) {
        self.after(100 * MS, Event::ProbeStart(who));
        for effect in self.step(who, Input::ProbeStart) {
            let Effect::Probe { term, n, to } = effect else { continue };
            for voter in to {
                self.send(Event::Probe { to: voter.0 as usize, from: who, term, n });
            }
        }
    }

    fn tick(&mut self, who: usize) {
        let delay = self.rng.below(6 * MS);
        self.after(delay, Event::Tick(who));
        for effect in self.step(who, Input::Tick) {
            let Effect::Lapsed { node, incarnation, term, .. } = effect else { continue };
            self.counts.lapses += 1;
            let is_newest = self.voters.iter().all(|voter| voter.vote.0 <= term);
            let holds =
                self.processes.iter().any(|one| one.incarnation == Some(incarnation) && one.holds(self.real));
            assert!(!(is_newest && holds), "{node} was called dead while it held a lease");
            self.propose(who, Entry { term, node, command: Command::MarkDown(incarnation) });
        }
    }

    fn propose(&mut self, who: usize, entry: Entry) {
        let now = self.rng.chance(50);
        match &mut self.voters[who].leading {
            Some(leading) if leading.term == entry.term => {
                if !leading.pending.iter().any(|other| other.command == entry.command) {
                    leading.pending.push(entry);
                }
            }
            _ => self.report(who, &entry, None),
        }
        if now {
            self.commit(who);
        }
    }

    fn report(&mut self, who: usize, entry: &Entry, at: Option<u64>) {
        let what = match entry.command {
            Command::MarkDown(_) => Flight::MarkDown,
            Command::Admit(_) => Flight::Admit,
            Command::Leave(_) => Flight::Leave,
            Command::Blank | Command::MarkUp(_) => return,
        };
        self.step(who, Input::End { node: entry.node.clone(), what, term: entry.term, at });
    }

    fn commit(&mut self, who: usize) {
        let Some(leading) = &mut self.voters[who].leading else { return };
        let (term, count) = (leading.term, self.rng.below(leading.pending.len() as u64 + 1) as usize);
        // An entry of an older term commits only together with one of the leader's own.
        if !leading.pending[..count].iter().any(|entry| entry.term == term) {
            return;
        }
        let follow = self.voters.iter().filter(|voter| voter.vote.0 == term).count();
        if follow * 2 <= self.voters.len() {
            return;
        }
        let leading = self.voters[who].leading.as_mut().unwrap();
        let entries: Vec<Entry> = leading.pending.drain(..count).collect();
        leading.base += count;
        entries.into_iter().for_each(|entry| self.append(entry));
    }

    fn append(&mut self, entry: Entry) {
        let index = self.log.len() as u64 + 1;
        let mut table = self.tables[self.log.len()].clone();
        let old = table.get(&entry.node).map(|member| member.view);
        let mut set = |incarnation, status| {
            let view = MemberView { incarnation, status };
            table.insert(entry.node.clone(), Member { view, since: index });
        };
        let is = |incarnation, status| old == Some(MemberView { incarnation, status });
        match entry.command {
            Command::MarkDown(life) if is(life, Status::Up) => set(life, Status::Down),
            Command::MarkUp(life) if is(life, Status::Down) => {
                self.counts.ups += 1;
                set(life, Status::Up);
            }
            Command::Leave(life) if old.is_some_and(|old| old.incarnation == life) => set(life, Status::Left),
            Command::Admit(id) => {
                self.counts.admitted += 1;
                set(Incarnation(index), Status::Up);
                self.processes[id].incarnation = Some(Incarnation(index));
            }
            _ => {}
        }
        self.log.push(entry);
        self.tables.push(table);
    }

    fn applies(&mut self, who: usize) {
        let delay = if self.rng.chance(5) { self.rng.below(1_000 * MS) } else { self.rng.below(20 * MS) };
        self.after(delay, Event::Applies(who));
        let from = self.voters[who].applied;
        let to = from + self.rng.below((self.log.len() - from) as u64 + 1) as usize;
        self.voters[who].applied = to;
        let ends_first = self.rng.chance(50);
        if !ends_first {
            self.tell_members(who);
        }
        for index in from..to {
            let entry = self.log[index].clone();
            self.report(who, &entry, Some(index as u64 + 1));
            if entry.command == Command::Blank {
                self.step(who, Input::AppliedTerm { term: entry.term, index: index as u64 + 1 });
            }
        }
        if ends_first {
            self.tell_members(who);
        }
    }

    fn take_vote(&mut self, who: usize, term: u64, candidate: usize) {
        let old = self.voters[who].vote.0;
        self.voters[who].vote = (term, candidate);
        if self.voters[who].leading.as_ref().is_some_and(|leading| leading.term == old) {
            let late = self.rng.below(3_000 * MS);
            self.after(late, Event::Lost { who, term: old });
        }
    }

    fn campaign(&mut self) {
        let delay = 500 * MS + self.rng.below(6_000 * MS);
        self.after(delay, Event::Campaign);
        let who = self.rng.below(self.voters.len() as u64) as usize;
        let term = self.voters[who].vote.0 + 1;
        self.take_vote(who, term, who);
        self.voters[who].votes.clear();
        self.vote(who, who, term);
        for to in 0..self.voters.len() {
            self.send(Event::Ask { to, from: who, term });
        }
    }

    fn vote(&mut self, to: usize, from: usize, term: u64) {
        if self.voters[to].vote != (term, to) {
            return;
        }
        self.voters[to].votes.insert(from);
        let won = self.voters[to].votes.len() * 2 > self.voters.len();
        if !won || self.voters[to].leading.as_ref().is_some_and(|leading| leading.term == term) {
            return;
        }
        self.counts.reigns += 1;
        let mut pending = self.inherit();
        pending.push(Entry { term, node: NodeId::new("none").unwrap(), command: Command::Blank });
        self.voters[to].leading = Some(Leading { term, base: self.log.len(), pending });
        let late = self.rng.below(50 * MS);
        self.after(late, Event::Won { who: to, term });
    }

    /// What an older leader left uncommitted, and the new one happens to have.
    fn inherit(&mut self) -> Vec<Entry> {
        let committed = self.log.len();
        let old = self.voters.iter().filter_map(|voter| voter.leading.as_ref());
        let old: Vec<&Leading> = old.filter(|old| old.base == committed && !old.pending.is_empty()).collect();
        if old.is_empty() {
            return Vec::new();
        }
        let old = self.rng.pick(&old);
        let count = self.rng.below(old.pending.len() as u64 + 1) as usize;
        old.pending[..count].to_vec()
    }

    fn trouble(&mut self) {
        let delay = self.rng.below(800 * MS);
        self.after(delay, Event::Trouble);
        let id = self.rng.below(self.processes.len() as u64) as usize;
        match self.rng.below(16) {
            0..=8 => self.processes[id].cut_until = self.real + self.rng.below(3_000 * MS),
            9..=12 => {
                let living = self.processes.iter().filter(|process| process.alive).count();
                let name = self.rng.below(NODES);
                if living < 12 {
                    self.new_process(name);
                }
            }
            13 => self.processes[id].alive = false,
            14 => self.leaves(id),
            _ => {
                let who = self.rng.below(self.voters.len() as u64) as usize;
                self.voters[who].leading = None;
                self.start_raft(who);
            }
        }
    }

    fn leaves(&mut self, id: usize) {
        let Some(incarnation) = self.processes[id].incarnation else { return };
        self.processes[id].lease.step(PeerInput::Retired);
        self.processes[id].alive = false;
        let to = self.guess_leader();
        let Some(term) = self.voters[to].leading.as_ref().map(|leading| leading.term) else { return };
        let node = self.processes[id].node.clone();
        self.step(to, Input::Begin { node: node.clone(), what: Flight::Leave, term });
        self.propose(to, Entry { term, node, command: Command::Leave(incarnation) });
    }

    fn joins(&mut self, id: usize) {
        if !self.processes[id].alive || self.processes[id].incarnation.is_some() {
            return;
        }
        let (to, node) = (self.guess_leader(), self.processes[id].node.clone());
        let now = self.now(to);
        if let Admission::Free { term } = self.voters[to].granter.admit(&node, now) {
            self.propose(to, Entry { term, node, command: Command::Admit(id) });
        }
        let delay = self.rng.below(30 * MS);
        self.after(delay, Event::Joins(id));
    }

    fn check(&self) {
        let table = &self.tables[self.log.len()];
        for process in self.processes.iter().filter(|process| process.holds(self.real)) {
            let (life, member) = (process.incarnation.unwrap(), table[&process.node]);
            let newest = MemberView { incarnation: life, status: Status::Up };
            assert_eq!(member.view, newest, "{}/{life} acts at {} ns", process.node, self.real);
            assert!(member.since <= process.applied as u64, "{}/{life} acts on an old state", process.node);
        }
    }
}

impl Voter {
    fn new(who: usize, clock: Skewed) -> Self {
        let granter = Granter::new(RaftId(who as u64), LEASE);
        Self { clock, vote: (0, who), votes: BTreeSet::new(), granter, leading: None, applied: 0 }
    }
}

impl Process {
    fn holds(&self, real: u64) -> bool {
        self.lease.valid_until().is_some_and(|end| self.clock.read(real) < end)
    }
}

fn run(seed: u64, seconds: u64) -> Counts {
    let mut world = World::new(seed);
    while let Some(((real, _), event)) = world.events.pop_first() {
        if real > seconds * 1_000 * MS {
            break;
        }
        world.real = real;
        world.handle(event);
        world.check();
    }
    world.counts
}

#[test]
fn no_two_lives_of_a_node_ever_act_and_nobody_is_called_dead_that_may_act() {
    let mut total = Counts::default();
    for seed in 0..SEEDS {
        let counts = std::panic::catch_unwind(|| run(seed, 30)).unwrap_or_else(|_| panic!("seed {seed}"));
        total.reigns += counts.reigns;
        total.grants += counts.grants;
        total.lapses += counts.lapses;
        total.admitted += counts.admitted;
        total.ups += counts.ups;
    }
    let enough = total.reigns > 5 * SEEDS && total.grants > 200 * SEEDS && total.ups > SEEDS;
    assert!(
        enough && total.lapses > 5 * SEEDS && total.admitted > 5 * SEEDS,
        "it tests too little: {total:?}"
    );
}
