//! One round: new actors, clients and faults; then a healed majority, everybody, and the judgement.

use serde_json::json;
use standin::PhaseStatus;
use std::time::Duration;
use tokio::time::Instant;

use super::clock;
use super::process::Process;
use super::schedule::Round;
use super::stage::Stage;
use super::words::{Answer, Sight, Want};
use crate::plan::Back;
use crate::sim::Violation;
use crate::work::ranks::Job;
use crate::work::{Cast, Clients, History, Member, NameCall, Ticks, Work, judge};

/// How long well machines may need to get going.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn took_ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

impl Stage {
    /// Starts all machines for the first time.
    pub async fn open(&mut self) -> Result<(), Violation> {
        for at in 0..self.fleet.size() {
            self.launch(at, false).await;
            self.nothing_was_violated()?;
        }
        self.all_live().await
    }

    /// Plays a round to its end.
    pub async fn play(&mut self, number: u64, round: Round) -> Result<(), Violation> {
        (self.round, self.by_hand) = (round, false);
        self.first_actor = number as u32 * 100;
        self.phase(number, "begins", None);
        self.create_actors().await?;
        let work = Work {
            seed: self.random.any(),
            clients: self.round.clients,
            pause_ms: self.round.pause_ms,
            actors: self.first_actor..self.first_actor + self.round.actors,
            panics: 1,
        };
        let clients = Clients::start(&work, &self.desk, &Ticks::follow(clock::moment_us));
        let faults = self.faults().await;
        let healed = match faults {
            Ok(()) => self.heal(number).await,
            broken => broken,
        };
        if healed.is_err() {
            // Nobody waits for what has failed; the calls so far tell enough.
            self.recorder.keep_history(number, &clients.so_far());
            return healed;
        }
        let history = clients.finish().await;
        self.recorder.keep_history(number, &history);
        self.nothing_was_violated()?;
        let generations = NameCall::generation(history.names.len()) + 1;
        self.last_questions(history).await?;
        self.end_actors(generations).await?;
        self.phase(number, "kept", None);
        self.recorder.sums().rounds += 1;
        self.fleet.tidy();
        Ok(())
    }

    fn phase(&self, number: u64, phase: &str, took: Option<u64>) {
        self.recorder.note("round", json!({ "number": number, "phase": phase, "took_ms": took }));
    }

    fn actors(&self) -> std::ops::Range<u32> {
        self.first_actor..self.first_actor + self.round.actors
    }

    /// Where an actor is at home.
    fn home(&self, actor: u32) -> usize {
        (actor - self.first_actor) as usize % self.fleet.size()
    }

    async fn create_actors(&mut self) -> Result<(), Violation> {
        let cast = self.cast();
        for member in cast.members() {
            // How far its home is from the first peer; anywhere, for an account.
            let (actor, kind, shift) = match member {
                Member::Register(n) => (n, 'r', Some(0)),
                Member::Ledger(n) => (n, 'l', Some(1)),
                Member::Purse(n) => (n, 'p', Some(2)),
                Member::Account(n) => (n, 'a', None),
                Member::Part(job, n) => (job.first + n, 'k', Some(3)),
            };
            let at = |shift| (self.home(actor) + shift) % self.fleet.size();
            let home = shift.map(|shift| self.fleet.seats[at(shift)].node.clone());
            home.iter().for_each(|home| self.recorder.created(member.key(), home));
            let stand_in_ms = self.round.stand_in_ms(actor, kind);
            let want = || Want::Create { member, home: home.clone(), stand_in_ms };
            self.until_done(want).await.map_err(|why| Violation::new("an_actor_is_created", why))?;
        }
        let begin = || Want::Begin { cast: cast.clone(), patience_ms: PATIENCE.as_millis() as u64 };
        self.until_done(begin).await.map_err(|why| Violation::new("an_actor_is_created", why))
    }

    /// Who is there in this round.
    fn cast(&self) -> Cast {
        let (parts, steps) = (self.round.parts, self.round.seconds * 2);
        let job = Job { seed: self.first_actor.into(), first: self.first_actor, parts, steps };
        Cast { actors: self.actors(), job: (parts > 0).then_some(job) }
    }

    async fn end_actors(&mut self, generations: u64) -> Result<(), Violation> {
        let cast = self.cast();
        let ended = self.until_done(|| Want::EndAll { cast: cast.clone(), generations }).await;
        ended.map_err(|why| Violation::new("an_actor_is_ended", why))
    }

    /// Asks the first peer, until it has done it.
    async fn until_done(&self, want: impl Fn() -> Want) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let process = self.fleet.seats[0].process.clone().ok_or("peer-1 does not run")?;
        loop {
            let why = match tokio::time::timeout(PATIENCE, process.ask(want())).await {
                Ok(Ok(Answer::Done(Ok(())))) => return Ok(()),
                Ok(Ok(Answer::Done(Err(why)))) => why,
                other => format!("{other:?}"),
            };
            if Instant::now() >= end {
                return Err(why);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn heal(&mut self, number: u64) -> Result<(), Violation> {
        self.drop_agenda();
        self.phase(number, "heals_a_majority", None);
        let since = Instant::now();
        self.heal_a_majority().await?;
        self.recorder.sums().majority_ms.push(took_ms(since));
        self.phase(number, "majority_lives", Some(took_ms(since)));
        self.phase(number, "heals_everybody", None);
        let since = Instant::now();
        let all: Vec<usize> = (0..self.fleet.size()).collect();
        self.mend(&all).await;
        self.all_live().await?;
        self.recorder.sums().everybody_ms.push(took_ms(since));
        self.phase(number, "all_live", Some(took_ms(since)));
        self.ghosts_know().await
    }

    /// Mends the links, and the machines of a majority drawn by chance; these must get going without the others.
    async fn heal_a_majority(&mut self) -> Result<(), Violation> {
        self.fleet.end_ghosts(|fleet, ghost| !fleet.is_superseded(ghost)).await;
        let size = self.fleet.size();
        let mut order: Vec<usize> = (0..size).collect();
        for at in (1..size).rev() {
            order.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        self.may_lose_a_disk();
        // Of the voters before the last disks were lost, there must be a majority too.
        let voters = self.voters();
        let wiped: Vec<bool> = self.fleet.seats.iter().map(|seat| seat.wiped.is_some()).collect();
        let intact = |at: &&usize| !wiped[**at] && voters.contains(at);
        let enough = |some: &[usize]| some.iter().filter(intact).count() > voters.len() / 2;
        let count = (size / 2 + 1..=size).find(|n| enough(&order[..*n])).unwrap_or(size);
        let (healed, others) = (order[..count].to_vec(), order[count..].to_vec());
        for at in others {
            self.kill(at).await;
        }
        self.mend(&healed).await;
        let end = Instant::now() + PATIENCE;
        for actor in self.actors() {
            let home = self.home(actor);
            let has_host =
                healed.contains(&home) && !wiped[home] || self.round.stand_in_ms(actor, 'r').is_some();
            if !has_host {
                continue;
            }
            let from = healed[self.random.below(healed.len() as u64) as usize];
            loop {
                let want = Want::Probe { actor, deadline_ms: 5000 };
                let Some(process) = self.fleet.seats[from].process.clone() else { break };
                match tokio::time::timeout(PATIENCE, process.ask(want)).await {
                    Ok(Ok(Answer::Done(Ok(())))) => break,
                    // One that ran elsewhere than at home may have all its copies with the others.
                    _ if Instant::now() >= end && !self.is_held(&healed, actor) => break,
                    other if Instant::now() >= end => {
                        let sights: Vec<_> = self.fleet.sights().collect();
                        let node = &self.fleet.seats[from].node;
                        let what = format!("of {healed:?}, {node} asked r{actor}: {other:?}; {sights:?}");
                        return Err(Violation::new("a_healed_majority_goes_on", what));
                    }
                    _ => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        }
        self.nothing_was_violated()
    }

    /// Whether the newest checkpoint of a register is on one of these machines' disks, as the running peer says that has
    /// applied most.
    fn is_held(&self, some: &[usize], actor: u32) -> bool {
        let Some(newest) = self.fleet.sights().max_by_key(|sight| sight.status.applied) else { return true };
        let Some(holders) = newest.holders.get(&format!("r{actor}")) else { return true };
        let holds = |at: &usize| {
            let seat = &self.fleet.seats[*at];
            let disk = newest.status.members.get(&seat.node).map(|m| m.raft_id);
            seat.wiped.is_none() && disk.is_some_and(|disk| holders.contains(&disk))
        };
        some.iter().any(holds)
    }

    /// Who votes, as the running peer says that has applied most; everybody, if none runs.
    fn voters(&self) -> Vec<usize> {
        let newest = self.fleet.sights().max_by_key(|sight| sight.status.applied);
        let votes = |at: &usize| {
            let node = &self.fleet.seats[*at].node;
            newest.as_ref().is_none_or(|sight| sight.status.members.get(node).is_some_and(|m| m.votes))
        };
        (0..self.fleet.size()).filter(votes).collect()
    }

    /// Ends all faults of these peers, and those of the network.
    async fn mend(&mut self, some: &[usize]) {
        self.fleet.obeys(self.relay.heal_all());
        for at in some.iter().copied() {
            if let Some(process) = self.fleet.seats[at].process.clone() {
                process.thaw();
                process.tell(Want::Drift(0));
                if self.fleet.seats[at].sick || self.is_broken(at) {
                    self.kill(at).await;
                }
            }
            self.bring_back(at, Back::Disk).await;
        }
    }

    /// Waits until every peer sees that nothing is amiss, and all see the same.
    async fn all_live(&mut self) -> Result<(), Violation> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.nothing_was_violated()?;
            let mut ailment = None;
            let mut first: Option<Sight> = None;
            for process in self.fleet.processes() {
                let Some(sight) = process.look().await else {
                    ailment = Some(format!("{} says nothing", process.name().node));
                    break;
                };
                let own = sight.incarnation_of(&process.name().node);
                let why = if own != sight.status.incarnation {
                    Some("is not its node's newest process".into())
                } else if !self.all_pass_the_relay(&sight) {
                    Some("was told to go around the relay".into())
                } else if first.as_ref().is_some_and(|first| first.status.members != sight.status.members) {
                    Some("sees other members than others do".into())
                } else if !self.by_hand && sight.from_home > 0 {
                    Some(format!("{} actors are not at home again", sight.from_home))
                } else {
                    sight.ailment()
                };
                if let Some(why) = why {
                    ailment = Some(format!("{}: {why}; {sight:?}", process.name().node));
                    break;
                }
                first.get_or_insert(sight);
            }
            match ailment {
                None => return Ok(()),
                Some(why) if Instant::now() >= end => {
                    return Err(Violation::new("everything_lives_again", why));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Whether everybody is to be found where the relay is: faults of links would strike nobody otherwise.
    fn all_pass_the_relay(&self, sight: &Sight) -> bool {
        let front =
            |at: usize| (self.fleet.front_of(at), sight.status.members.get(&self.fleet.seats[at].node));
        (0..self.fleet.size()).map(front).all(|(front, member)| front == member.map(|m| m.addr))
    }

    /// Who lost its name to another learns of it, and ends.
    async fn ghosts_know(&mut self) -> Result<(), Violation> {
        let ghosts: Vec<Process> = self.fleet.ghosts.iter().map(|ghost| ghost.process.clone()).collect();
        let end = Instant::now() + PATIENCE;
        for ghost in ghosts {
            ghost.thaw();
            loop {
                let sight = ghost.look().await;
                // It may have failed before, or left.
                let phase = sight.as_ref().map(|sight| &sight.status.phase);
                if matches!(phase, Some(PhaseStatus::Retired | PhaseStatus::Stopped | PhaseStatus::Failed(_)))
                {
                    break;
                }
                if Instant::now() >= end {
                    let what = format!("{:?}: {sight:?}", ghost.name());
                    return Err(Violation::new("a_retired_process_learns_of_it", what));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        self.fleet.end_ghosts(|_, _| true).await;
        Ok(())
    }

    async fn last_questions(&mut self, mut history: History) -> Result<(), Violation> {
        let Some(process) = self.fleet.seats[0].process.clone() else { return Ok(()) };
        let (cast, transfers) = (self.cast(), std::mem::take(&mut history.transfers));
        let asked = process.ask(Want::Find { cast, transfers, patience_ms: PATIENCE.as_millis() as u64 });
        let found = match asked.await {
            Ok(Answer::Found(Ok(found))) => {
                history.transfers = found.1;
                found.0
            }
            other => return Err(Violation::new("everything_lives_again", format!("{other:?}"))),
        };
        // The search may take a while, and the processes go on talking.
        let judged = tokio::task::spawn_blocking(move || judge(&history, &found)).await;
        judged
            .map_err(|e| Violation::new("no_panic", e))?
            .map_err(|(invariant, what)| Violation::new(invariant, what))
    }
}
