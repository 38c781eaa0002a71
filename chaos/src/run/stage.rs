//! What is wrong with the machines at the moment, and what is to be done when.

use serde_json::json;
use standin::PhaseStatus;
use standin::testing::Prng;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fleet::Fleet;
use super::process::Process;
use super::record::Recorder;
use super::relay::{Link, Relay};
use super::schedule::{Round, Strike};
use super::words::Sight;
use crate::plan::{Back, Who};
use crate::sim::Violation;
use crate::work::Desk;

/// How often a fault that takes a disk is put off, and for how long, until all is well enough for it.
const MOST_WAITS: u32 = 20;
const WAIT_MS: u64 = 400;

/// What is to be done at some moment: the beginning of a fault, or the end of one.
pub enum Act {
    /// With how often it may be put off: it needs a disk that may be lost.
    Begin(Strike, u32),
    Return(usize, Back),
    Thaw(Process),
    Cut(Vec<Link>),
    Hear(Vec<Link>),
    /// Of two machines of one name the operator stops the first, if it was not replaced by now: the other waits for
    /// that, and nothing is well meanwhile.
    Stop(Process),
    Fair,
    FairLink(Link),
    /// A process that was told to end has done so by now, or will not.
    End(Ending),
    /// A disk that fails is noticed, and its machine restarted.
    Restart(usize),
    /// The next one of a rolling restart, once the one before is back, or should be.
    Roll(usize, Instant),
}

/// A process that ends in good order, if it does so in time.
pub struct Ending {
    pub at: usize,
    pub process: Process,
    pub end: JoinHandle<()>,
    pub until: Instant,
    /// For how long its machine is away then.
    pub away_ms: u64,
    /// Whether it leaves.
    pub leaves: bool,
}

/// The machines, and what is wrong with them.
pub struct Stage {
    pub fleet: Fleet,
    pub relay: Relay,
    pub recorder: Recorder,
    pub random: Prng,
    pub round: Round,
    /// The number of the round's first actor.
    pub first_actor: u32,
    pub desk: Desk<Process>,
    pub newest: usize,
    /// Whether somebody wished in this round that actors run elsewhere than at home.
    pub by_hand: bool,
    agenda: BTreeMap<(Instant, u64), (u64, Act)>,
    number: u64,
    /// Faults that are not over: their kind, and what is still to be done for each.
    open: BTreeMap<u64, (&'static str, usize)>,
}

impl Stage {
    pub fn new(fleet: Fleet, seed: u64) -> Self {
        Self {
            relay: fleet.relay.clone(),
            recorder: fleet.recorder.clone(),
            fleet,
            random: Prng::new(seed.rotate_left(32)),
            round: Round::draw(seed, 0, 0),
            first_actor: 0,
            desk: Desk::default(),
            newest: 0,
            by_hand: false,
            agenda: BTreeMap::new(),
            number: 0,
            open: BTreeMap::new(),
        }
    }

    /// Says that a fault has begun.
    pub fn struck(&mut self, id: u64, kind: &'static str, whom: &[usize], detail: &str) {
        self.recorder.count(kind);
        self.open.entry(id).or_insert((kind, 0)).0 = kind;
        let nodes: Vec<_> = whom.iter().map(|at| &self.fleet.seats[*at].node).collect();
        let fields = json!({ "id": id, "kind": kind, "nodes": nodes, "detail": detail });
        self.recorder.note("fault_begins", fields);
    }

    /// Puts something on the agenda, for a fault.
    pub fn later(&mut self, wait_ms: u64, id: u64, act: Act) {
        self.number += 1;
        self.open.entry(id).or_insert(("none", 0)).1 += 1;
        self.agenda.insert((Instant::now() + Duration::from_millis(wait_ms), self.number), (id, act));
    }

    /// Does what the round has in store, as long as that goes on.
    pub async fn faults(&mut self) -> Result<(), Violation> {
        for (at_ms, strike) in self.round.steps.clone() {
            let id = self.number + 1;
            self.later(at_ms, id, Act::Begin(strike, MOST_WAITS));
        }
        let end = Instant::now() + Duration::from_secs(self.round.seconds);
        while let Some(((due, _), (id, act))) = self.agenda.pop_first() {
            if due >= end {
                self.agenda.insert((due, 0), (id, act));
                break;
            }
            tokio::time::sleep_until(due).await;
            self.act(id, act).await?;
            self.done(id);
            self.nothing_was_violated()?;
        }
        tokio::time::sleep_until(end).await;
        self.nothing_was_violated()
    }

    pub fn nothing_was_violated(&self) -> Result<(), Violation> {
        self.recorder.violation().map_or(Ok(()), Err)
    }

    fn done(&mut self, id: u64) {
        let Some((kind, left)) = self.open.get_mut(&id) else { return };
        *left -= 1;
        if *left == 0 {
            let kind = *kind;
            self.open.remove(&id);
            // What never found its victim never began.
            if kind != "none" {
                self.recorder.note("fault_ends", json!({ "id": id, "kind": kind }));
            }
        }
    }

    /// Whatever was to be done is left: all is mended now.
    pub fn drop_agenda(&mut self) {
        self.agenda.clear();
        for (id, (kind, _)) in std::mem::take(&mut self.open) {
            if kind != "none" {
                self.recorder.note("fault_ends", json!({ "id": id, "kind": kind }));
            }
        }
    }

    /// Who that is now; nobody, if such a one does not run.
    pub fn find(&self, who: Who) -> Option<usize> {
        let running = self.fleet.running();
        let any = |number: u32| running.get(number as usize % running.len().max(1)).copied();
        let leads = |at: &usize| {
            let process = self.fleet.seats[*at].process.as_ref();
            process.and_then(Process::sight).is_some_and(|sight| sight.status.leads)
        };
        match who {
            // Who has which copies is not seen from outside.
            Who::Peer(number) | Who::Holder(number) => any(number),
            Who::Newest => Some(self.newest).filter(|at| self.fleet.runs(*at)).or_else(|| any(0)),
            Who::Leader => running.iter().copied().find(leads),
            Who::Host(number) => {
                let home = (number % self.round.actors) as usize % self.fleet.size();
                Some(home).filter(|at| self.fleet.runs(*at))
            }
        }
    }

    /// Ends a peer's process.
    pub async fn kill(&mut self, at: usize) {
        self.desk.set(at, None);
        if self.fleet.runs(at) {
            self.recorder.count("kill");
        }
        self.fleet.end(at).await;
    }

    /// Whether a peer says that only an operator can help.
    pub fn is_broken(&self, at: usize) -> bool {
        let sight = self.fleet.seats[at].process.as_ref().and_then(Process::sight);
        sight.is_some_and(|sight| !matches!(sight.status.phase, PhaseStatus::Joining | PhaseStatus::Member))
    }

    /// Puts a fault off that would take one disk too many, unless it was put off too often.
    pub fn is_put_off(&mut self, id: u64, strike: Strike, waits: u32) -> bool {
        let off = strike.takes_a_disk() && waits > 0 && !self.may_lose_a_disk();
        if off {
            self.later(WAIT_MS, id, Act::Begin(strike, waits - 1));
        }
        off
    }

    /// Whether one more disk may be lost: no other is, or all has been well again since.
    pub fn may_lose_a_disk(&mut self) -> bool {
        let Some(lost) = self.fleet.seats.iter().filter_map(|seat| seat.wiped).max() else { return true };
        if !self.all_was_well_since(lost) {
            return false;
        }
        self.fleet.seats.iter_mut().for_each(|seat| seat.wiped = None);
        self.recorder.sums().well_again += 1;
        true
    }

    /// Whether some peer with a lease has seen since then that nothing is amiss: everybody is up and votes, and the
    /// processes on new disks are those that run on them now.
    fn all_was_well_since(&self, moment: Instant) -> bool {
        let in_place = |sight: &Sight| {
            self.fleet.seats.iter().filter(|seat| seat.wiped.is_some()).all(|seat| {
                let own = seat.process.as_ref().and_then(|p| p.sight_since(moment)?.status.incarnation);
                own.is_some() && own == sight.incarnation_of(&seat.node)
            })
        };
        let sights = self.fleet.processes().filter_map(|process| process.sight_since(moment));
        sights.into_iter().any(|sight| sight.ailment().is_none() && in_place(&sight))
    }
}
