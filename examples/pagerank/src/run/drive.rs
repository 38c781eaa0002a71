//! Driving the job: what peers report, and what they are told next.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::child::{News, Who};
use super::cost::Cost;
use super::fleet::State;
use super::progress::Phase;
use super::{Run, Todo};
use crate::cli::Checkpoints;
use crate::job;
use crate::wire::{Command, Job, Report};

/// How often segments keep their ranks.
const CUT_EVERY_MS: u64 = 1000;
/// How long to wait after a command came to nothing.
const RETRY: Duration = Duration::from_millis(50);

impl<W: Write> Run<'_, W> {
    pub(super) fn on_news(&mut self, who: Who, news: News) -> Result<(), String> {
        if !self.fleet.is_current(who) {
            return Ok(());
        }
        match news {
            News::Gone(why) if self.fleet.state(who.peer) == State::Dying => self.buried(who.peer, &why),
            News::Gone(why) => {
                let words = self.fleet.last_words(who.peer);
                Err(format!("{} ended by itself ({why})\n{words}", self.name(who.peer)))
            }
            News::Said(_) if self.fleet.state(who.peer) == State::Dying => Ok(()),
            News::Said(report) => self.on_report(who.peer, report),
        }
    }

    fn on_report(&mut self, peer: usize, report: Report) -> Result<(), String> {
        match report {
            Report::Listening { addr } => self.fleet.listens(peer, addr),
            Report::Joined => self.on_joined(peer)?,
            Report::Saw { event } => self.on_sighting(peer, event)?,
            Report::Answer { partition, iteration, sum } => self.on_answer(partition, iteration, sum)?,
            Report::Fatal { error } => return Err(format!("{}: {error}", self.name(peer))),
            // Only the speaker works on the job; what an earlier one still says is past.
            _ if self.driving != Some(peer) => {}
            Report::Created => {
                self.event("all actors are created");
                self.lead_on(Phase::Stepping);
            }
            Report::Reached { iteration } => {
                self.progress.reached(iteration);
                if self.progress.phase == Phase::Collecting {
                    let now = (Instant::now(), Cost::so_far(self.fleet.processes()));
                    self.last_step.get_or_insert(now);
                }
                self.lead_on(self.progress.phase);
            }
            Report::Ranks { partition, first, ranks } => self.progress.ranks(partition, first, &ranks),
            Report::Collected if self.progress.all_ranks().is_ok() => self.lead_on(Phase::Done),
            Report::Collected => self.fail("some ranks are missing".to_owned()),
            Report::Failed { error } => self.fail(error),
        }
        Ok(())
    }

    fn on_joined(&mut self, peer: usize) -> Result<(), String> {
        self.fleet.joined(peer);
        let now = self.now();
        if let Some(recovery) = self.recovery_of(peer) {
            recovery.admitted(now);
        }
        if peer == 0 && self.progress.phase == Phase::Starting {
            for other in 1..self.fleet.peers().len() {
                self.fleet.start(other, None, false)?;
            }
        }
        let all = self.fleet.peers().iter().all(|peer| peer.state == State::Joined);
        if all && self.progress.phase == Phase::Starting {
            self.event("all peers have joined");
            self.lead_on(Phase::Creating);
        }
        Ok(())
    }

    /// The present command is done; on to the next.
    fn lead_on(&mut self, phase: Phase) {
        self.progress.phase = phase;
        self.driving = None;
        self.drive();
    }

    fn fail(&mut self, error: String) {
        self.progress.failed(error);
        self.retry();
    }

    /// Tells the command again, a little later.
    fn retry(&mut self) {
        self.driving = None;
        self.later(Instant::now() + RETRY, Todo::Drive);
    }

    /// Tells the speaker the present command, unless somebody is at it. The same command twice has
    /// one effect, so one that a dead peer worked on is simply told to the next.
    pub(super) fn drive(&mut self) {
        if self.driving.is_some() {
            return;
        }
        let Some(speaker) = self.fleet.speaker() else {
            self.later(Instant::now() + RETRY, Todo::Drive);
            return;
        };
        let create = || Command::Create {
            source: self.args.source(),
            nodes: self.args.nodes(),
            job: Job {
                partitions: self.args.partitions as usize,
                iterations: self.args.iterations,
                pace_ms: self.args.pace,
                jumps: self.args.jumps(),
                cut_every_ms: (self.args.checkpoints == Checkpoints::EverySecond).then_some(CUT_EVERY_MS),
            },
        };
        let Some(command) = self.progress.command(create) else { return };
        self.driving = Some(speaker);
        if self.progress.phase == Phase::Stepping {
            self.first_step.get_or_insert_with(|| (Instant::now(), Cost::so_far(self.fleet.processes())));
        }
        self.fleet.tell(speaker, command);
        // A superstep is under way: the moment at which a machine is missed the most.
        self.strike();
    }

    fn on_answer(&mut self, partition: usize, iteration: u64, sum: u64) -> Result<(), String> {
        let home = self.name(job::home_of(partition, self.fleet.peers().len()));
        if self.expected.is_some_and(|expected| !expected.agrees(partition, iteration, sum)) {
            return Err(format!("partition {partition} on {home} has wrong ranks at iteration {iteration}"));
        }
        let now = self.now();
        let asked = |r: &&mut super::Recovery| r.probe == Some(partition) && r.needs_answer();
        if let Some(recovery) = self.recoveries.iter_mut().rev().find(asked)
            && recovery.answered(now)
        {
            self.event(&format!("{home} answers: partition {partition} is at iteration {iteration}"));
        }
        Ok(())
    }

    pub(super) fn name(&self, peer: usize) -> String {
        self.fleet.peers().get(peer).map_or("?".to_owned(), |peer| peer.node.to_string())
    }

    /// What the run waits for, in words.
    pub(super) fn where_it_hangs(&self) -> String {
        let is = |state: State| {
            let peers = self.fleet.peers().iter().filter(move |peer| peer.state == state);
            peers.map(|peer| peer.node.as_str()).collect::<Vec<_>>().join(", ")
        };
        let phase = match self.progress.phase {
            Phase::Starting => "peers did not join".to_owned(),
            Phase::Creating => "the actors were not created".to_owned(),
            Phase::Stepping => format!("superstep {} did not end", self.progress.iteration + 1),
            Phase::Collecting => "the ranks were not collected".to_owned(),
            Phase::Done => "the ranks are there, but a recovery is not complete".to_owned(),
        };
        let mut text = format!("not finished after {} s: {phase}", self.args.deadline);
        for (state, word) in [(State::Absent, "not running"), (State::Starting, "not admitted")] {
            let peers = is(state);
            if !peers.is_empty() {
                text += &format!("; {word}: {peers}");
            }
        }
        for recovery in self.recoveries.iter().filter(|recovery| !recovery.is_over()) {
            let (back, all) = recovery.actors();
            text += &format!("; {}: {back} of its {all} actors are back", recovery.node);
        }
        if let Some(stuck) = &self.progress.stuck {
            text += &format!("; last error: {stuck}");
        }
        text
    }
}
