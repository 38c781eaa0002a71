//! What each fault does, and how it ends.

use standin::testing::{Prng, Weather};
use std::net::SocketAddr;
use std::time::Duration;

use super::stage::{Act, Stage};
use crate::plan::{Back, Fault, Way, Who};

impl Stage {
    pub(super) async fn act(&mut self, act: Act) {
        match act {
            Act::Begin(fault) => self.begin(fault).await,
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
                self.whole_host(host, false);
            }
            Act::Watch(ambush) => self.watch(ambush).await,
            Act::Look(at) => self.replace_if_broken(at).await,
            Act::Stall(at, for_ms) => {
                if self.running[at] {
                    self.stall(at, for_ms);
                }
            }
            Act::Flow(at) => {
                if self.running[at] {
                    self.world.disk(self.cluster.dir(at)).set_stalled(false);
                }
            }
            Act::Relapse(relapse) => self.turn_back(relapse),
            Act::SameVersion(at, life) => self.same_version(at, life).await,
            Act::Open => self.desk.close(false),
            Act::Trip => self.trip(),
            Act::Silence(leader, at, for_ms) => self.silence(leader, at, for_ms),
            Act::CutOff(at) => self.cut_off(at, Way::Both),
            Act::CutHost(host) => self.whole_host(host, true),
            Act::Fair => self.world.network().set_weather(Weather::fair()),
            Act::FairLink(from, to) => self.set_link(from, to, None),
            Act::Restart(at) => {
                if self.running[at] {
                    self.kill(at);
                    self.bring_back(at, Back::Disk).await;
                }
            }
        }
    }

    /// Who that is now; nobody, if such a one does not run.
    pub(super) fn find(&self, who: Who) -> Option<usize> {
        let running: Vec<usize> = (0..self.plan.peers).filter(|at| self.running[*at]).collect();
        let any = |number: u32| running.get(number as usize % running.len().max(1)).copied();
        let found = match who {
            Who::Peer(number) => any(number),
            Who::Newest => Some(self.newest).filter(|at| self.running[*at]).or_else(|| any(0)),
            Who::Leader => self.leader(),
            Who::Holder(number) => self.holder(number).or_else(|| any(number)),
            Who::Host(number) => {
                let actor = number % self.plan.actors;
                Some(actor as usize % self.plan.peers).filter(|at| self.running[*at])
            }
        };
        found.inspect(|at| self.notes.hit(*at))
    }

    /// Somebody who has a copy of a register's state.
    fn holder(&self, number: u32) -> Option<usize> {
        let peer = self.cluster.peers().next()?;
        let (actors, members) = (peer.actors(), peer.status().members);
        let key = format!("r{}", number % self.plan.actors);
        let holders = actors.into_iter().find(|actor| actor.id.key() == key)?.holders;
        let holder = holders.get(number as usize % holders.len().max(1))?;
        let (node, _) = members.iter().find(|(_, member)| member.raft_id == *holder)?;
        Some(self.cluster.index(node)).filter(|at| self.running[*at])
    }

    fn stall(&mut self, at: usize, for_ms: u64) {
        self.trace.say(format_args!("peer-{}'s disk hangs", at + 1));
        self.world.disk(self.cluster.dir(at)).set_stalled(true);
        self.later(for_ms, Act::Flow(at));
    }

    pub(super) async fn begin(&mut self, fault: Fault) {
        self.struck += 1;
        self.notes.struck(self.struck, &fault);
        self.trace.say(format_args!("{fault:?}"));
        self.strike(fault).await;
    }

    /// None if nobody is there to be struck.
    async fn strike(&mut self, fault: Fault) -> Option<()> {
        match fault {
            Fault::Kill { who, away_ms, back } => self.strike_dead(self.find(who)?, away_ms, back).await,
            Fault::Freeze { who, for_ms } => {
                let at = self.find(who)?;
                self.trace.say(format_args!("peer-{} freezes", at + 1));
                self.notes.froze(at);
                self.cluster.process(at).freeze();
                self.later(for_ms, Act::Thaw(at));
            }
            Fault::Isolate { who, way, for_ms } => {
                let at = self.find(who)?;
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
                self.bad_link(from, to, Weather { delay, loss, ..Weather::fair() }, for_ms);
            }
            Fault::PowerCut { away_ms } => {
                for at in (0..self.plan.peers).filter(|at| self.running[*at]).collect::<Vec<_>>() {
                    self.kill(at);
                    let more_ms = self.random.below(500);
                    self.later(away_ms + more_ms, Act::Return(at, Back::Disk));
                }
            }
            Fault::Drift { who, ppm } => self.cluster.clock(self.find(who)?).drift(ppm),
            Fault::Rot { who, actor } => self.rot(who, actor).await,
            Fault::BadDisk { who, full, away_ms } => {
                let at = self.find(who)?;
                let disk = self.world.disk(self.cluster.dir(at));
                self.sick[at] = true;
                if full {
                    disk.set_full(true)
                } else {
                    disk.fail_next_sync()
                }
                self.later(away_ms, Act::Restart(at));
            }
            Fault::Usurp { who, way, for_ms } => self.usurp(self.find(who)?, Some(way), for_ms).await,
            Fault::Stall { who, for_ms } => self.stall(self.find(who)?, for_ms),
            Fault::CrashAt { who, write, moment, away_ms } => {
                self.set_trap(self.find(who)?, write, moment, away_ms)
            }
            Fault::FlipBits { who, what, draw, away_ms } => {
                self.flip_bits(self.find(who)?, what, draw, away_ms)
            }
            Fault::Stop { who, away_ms } => self.stop(self.find(who)?, away_ms).await,
            Fault::Drain { who, away_ms } => self.drain(self.find(who)?, away_ms).await,
            Fault::Move { actor, to } => {
                let to = self.find(Who::Peer(to))?;
                self.move_actors(actor % self.plan.actors, to);
            }
            Fault::HandOver { to } => {
                let (from, to) = (self.leader(), self.find(Who::Peer(to)));
                self.cluster.hand_over(from?, to?);
            }
            Fault::Overthrow { who, to, for_ms } => self.overthrow(who, to, for_ms),
            Fault::Mislead { who, delay_ms, for_ms } => {
                self.mislead(self.leader()?, self.find(who)?, delay_ms, for_ms)
            }
            Fault::Echo { who, delay_ms, for_ms } => {
                self.echo(self.leader()?, self.find(who)?, delay_ms, for_ms)
            }
            Fault::Wake { who, for_ms } => self.wake(self.find(who)?, for_ms).await,
            Fault::Lag { who, for_ms } => {
                let at = self.find(who)?;
                self.cut_off(at, Way::Both);
                self.later(for_ms, Act::Stall(at, for_ms));
                self.later(for_ms, Act::Hear(self.links_of(at)));
            }
            Fault::Forget { to, for_ms } => self.forget(self.leader()?, to, for_ms),
            Fault::Relapse { who, lag_ms, away_ms } => self.relapse(self.find(who)?, lag_ms, away_ms).await,
            Fault::Disown { who, to, for_ms } => {
                self.disown(self.find(who)?, self.find(Who::Peer(to))?, for_ms).await
            }
            Fault::OtherVersion { who, newer, for_ms } => {
                self.other_version(self.find(who)?, newer, for_ms).await
            }
            Fault::When { situation, who, blow } => self.lie_in_wait(situation, blow.against(who)),
            Fault::Noise { who, draw } => {
                let at = self.find(who)?;
                self.noisy = true;
                let mut noise = Prng::new(draw);
                let to = self.cluster.peer(at).status().addr?;
                for _ in 0..20 {
                    let length = 1 + noise.below(1400);
                    let bytes = (0..length).map(|_| noise.any() as u8).collect();
                    self.world.network().inject(SocketAddr::from(([10, 9, 9, 9], 9)), to, bytes);
                }
            }
        }
        Some(())
    }
}
