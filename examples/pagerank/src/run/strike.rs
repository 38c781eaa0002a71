//! What goes wrong on purpose, what is seen of it, and what takes the dead peer's place.

use std::io::Write;
use std::time::Duration;

use standin::id::NodeId;
use tokio::time::Instant;

use super::fleet::State;
use super::recovery::Recovery;
use super::{Run, Todo};
use crate::cli::{Kill, Replace, Victim};
use crate::job;
use crate::wire::{Command, Sighting};

impl<W: Write> Run<'_, W> {
    /// Kills whom it is time to kill. A victim that is not there yet is killed when it is.
    pub(super) fn strike(&mut self) {
        for kill in std::mem::take(&mut self.kills) {
            let victim =
                (kill.iteration <= self.progress.iteration).then(|| self.find(&kill.victim)).flatten();
            match victim {
                Some(peer) => self.kill(&kill, peer),
                None => self.kills.push(kill),
            }
        }
    }

    fn find(&self, victim: &Victim) -> Option<usize> {
        let peers = self.fleet.peers();
        let place = match victim {
            Victim::Node(node) => peers.iter().position(|peer| peer.node == *node),
            Victim::Leader => self.leader.1,
            Victim::Coordinator => Some(job::home_of_coordinator(peers.len())),
        };
        place.filter(|place| self.fleet.state(*place) == State::Joined)
    }

    fn kill(&mut self, kill: &Kill, peer: usize) {
        let partitions = job::homed_at(peer, self.args.partitions as usize, self.fleet.peers().len());
        let probe = partitions.first().copied();
        let coordinates = peer == job::home_of_coordinator(self.fleet.peers().len());
        let actors = self.args.actors_of(partitions.len(), coordinates);
        let Some(node) = self.fleet.peers().get(peer).map(|peer| peer.node.clone()) else { return };
        let role = match kill.victim {
            Victim::Node(_) => "",
            Victim::Leader => ", the leader,",
            Victim::Coordinator => ", the coordinator's host,",
        };
        let killed = self.now();
        self.fleet.kill(peer);
        let text = format!("SIGKILL to {node}{role} in superstep {}", self.progress.iteration + 1);
        self.event(&format!("{text}: {actors} actors lived there"));
        self.recoveries.push(Recovery::new(node, self.progress.iteration, actors, probe, killed));
        if self.driving == Some(peer) {
            self.driving = None;
            self.later(Instant::now(), Todo::Drive);
        }
        self.probe();
    }

    /// Has the speaker ask the actors of the dead, until they answer.
    fn probe(&mut self) {
        let Some(speaker) = self.fleet.speaker() else { return };
        for recovery in self.recoveries.iter().filter(|recovery| recovery.needs_answer()) {
            if let Some(partition) = recovery.probe {
                self.fleet.tell(speaker, Command::Probe { partition });
            }
        }
    }

    /// The killed process is no more, and now its disk is not either.
    pub(super) fn buried(&mut self, peer: usize, why: &str) -> Result<(), String> {
        let wipe = self.args.replace == Replace::Empty;
        self.fleet.gone(peer, wipe).map_err(|error| format!("cannot wipe {}: {error}", self.name(peer)))?;
        let wiped = if wipe { ", and its directory is deleted" } else { "" };
        self.event(&format!("{} is gone ({why}){wiped}", self.name(peer)));
        if self.args.replace != Replace::None {
            let start = self.start;
            let killed = self.recovery_of(peer).map_or(start, |recovery| start + recovery.killed);
            self.later(killed + Duration::from_secs_f64(self.args.after), Todo::Replace(peer));
        }
        Ok(())
    }

    /// A new process under the old node id.
    pub(super) fn replace(&mut self, peer: usize) -> Result<(), String> {
        let listen = self.fleet.addr(peer).filter(|_| self.args.same_port);
        self.fleet.start(peer, listen, false)?;
        let disk = if self.args.replace == Replace::Empty { "an empty disk" } else { "its old disk" };
        self.event(&format!("a new {} starts with {disk}", self.name(peer)));
        Ok(())
    }

    /// The kill of a peer that is not over yet.
    pub(super) fn recovery_of(&mut self, peer: usize) -> Option<&mut Recovery> {
        let node = &self.fleet.peers().get(peer)?.node;
        self.recoveries.iter_mut().rev().find(|recovery| recovery.node == *node && !recovery.is_over())
    }

    fn place_of(&self, node: &NodeId) -> Option<usize> {
        self.fleet.peers().iter().position(|peer| peer.node == *node)
    }

    /// Every peer sees most events; each is told once.
    pub(super) fn on_sighting(&mut self, by: usize, event: Sighting) -> Result<(), String> {
        let now = self.now();
        let told_by_speaker = self.fleet.speaker() == Some(by);
        match event {
            Sighting::Down { node } => {
                let place = self.place_of(&node);
                let first = match place.and_then(|peer| self.recovery_of(peer)) {
                    Some(recovery) => recovery.detected(now),
                    None => told_by_speaker,
                };
                if first {
                    self.event(&format!("{} says that {node} is down", self.name(by)));
                }
            }
            Sighting::Replaced { node } => {
                let place = self.place_of(&node);
                if place.and_then(|peer| self.recovery_of(peer)).is_some_and(|r| r.admitted(now)) {
                    self.event(&format!("the new {node} is admitted"));
                }
            }
            Sighting::InUse { retry_after_ms } => {
                if self.recovery_of(by).is_some_and(|recovery| recovery.detected(now)) {
                    let node = self.name(by);
                    self.event(&format!(
                        "the new {node} waits {retry_after_ms} ms for its predecessor's lease"
                    ));
                }
            }
            Sighting::Recovered { actor } => {
                if self.recovery_of(by).is_some_and(|recovery| recovery.recovered(actor, now)) {
                    self.event(&format!("{} runs all its actors again", self.name(by)));
                }
            }
            Sighting::Leader { node, term } => self.on_leader(node, term),
            Sighting::Repaired { copies } => self.copies_repaired += copies,
            Sighting::Lost { actor } => return Err(format!("{actor} is lost: no copy of it is left")),
            Sighting::Other { text } if told_by_speaker => self.event(&text),
            Sighting::Other { .. } => {}
        }
        Ok(())
    }

    fn on_leader(&mut self, node: Option<NodeId>, term: u64) {
        let Some(node) = node else { return };
        let place = self.place_of(&node);
        if (term, place) > self.leader {
            self.leader = (term, place);
            self.event(&format!("{node} leads term {term}"));
        }
    }
}
