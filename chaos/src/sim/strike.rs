//! What each fault does, and how it ends.

use standin::PhaseStatus;
use standin::id::Incarnation;
use standin::testing::{Prng, Weather};
use std::net::SocketAddr;
use std::time::Duration;

use super::Violation;
use super::stage::{Act, Stage};
use crate::plan::{Back, Fault, Way, Who};

impl Stage {
    pub(super) async fn act(&mut self, act: Act) -> Result<(), Violation> {
        match act {
            Act::Begin(fault) => return self.begin(fault).await,
            Act::Return(at, back) => self.bring_back(at, back).await,
            Act::Thaw(at) => {
                if self.running[at] {
                    self.trace.say(format_args!("peer-{} goes on", at + 1));
                    self.notes.thawed(at);
                    self.cluster.process(at).thaw();
                }
            }
            Act::Hear(links) => {
                self.trace.say(format_args!("healed: {} links", links.len()));
                links.iter().for_each(|(from, to)| self.one_way(*from, *to, false));
            }
            Act::HearHost(host) => {
                self.trace.say(format_args!("{host} is heard again"));
                for at in 0..self.plan.peers {
                    let other = self.cluster.host(at);
                    self.world.network().heal(host, other);
                    self.world.network().heal(other, host);
                }
            }
            Act::CutOff(at) => self.cut_off(at, Way::Both),
            Act::Fair => self.world.network().set_weather(Weather::fair()),
            Act::FairLink(from, to) => {
                let (from, to) = (self.cluster.host(from), self.cluster.host(to));
                self.world.network().set_link(from, to, None);
            }
            Act::Restart(at) => {
                if self.running[at] {
                    self.kill(at);
                    self.bring_back(at, Back::Disk).await;
                }
            }
        }
        Ok(())
    }

    /// Who that is now; nobody, if such a one does not run.
    fn find(&self, who: Who) -> Option<usize> {
        let running: Vec<usize> = (0..self.plan.peers).filter(|at| self.running[*at]).collect();
        let any = |number: u32| running.get(number as usize % running.len().max(1)).copied();
        let found = match who {
            Who::Peer(number) => any(number),
            Who::Newest => Some(self.newest).filter(|at| self.running[*at]).or_else(|| any(0)),
            Who::Leader => running.iter().copied().find(|at| self.cluster.peer(*at).status().leads),
            Who::Host(number) => {
                let actor = number % self.plan.actors;
                Some(actor as usize % self.plan.peers).filter(|at| self.running[*at])
            }
        };
        found.inspect(|at| self.notes.hit(*at))
    }

    async fn begin(&mut self, fault: Fault) -> Result<(), Violation> {
        self.struck += 1;
        self.notes.struck(self.struck, &fault);
        self.trace.say(format_args!("{fault:?}"));
        match fault {
            Fault::Kill { who, away_ms, back } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                if back == Back::Backup && !self.backups.contains_key(&at) {
                    // Made now, and used at the next such fault.
                    let process = self.newest_process(at);
                    self.kill(at);
                    if let Ok(dir) = self.cluster.copy_of_dir(at).await {
                        self.backups.insert(at, (dir, process));
                    }
                    self.later(away_ms, Act::Return(at, Back::Disk));
                    return Ok(());
                }
                self.kill(at);
                self.later(away_ms, Act::Return(at, back));
            }
            Fault::Freeze { who, for_ms } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                self.trace.say(format_args!("peer-{} freezes", at + 1));
                self.notes.froze(at);
                self.cluster.process(at).freeze();
                self.later(for_ms, Act::Thaw(at));
            }
            Fault::Isolate { who, way, for_ms } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                self.cut_off(at, way);
                self.later(for_ms, Act::Hear(self.links_of(at)));
            }
            Fault::Split { draw, for_ms } => {
                let side = |at: usize| Prng::new(draw ^ at as u64).chance(50);
                self.cut_where(for_ms, |from, to| side(from) != side(to));
            }
            Fault::Ring { for_ms } => {
                let peers = self.plan.peers;
                self.cut_where(for_ms, |from, to| (from + 1) % peers != to && (to + 1) % peers != from);
            }
            Fault::Swizzle { draw, for_ms } => self.swizzle(draw, for_ms),
            Fault::Storm { loss, duplicated, delay_ms, jitter_ms, for_ms } => {
                let ms = Duration::from_millis;
                let weather = Weather { delay: ms(delay_ms), jitter: ms(jitter_ms), loss, duplicated };
                self.world.network().set_weather(weather);
                self.later(for_ms, Act::Fair);
            }
            Fault::BadLink { from, to, loss, delay_ms, for_ms } => {
                let (from, to) = (from as usize % self.plan.peers, to as usize % self.plan.peers);
                [from, to].iter().for_each(|at| self.notes.hit(*at));
                let delay = Duration::from_millis(delay_ms);
                let weather = Weather { delay, loss, ..Weather::fair() };
                let hosts = (self.cluster.host(from), self.cluster.host(to));
                self.world.network().set_link(hosts.0, hosts.1, Some(weather));
                self.later(for_ms, Act::FairLink(from, to));
            }
            Fault::PowerCut { away_ms } => {
                for at in (0..self.plan.peers).filter(|at| self.running[*at]).collect::<Vec<_>>() {
                    self.kill(at);
                    let more_ms = self.random.below(500);
                    self.later(away_ms + more_ms, Act::Return(at, Back::Disk));
                }
            }
            Fault::Drift { who, ppm } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                self.cluster.clock(at).drift(ppm);
            }
            Fault::Rot { who, actor } => self.rot(who, actor).await,
            Fault::BadDisk { who, full, away_ms } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                let disk = self.world.disk(self.cluster.dir(at));
                self.sick[at] = true;
                if full {
                    disk.set_full(true)
                } else {
                    disk.fail_next_sync()
                }
                self.later(away_ms, Act::Restart(at));
            }
            Fault::Usurp { who, way, for_ms } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                if !self.may_lose_a_disk() {
                    return Ok(());
                }
                self.wiped[at] = true;
                self.trace.say(format_args!("another machine is started as peer-{}", at + 1));
                self.cut_off(at, way);
                let old = self.cluster.host(at);
                self.later(for_ms, Act::HearHost(old));
                self.conceal(at);
                match self.cluster.usurp(at).await {
                    Ok(()) => self.announce(at),
                    Err(e) => self.trace.say(format_args!("peer-{} did not start: {e}", at + 1)),
                }
            }
            Fault::Noise { who, draw } => {
                let Some(at) = self.find(who) else { return Ok(()) };
                self.noisy = true;
                let mut noise = Prng::new(draw);
                let Some(to) = self.cluster.peer(at).status().addr else { return Ok(()) };
                for _ in 0..20 {
                    let length = 1 + noise.below(1400);
                    let bytes = (0..length).map(|_| noise.any() as u8).collect();
                    self.world.network().inject(SocketAddr::from(([10, 9, 9, 9], 9)), to, bytes);
                }
            }
        }
        Ok(())
    }

    fn one_way(&self, from: usize, to: usize, cut: bool) {
        let (from, to) = (self.cluster.host(from), self.cluster.host(to));
        let network = self.world.network();
        if cut { network.cut(from, to) } else { network.heal(from, to) }
    }

    fn links_of(&self, at: usize) -> Vec<(usize, usize)> {
        let others = (0..self.plan.peers).filter(|other| *other != at);
        others.flat_map(|other| [(at, other), (other, at)]).collect()
    }

    fn cut_off(&self, at: usize, way: Way) {
        for (from, to) in self.links_of(at) {
            if way == Way::Both || (way == Way::Out) == (from == at) {
                self.one_way(from, to, true);
            }
        }
    }

    fn cut_where(&mut self, for_ms: u64, cut: impl Fn(usize, usize) -> bool) {
        let peers = self.plan.peers;
        let pairs = (0..peers).flat_map(|from| (0..peers).map(move |to| (from, to)));
        let links: Vec<_> = pairs.filter(|(from, to)| from != to && cut(*from, *to)).collect();
        links.iter().for_each(|(from, to)| self.one_way(*from, *to, true));
        self.later(for_ms, Act::Hear(links));
    }

    /// Cuts some peers off one by one, and lets them come back in another order (FoundationDB's name for it).
    fn swizzle(&mut self, draw: u64, for_ms: u64) {
        let mut random = Prng::new(draw);
        let some: Vec<usize> = (0..self.plan.peers).filter(|_| random.chance(50)).collect();
        for at in some {
            self.notes.hit(at);
            self.later(random.below(for_ms / 2), Act::CutOff(at));
            let links = self.links_of(at);
            self.later(for_ms / 2 + random.below(for_ms / 2), Act::Hear(links));
        }
    }

    /// Spoils copies on one disk, if others are surely left.
    async fn rot(&mut self, who: Who, actor: u32) {
        let Some(at) = self.find(who) else { return };
        if !self.may_lose_a_disk() {
            return;
        }
        let key = format!("r{}", actor % self.plan.actors);
        let Ok(register) = standin::actor::ActorRef::<crate::work::Register>::new(key) else { return };
        if self.cluster.spoil_copies(at, register.id()).await.is_ok_and(|count| count > 0) {
            self.wiped[at] = true;
        }
    }

    /// Whether one more disk may be lost. A cluster survives the loss of a minority of its disks, and two copies of a
    /// state the loss of one, at a time: until all is well again.
    pub(super) fn may_lose_a_disk(&mut self) -> bool {
        if self.running.iter().all(|runs| *runs) && self.cluster.is_well() {
            self.wiped.fill(false);
        }
        let most = if self.plan.peers >= 5 { 2 } else { 1 };
        self.wiped.iter().filter(|wiped| **wiped).count() < most
    }

    /// Starts a process in a dead one's place.
    pub(super) async fn bring_back(&mut self, at: usize, back: Back) {
        if self.running[at] {
            return;
        }
        let back = self.as_allowed(at, back);
        self.trace.say(format_args!("peer-{} comes back: {back:?}", at + 1));
        if back == Back::Backup {
            // It is a copy of what it was then; and no machine uses two.
            if let Some((dir, _)) = self.backups.remove(&at) {
                self.cluster.set_dir(at, dir);
            }
        }
        let started = match back {
            Back::Disk => self.cluster.restart_at_same_address_unjoined(at).await,
            Back::DiskMoved | Back::Backup => self.cluster.restart_unjoined(at).await,
            Back::Empty => self.cluster.replace_unjoined(at).await,
            Back::EmptySamePort => self.cluster.replace_at_same_address_unjoined(at).await,
        };
        match started {
            Ok(()) => {
                self.newest = at;
                self.announce(at);
            }
            Err(e) => self.trace.say(format_args!("peer-{} did not start: {e}", at + 1)),
        }
    }

    /// Not every machine may come back as planned: too many lost disks are more than a cluster promises to
    /// survive; and who moves while nobody is there to hear of it is never found again.
    fn as_allowed(&mut self, at: usize, back: Back) -> Back {
        // A copy of a disk on which nobody else has run since is not told from the disk: operators are warned.
        let told = |(_, process): &(_, _)| self.newest_process(at) > *process;
        if back == Back::Backup && !self.backups.get(&at).is_some_and(told) {
            return Back::Disk;
        }
        let keeps = matches!(back, Back::Disk | Back::DiskMoved);
        if !keeps && !self.wiped[at] && !self.may_lose_a_disk() {
            return Back::Disk;
        }
        self.wiped[at] |= !keeps;
        let others = self.running.iter().filter(|runs| **runs).count();
        if back == Back::DiskMoved && others + 1 < self.plan.peers { Back::Disk } else { back }
    }

    /// The newest process of a node that any running peer knows of.
    fn newest_process(&self, at: usize) -> Option<Incarnation> {
        let node = self.cluster.node(at);
        self.cluster.peers().filter_map(|peer| peer.status().members.get(&node).map(|m| m.incarnation)).max()
    }

    /// Whether a peer says that only an operator can help.
    pub(super) fn is_broken(&self, at: usize) -> bool {
        !matches!(self.cluster.peer(at).status().phase, PhaseStatus::Joining | PhaseStatus::Member)
    }
}
