//! Ranks: the nodes of a small graph, dealt out to actors that send each other reliably what their nodes give, one
//! superstep after another. Whatever happens on the way, each node's rank is the same in the end, to the last bit.

use serde::{Deserialize, Serialize};
use standin::Peer;
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Outbox, Policy};
use standin::testing::Prng;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

use super::kinds::Panic;

const NODES: u32 = 60;
const EDGES: u32 = 240;
/// The rank that every node starts with.
const ONE: u64 = 1 << 32;
/// A superstep does not begin sooner after the one before, unless there is a hurry.
const PACE: Duration = Duration::from_millis(400);

/// What is ranked: everything about it follows from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub seed: u64,
    /// The number of its first part, among those of all jobs.
    pub first: u32,
    pub parts: u32,
    /// The supersteps that there are.
    pub steps: u64,
}

impl Job {
    /// A part's name.
    pub fn key(self, part: u32) -> String {
        format!("k{}", self.first + part)
    }

    fn named(self, part: u32) -> Result<ActorRef<Part>, String> {
        ActorRef::new(self.key(part)).map_err(|e| e.to_string())
    }

    /// Who points to whom.
    fn edges(self) -> Vec<(u32, u32)> {
        let mut random = Prng::new(self.seed);
        let mut node = || random.below(u64::from(NODES)) as u32;
        (0..EDGES).map(|_| (node(), node())).collect()
    }

    /// How many each node points to. Some point nowhere: what they have goes to all.
    fn degrees(edges: &[(u32, u32)]) -> Vec<u64> {
        let mut degrees = vec![0; NODES as usize];
        edges.iter().for_each(|(from, _)| degrees[*from as usize] += 1);
        degrees
    }

    /// The nodes of one part.
    fn nodes(self, part: u32) -> impl Iterator<Item = u32> {
        (part..NODES).step_by(self.parts.max(1) as usize)
    }

    /// The ranks after so many supersteps, reckoned here alone.
    pub fn reference(self) -> Vec<u64> {
        let edges = self.edges();
        let degrees = Self::degrees(&edges);
        let mut ranks = vec![ONE; NODES as usize];
        for _ in 0..self.steps {
            let mut received = vec![0; NODES as usize];
            edges.iter().for_each(|(from, to)| {
                received[*to as usize] += ranks[*from as usize] / degrees[*from as usize];
            });
            let dangling = ranks.iter().zip(&degrees).filter(|(_, d)| **d == 0).map(|(r, _)| r).sum();
            ranks = received.into_iter().map(|sum| next(sum, dangling)).collect();
        }
        ranks
    }
}

/// A node's next rank. Whole numbers, rounded down: the order of additions changes nothing.
fn next(received: u64, dangling: u64) -> u64 {
    ONE * 15 / 100 + (received + dangling / u64::from(NODES)) * 85 / 100
}

/// What was given so far at one superstep.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Round {
    received: Vec<u64>,
    dangling: u64,
    givers: u32,
}

/// The nodes whose number leaves the same remainder when divided by the count of parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    job: Job,
    number: u32,
    step: u64,
    ranks: Vec<u64>,
    /// Whether what its nodes give at this superstep was sent.
    gave: bool,
    hurries: bool,
    /// What came for this superstep, and for those after it.
    rounds: VecDeque<Round>,
}

impl Actor for Part {
    const KIND: &'static str = "part";
    /// What it sends follows from what it gets, in whatever order that comes.
    fn policy() -> Policy {
        Policy { outbox: Outbox::Eager, ..Policy::default() }
    }
}

/// The superstep may begin.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Go {
    step: u64,
}

impl Message for Go {
    const NAME: &'static str = "go";
    type Reply = ();
}

/// What one part's nodes give to each node of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Share {
    step: u64,
    dangling: u64,
    each: Vec<u64>,
}

impl Message for Share {
    const NAME: &'static str = "share";
    type Reply = ();
}

/// Go on without a pause from here on. The reply is the superstep, and the ranks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Hurry;

impl Message for Hurry {
    const NAME: &'static str = "hurry";
    type Reply = (u64, Vec<u64>);
}

impl Part {
    /// Of a job that has not begun.
    pub fn new(job: Job, number: u32) -> Self {
        let ranks = job.nodes(number).map(|_| ONE).collect();
        Self { job, number, step: 0, ranks, gave: false, hurries: false, rounds: VecDeque::new() }
    }

    /// What its nodes give to each part, this one among them.
    fn shares(&self) -> Vec<Share> {
        let (edges, parts) = (self.job.edges(), self.job.parts);
        let degrees = Job::degrees(&edges);
        let rank = |node: u32| self.ranks[(node / parts) as usize];
        let own = || self.job.nodes(self.number);
        let dangling = own().filter(|node| degrees[*node as usize] == 0).map(rank).sum();
        let mut given = vec![0; NODES as usize];
        for (from, to) in edges.iter().filter(|(from, _)| from % parts == self.number) {
            given[*to as usize] += rank(*from) / degrees[*from as usize];
        }
        let each = |to| self.job.nodes(to).map(|node| given[node as usize]).collect();
        (0..parts).map(|to| Share { step: self.step, dangling, each: each(to) }).collect()
    }

    /// Gives, unless that was done.
    ///
    /// # Panics
    /// If its outbox is full: the message that is handled is handled again.
    fn give(&mut self, ctx: &mut Context<Self>) {
        if self.gave || self.step >= self.job.steps {
            return;
        }
        for (to, share) in (0_u32..).zip(self.shares()) {
            let target = self.job.named(to).expect("a short name");
            ctx.send(&target, share).expect("shares are few");
        }
        self.gave = true;
    }

    /// Takes what a part gives. True if it was the last that the superstep waited for.
    fn take(&mut self, share: &Share) -> bool {
        let Some(ahead) = share.step.checked_sub(self.step).filter(|_| share.step < self.job.steps) else {
            return false;
        };
        let ahead = ahead as usize;
        while self.rounds.len() <= ahead {
            self.rounds.push_back(Round { received: vec![0; self.ranks.len()], ..Round::default() });
        }
        let round = &mut self.rounds[ahead];
        round.received.iter_mut().zip(&share.each).for_each(|(sum, given)| *sum += given);
        round.dangling += share.dangling;
        round.givers += 1;
        let Some(whole) = self.rounds.pop_front_if(|round| round.givers == self.job.parts) else {
            return false;
        };
        self.ranks = whole.received.into_iter().map(|sum| next(sum, whole.dangling)).collect();
        self.step += 1;
        self.gave = false;
        true
    }
}

impl Handler<Go> for Part {
    async fn handle(&mut self, Go { step }: Go, ctx: &mut Context<Self>) {
        if step == self.step {
            self.give(ctx);
        }
    }
}

impl Handler<Share> for Part {
    async fn handle(&mut self, share: Share, ctx: &mut Context<Self>) {
        if !self.take(&share) {
            return;
        }
        if self.hurries {
            self.give(ctx);
        } else {
            ctx.schedule_durable(PACE, Go { step: self.step }).expect("one timer at a time");
        }
    }
}

impl Handler<Hurry> for Part {
    async fn handle(&mut self, Hurry: Hurry, ctx: &mut Context<Self>) -> (u64, Vec<u64>) {
        self.hurries = true;
        self.give(ctx);
        (self.step, self.ranks.clone())
    }
}

impl Handler<Panic> for Part {
    async fn handle(&mut self, Panic: Panic, _: &mut Context<Self>) {
        std::panic::resume_unwind(Box::new("as the plan wants it"));
    }
}

/// Lets a part begin, durably. It begins once, however often it is told.
pub async fn begin(peer: &Peer, job: Job, part: u32, deadline: Duration) -> Result<(), String> {
    peer.ask_durable(&job.named(part)?, Go { step: 0 }, deadline).await.map_err(|e| e.to_string())
}

/// Lets a part's handler panic.
pub async fn trip(peer: &Peer, job: Job, part: u32, deadline: Duration) {
    if let Ok(part) = job.named(part) {
        drop(peer.ask_within(&part, Panic, deadline).await);
    }
}

/// The ranks, once all parts are at the end; or as they are when patience has run out.
pub async fn settled(peer: &Peer, job: Job, patience: Duration) -> Result<Vec<u64>, String> {
    let end = Instant::now() + patience;
    let mut ranks = vec![0; NODES as usize];
    // All of them: one that takes its time holds up the others.
    for number in 0..job.parts {
        drop(peer.ask_durable(&job.named(number)?, Hurry, patience / 4).await);
    }
    for number in 0..job.parts {
        loop {
            let asked = peer.ask_durable(&job.named(number)?, Hurry, patience / 4).await;
            match asked {
                Ok((step, part)) if step == job.steps => {
                    job.nodes(number).zip(part).for_each(|(node, rank)| ranks[node as usize] = rank);
                    break;
                }
                stuck if Instant::now() >= end => return Err(format!("{}: {stuck:?}", job.key(number))),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
    Ok(ranks)
}

/// Whether the ranks are those that one process alone comes to.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(job: Job, ranks: &[u64]) -> Result<(), (&'static str, String)> {
    let expected = job.reference();
    match expected.iter().zip(ranks).position(|(expected, found)| expected != found) {
        None if expected.len() == ranks.len() => Ok(()),
        at => {
            let node = at.unwrap_or(ranks.len());
            let (expected, found) = (expected.get(node), ranks.get(node));
            Err(("reliable_messages_are_exact", format!("node {node} has rank {found:?}, not {expected:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parts come to if the share of a number comes so many times.
    fn ranks(job: Job, odd: usize, times: usize) -> Vec<u64> {
        let mut parts: Vec<Part> = (0..job.parts).map(|number| Part::new(job, number)).collect();
        for step in 0..job.steps {
            let shares: Vec<Vec<Share>> = parts.iter().map(Part::shares).collect();
            let count = parts.len();
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                let number = step as usize * count.pow(2) + from * count + to;
                let times = if number == odd { times } else { 1 };
                for _ in 0..times {
                    parts[to].take(&shares[from][to]);
                }
            }
        }
        let rank = |node: u32| parts[(node % job.parts) as usize].ranks[(node / job.parts) as usize];
        (0..NODES).map(rank).collect()
    }

    #[test]
    fn a_share_that_is_lost_or_doubled_is_noticed() {
        for parts in [1, 2, 5] {
            let job = Job { seed: 7, first: 0, parts, steps: 9 };
            assert_eq!(judge(job, &ranks(job, 0, 1)), Ok(()), "{parts} parts");
            assert!(judge(job, &ranks(job, 0, 0)).is_err());
            // The last share of a superstep cannot come twice: it comes too late.
            assert!(parts == 1 || judge(job, &ranks(job, 0, 2)).is_err());
            assert!(judge(job, &[]).is_err());
        }
    }
}
