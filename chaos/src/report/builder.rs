//! From what happened to what is drawn.

use standin::Event;
use std::collections::BTreeMap;

use super::actors::Actors;
use super::calls;
use super::happening::{Entry, Happening};
use super::lives::Lives;
use super::timeline::{Fault, Lead, Phase, Said, Timeline};

/// What is shown of one peer's words: who says more says it in the trace.
const MOST_SAID: usize = 5000;

struct Builder {
    line: Timeline,
    lives: Lives,
    actors: Actors,
    /// Faults that are not over, by number: where each is in the list.
    open: BTreeMap<u64, usize>,
    /// Who believes to lead: the process, and where that began in its row.
    leads: BTreeMap<u64, (usize, usize)>,
}

/// Puts together what happened until `end_ms`, to peers of these names.
pub fn build(entries: &[Entry], names: &[String], end_ms: u64) -> Timeline {
    let mut builder = Builder {
        line: Timeline { end_ms, ..Timeline::default() },
        lives: Lives::new(names.len()),
        actors: Actors::default(),
        open: BTreeMap::new(),
        leads: BTreeMap::new(),
    };
    let named = |name: &String| super::timeline::Peer { name: name.clone(), ..Default::default() };
    builder.line.peers = names.iter().map(named).collect();
    for Entry { at_ms, what } in entries.iter().filter(|entry| entry.at_ms <= end_ms) {
        builder.see(*at_ms, what);
    }
    builder.finish(entries)
}

impl Builder {
    fn see(&mut self, at: u64, what: &Happening) {
        match what {
            Happening::Started { peer, life, lease, leads } if self.lives.knows(*peer) => {
                let before = self.lives.newest(*peer);
                self.lives.started(at, *peer, *life, *lease);
                self.live(at, *peer, *life);
                if let Some((older, term)) = before.and_then(|life| Some((life, self.term_of(life)?))) {
                    self.leads(at, *peer, older, Some(term));
                }
                if let Some(term) = leads {
                    self.leads(at, *peer, *life, Some(*term));
                }
            }
            Happening::Ended { life, peer } => {
                self.lives.change(at, *life, |process| process.ended = true);
                self.leads(at, *peer, *life, None);
                self.live(at, *peer, *life);
            }
            Happening::Froze { peer, life } => self.freeze(at, *peer, *life, true),
            Happening::Thawed { peer, life } => self.freeze(at, *peer, *life, false),
            Happening::Told { peer, life, event } if self.lives.knows(*peer) => {
                self.told(at, *peer, *life, event)
            }
            Happening::Placed { actor, peer } => {
                if let Some(life) = self.lives.newest(*peer) {
                    self.actors.placed(at, actor, *peer, life);
                    self.live(at, *peer, life);
                }
            }
            Happening::Struck { fault, family, what } => {
                self.open.insert(*fault, self.line.faults.len());
                let (number, family, what) = (*fault, family.clone(), what.clone());
                let fault = Fault { number, family, what, from_ms: at, to_ms: at, peers: vec![] };
                self.line.faults.push(fault);
            }
            Happening::Hit { fault, peer } => {
                if let Some(place) = self.open.get(fault) {
                    let peers = &mut self.line.faults[*place].peers;
                    if !peers.contains(peer) {
                        peers.push(*peer);
                    }
                }
            }
            Happening::Mended { fault } => {
                if let Some(place) = self.open.remove(fault) {
                    self.line.faults[place].to_ms = at;
                }
            }
            Happening::AllMended => self.mend_all(at),
            Happening::Phase { name } => self.line.phases.push(Phase { at_ms: at, name: name.clone() }),
            Happening::Answered { .. } | Happening::Started { .. } | Happening::Told { .. } => {}
        }
    }

    fn mend_all(&mut self, at: u64) {
        for place in std::mem::take(&mut self.open).into_values() {
            self.line.faults[place].to_ms = at;
        }
    }

    fn freeze(&mut self, at: u64, peer: usize, life: u64, frozen: bool) {
        self.lives.change(at, life, |process| process.frozen = frozen);
        self.live(at, peer, life);
    }

    /// Lets the actors of a process run, or not, as it is now.
    fn live(&mut self, at: u64, peer: usize, life: u64) {
        self.actors.host(at, peer, life, self.lives.runs(life));
    }

    fn told(&mut self, at: u64, peer: usize, life: u64, event: &Event) {
        let said = &mut self.line.peers[peer].said;
        if said.len() < MOST_SAID {
            said.push(Said { at_ms: at, text: format!("{event:?}") });
        }
        match event {
            Event::LeaseResumed => self.lives.change(at, life, |process| process.lease = Some(true)),
            Event::LeasePaused => self.lives.change(at, life, |process| process.lease = Some(false)),
            Event::Retired { .. } => self.lives.change(at, life, |process| process.retired = true),
            Event::Failed { .. } => self.lives.change(at, life, |process| process.failed = true),
            Event::LeaderChanged { leader, term } => {
                let itself = leader.as_ref().is_some_and(|node| node.as_str() == self.line.peers[peer].name);
                self.leads(at, peer, life, itself.then_some(*term));
            }
            Event::ActorRecovered { actor, from_seq, downtime_ms, .. } => {
                self.actors.restored(at, &actor.to_string(), (peer, life), *from_seq, *downtime_ms);
            }
            _ => return,
        }
        self.live(at, peer, life);
    }

    /// A process believes to lead in a term, or no more.
    fn leads(&mut self, at: u64, peer: usize, life: u64, term: Option<u64>) {
        if let Some((peer, place)) = self.leads.remove(&life) {
            self.line.peers[peer].leads[place].to_ms = at;
        }
        if let Some(term) = term {
            let older = self.lives.newest(peer) != Some(life);
            let leads = &mut self.line.peers[peer].leads;
            self.leads.insert(life, (peer, leads.len()));
            leads.push(Lead { from_ms: at, to_ms: at, term, older });
        }
    }

    /// The term in which a process believes to lead.
    fn term_of(&self, life: u64) -> Option<u64> {
        self.leads.get(&life).map(|(peer, place)| self.line.peers[*peer].leads[*place].term)
    }

    fn finish(mut self, entries: &[Entry]) -> Timeline {
        let end = self.line.end_ms;
        self.mend_all(end);
        for (peer, place) in std::mem::take(&mut self.leads).into_values() {
            self.line.peers[peer].leads[place].to_ms = end;
        }
        for (row, (bands, older)) in self.line.peers.iter_mut().zip(self.lives.finish(end)) {
            (row.bands, row.older) = (bands, older);
        }
        self.line.actors = self.actors.finish(end);
        self.line.calls = calls::count(entries, end);
        self.line
    }
}
