//! What each fault does to real processes.

use standin::testing::{Prng, Weather};
use std::time::Duration;
use tokio::time::Instant;

use super::relay::Link;
use super::schedule::Strike;
use super::stage::{Act, Stage};
use super::words::Want;
use crate::plan::{Back, Fault, Way, Who};

/// How long a rolling restart waits for each peer.
const ROLL_PATIENCE: Duration = Duration::from_secs(10);
/// How much room is left on a disk that gets full slowly, or by how much a file there may still grow.
const LAST_ROOM: u64 = 16 << 10;

/// How long two machines of one name go on.
const STOP_AFTER_MS: u64 = 3_000;

impl Stage {
    /// Begins a fault, if there is whom it can strike.
    pub async fn begin(&mut self, id: u64, strike: Strike) {
        let detail = format!("{strike:?}");
        match strike {
            Strike::Fault(fault) => self.fault(id, fault, &detail).await,
            Strike::Rolling => {
                self.struck(id, "rolling restart", &[], &detail);
                self.later(0, id, Act::Roll(0, Instant::now()));
            }
            Strike::NewCertificate { who, away_ms } => {
                let Some(at) = self.find(who) else { return };
                if self.fleet.new_certificate(at).is_ok() {
                    self.struck(id, "new certificate", &[at], &detail);
                    self.kill(at).await;
                    self.later(away_ms, id, Act::Return(at, Back::Disk));
                }
            }
            Strike::Jump { who, seconds } => {
                let Some(at) = self.find(who) else { return };
                self.struck(id, "wall clock jump", &[at], &detail);
                self.tell(at, Want::Jump(seconds));
            }
            Strike::SlowLink { from, to, bytes_per_s, for_ms } => {
                let (from, to) = (from as usize % self.fleet.size(), to as usize % self.fleet.size());
                let link = (self.fleet.seats[from].host, self.fleet.seats[to].host);
                self.struck(id, "slow link", &[from, to], &detail);
                self.relay.links().set_rate(link, Some(bytes_per_s));
                self.later(for_ms, id, Act::FairLink(link));
            }
        }
    }

    async fn fault(&mut self, id: u64, fault: Fault, detail: &str) {
        match fault {
            Fault::Kill { who, away_ms, back } => {
                let Some(at) = self.find(who) else { return };
                self.struck(id, "sudden death", &[at], detail);
                self.kill(at).await;
                self.later(away_ms, id, Act::Return(at, back));
            }
            Fault::Freeze { who, for_ms } => self.freeze(id, who, for_ms, detail),
            Fault::PowerCut { away_ms } => {
                let all = self.fleet.running();
                self.struck(id, "power cut", &all, detail);
                for at in all {
                    self.kill(at).await;
                    let more_ms = self.random.below(500);
                    self.later(away_ms + more_ms, id, Act::Return(at, Back::Disk));
                }
            }
            Fault::Drift { who, ppm } => {
                let Some(at) = self.find(who) else { return };
                self.struck(id, "clock drift", &[at], detail);
                self.tell(at, Want::Drift(ppm));
            }
            Fault::BadDisk { who, full, away_ms } => self.full_disk(id, who, full, away_ms, detail),
            Fault::Usurp { who, way, for_ms } => self.usurp(id, who, way, for_ms, detail).await,
            Fault::Stop { who, away_ms } => self.begin_end(id, who, away_ms, false, detail),
            Fault::Drain { who, away_ms } => self.begin_end(id, who, away_ms, true, detail),
            Fault::Move { actor, to } => {
                let Some(at) = self.find(Who::Peer(to)) else { return };
                self.struck(id, "move", &[at], detail);
                self.by_hand = true;
                let actor = self.first_actor + actor % self.round.actors;
                self.tell(at, Want::Move { actor, to: self.fleet.seats[at].node.clone() });
            }
            Fault::Noise { who, draw } => self.noise(id, who, draw, detail),
            Fault::Isolate { .. } | Fault::Split { .. } | Fault::Ring { .. } | Fault::Swizzle { .. } => {
                self.partition(id, fault, detail);
            }
            Fault::Storm { .. } | Fault::BadLink { .. } => self.weather(id, fault, detail),
            // What is inside of a real disk or process cannot be reached from outside.
            Fault::Rot { .. }
            | Fault::FlipBits { .. }
            | Fault::Stall { .. }
            | Fault::CrashAt { .. }
            | Fault::HandOver { .. }
            | Fault::Overthrow { .. }
            | Fault::Mislead { .. }
            | Fault::Wake { .. }
            | Fault::Lag { .. }
            | Fault::Forget { .. }
            | Fault::When { .. }
            | Fault::Relapse { .. }
            | Fault::Disown { .. }
            | Fault::OtherVersion { .. }
            | Fault::Echo { .. } => {}
        }
    }

    fn tell(&self, at: usize, want: Want) {
        if let Some(process) = &self.fleet.seats[at].process {
            process.tell(want);
        }
    }

    fn freeze(&mut self, id: u64, who: Who, for_ms: u64, detail: &str) {
        let Some(at) = self.find(who) else { return };
        let Some(process) = self.fleet.seats[at].process.clone() else { return };
        self.struck(id, if for_ms < 1000 { "short freeze" } else { "long freeze" }, &[at], detail);
        process.freeze();
        self.later(for_ms, id, Act::Thaw(process));
    }

    fn full_disk(&mut self, id: u64, who: Who, at_once: bool, away_ms: u64, detail: &str) {
        let Some(at) = self.find(who) else { return };
        let Some(process) = self.fleet.seats[at].process.clone() else { return };
        let room = if at_once { 0 } else { LAST_ROOM };
        let is_full = self.fleet.fill_disk(at, room);
        if is_full || process.limit_files(room).is_ok() {
            self.fleet.seats[at].sick = true;
            self.struck(id, if is_full { "full disk" } else { "files too large" }, &[at], detail);
            self.later(away_ms, id, Act::Restart(at));
        }
    }

    async fn usurp(&mut self, id: u64, who: Who, way: Way, for_ms: u64, detail: &str) {
        let Some(at) = self.find(who) else { return };
        if !self.may_lose_a_disk() {
            return;
        }
        self.struck(id, "usurper", &[at], detail);
        let links = self.links_of(at, way);
        self.act_cut(&links);
        self.later(for_ms, id, Act::Hear(links));
        if let Some(process) = self.fleet.seats[at].process.clone() {
            self.later(for_ms + STOP_AFTER_MS, id, Act::Stop(process));
        }
        self.desk.set(at, None);
        self.fleet.let_go(at);
        self.fleet.seats[at].wiped = Some(Instant::now());
        self.launch(at, false).await;
    }

    fn noise(&mut self, id: u64, who: Who, draw: u64, detail: &str) {
        let Some(at) = self.find(who) else { return };
        let Some(to) = self.fleet.front_of(at) else { return };
        self.struck(id, "noise", &[at], detail);
        let mut noise = Prng::new(draw);
        let mut packet = || {
            let length = 1 + noise.below(1400);
            (0..length).map(|_| noise.any() as u8).collect()
        };
        self.relay.send_noise(to, (0..200).map(|_| packet()).collect());
    }

    fn weather(&mut self, id: u64, fault: Fault, detail: &str) {
        let ms = Duration::from_millis;
        match fault {
            Fault::Storm { loss, duplicated, delay_ms, jitter_ms, for_ms } => {
                self.struck(id, "storm", &[], detail);
                let weather = Weather { delay: ms(delay_ms), jitter: ms(jitter_ms), loss, duplicated };
                self.relay.links().set_weather(Some(weather));
                self.later(for_ms, id, Act::Fair);
            }
            Fault::BadLink { from, to, loss, delay_ms, for_ms } => {
                let (from, to) = (from as usize % self.fleet.size(), to as usize % self.fleet.size());
                let link = (self.fleet.seats[from].host, self.fleet.seats[to].host);
                self.struck(id, "bad link", &[from, to], detail);
                let weather = Weather { delay: ms(delay_ms), loss, ..Weather::fair() };
                self.relay.links().set_link(link, Some(weather));
                self.later(for_ms, id, Act::FairLink(link));
            }
            _ => {}
        }
    }

    /// Restarts one peer of a rolling restart, or waits for the one before.
    pub async fn roll(&mut self, id: u64, next: usize, before: Instant) {
        let is_back = |at: usize| {
            let process = self.fleet.seats[at].process.as_ref();
            process.and_then(|p| p.sight_since(before)).is_some_and(|sight| sight.ailment().is_none())
        };
        if next > 0 && !is_back(next - 1) && before.elapsed() < ROLL_PATIENCE {
            return self.later(100, id, Act::Roll(next, before));
        }
        if next < self.fleet.size() {
            if self.fleet.runs(next) {
                self.kill(next).await;
                self.bring_back(next, Back::Disk).await;
            }
            self.later(100, id, Act::Roll(next + 1, Instant::now()));
        }
    }

    /// Those links of a peer that a cut of this kind takes.
    pub fn links_of(&self, at: usize, way: Way) -> Vec<Link> {
        let host = self.fleet.seats[at].host;
        let others = self.fleet.seats.iter().map(|seat| seat.host).filter(|other| *other != host);
        let links = others.flat_map(|other| [(host, other), (other, host)]);
        links.filter(|(from, _)| way == Way::Both || (way == Way::Out) == (*from == host)).collect()
    }
}
