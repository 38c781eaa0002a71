//! The sender's half.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::Parcel;
use crate::clock::Mono;
use crate::id::ActorId;
use crate::limits::{
    MAX_BATCHES_UNDER_WAY, MAX_OUTBOX_BYTES, MAX_OUTBOX_MESSAGES, MAX_PARCELS, PARCELS_BYTES,
};

/// What each message weighs besides its payload, about.
const PARCEL_OVERHEAD_BYTES: usize = 64;

/// Messages that wait until a durable checkpoint of their receiver covers them: one lane for each target, and a few
/// batches of each lane under way at a time. The receiver takes them in order; when one comes to nothing, all after it
/// do, and they are brought again from the first (Go-Back-N).
///
/// Each carries a stamp: how far the sender's own checkpoints must reach before it may leave. Stamps are not
/// saved: what a checkpoint holds may leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The newest number given out.
    newest: u64,
    lanes: BTreeMap<ActorId, Lane>,
    #[serde(skip)]
    messages: usize,
    #[serde(skip)]
    bytes: usize,
    /// Lanes that may have something to do.
    #[serde(skip)]
    stirred: BTreeSet<ActorId>,
    /// Lanes that wait before they try again.
    #[serde(skip)]
    resting: BTreeSet<(Mono, ActorId)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lane {
    /// Tells it from another lane to the same target, before or after: the number of its first message.
    #[serde(skip)]
    id: u64,
    /// The target's life; none until it is known.
    life: Option<u64>,
    waiting: VecDeque<Kept>,
    #[serde(skip)]
    bound_at: u64,
    /// Jobs under way.
    #[serde(skip)]
    jobs: usize,
    /// Whether they are all there may be: a question, or messages whose replies are wanted.
    #[serde(skip)]
    alone: bool,
    /// Messages up to this one are under way.
    #[serde(skip)]
    sent: u64,
    /// A job came to nothing: for how long to wait when all others have ended too.
    #[serde(skip)]
    broken: Option<Duration>,
    /// Until it is woken nothing of it leaves.
    #[serde(skip)]
    is_resting: bool,
    #[serde(skip)]
    failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    parcel: Parcel,
    #[serde(skip)]
    stamp: u64,
}

impl Kept {
    fn weight(&self) -> usize {
        self.parcel.payload.len() + self.parcel.message.len() + PARCEL_OVERHEAD_BYTES
    }
}

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub struct Content<'a> {
    /// Its name.
    pub name: &'a str,
    /// It, encoded.
    pub payload: Vec<u8>,
    /// Whether the reply is wanted.
    pub is_ask: bool,
}

/// Messages of one lane that may leave now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// To whom.
    pub to: ActorId,
    /// Of which lane: to be given back with what became of the job.
    pub lane: u64,
    /// In which of its lives.
    pub life: u64,
    /// In order.
    pub items: Vec<Parcel>,
}

/// Something to do for an outbox. Each is answered, by [`Outbox::delivered`] and its like or [`Outbox::bind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Bring these.
    Deliver(Batch),
    /// Find out which life the target is in.
    Resolve {
        /// Whose.
        to: ActorId,
        /// For which lane: to be given back with the answer.
        lane: u64,
    },
}

impl Outbox {
    /// An outbox as a checkpoint held it.
    #[must_use]
    pub fn restored(mut self) -> Self {
        self.stirred = self.lanes.keys().cloned().collect();
        for lane in self.lanes.values_mut() {
            lane.id = lane.waiting.front().map_or(0, |kept| kept.parcel.seq);
        }
        let kept = || self.lanes.values().flat_map(|lane| &lane.waiting);
        (self.messages, self.bytes) = (kept().count(), kept().map(Kept::weight).sum());
        self
    }

    /// An outbox whose next message has a given number.
    pub fn beginning_at(seq: u64) -> Self {
        Self { newest: seq.saturating_sub(1), ..Self::default() }
    }

    /// Adds a message, which may leave once the sender's checkpoints reach `stamp`; its number, or none if there is
    /// no room.
    pub fn push(
        &mut self,
        to: &ActorId,
        life: impl FnOnce() -> Option<u64>,
        message: Content<'_>,
        stamp: u64,
    ) -> Option<u64> {
        if self.messages >= MAX_OUTBOX_MESSAGES || self.bytes >= MAX_OUTBOX_BYTES {
            return None;
        }
        let lane = match self.lanes.get_mut(to) {
            Some(lane) => lane,
            None => {
                let id = self.newest.saturating_add(1);
                let lane = Lane { id, life: life(), bound_at: stamp, ..Lane::default() };
                self.lanes.entry(to.clone()).or_insert(lane)
            }
        };
        self.newest = self.newest.saturating_add(1);
        let seq = self.newest;
        // An empty lane is dropped: all that went before is durable at the target.
        let after = lane.waiting.back().map_or(0, |last| last.parcel.seq);
        let Content { name, payload, is_ask } = message;
        let parcel = Parcel { seq, after, message: name.to_owned(), payload: ByteBuf::from(payload), is_ask };
        let kept = Kept { parcel, stamp };
        self.messages += 1;
        self.bytes += kept.weight();
        lane.waiting.push_back(kept);
        if !self.stirred.contains(to) {
            self.stirred.insert(to.clone());
        }
        Some(seq)
    }

    /// What may be done now, given how far the sender's checkpoints reach.
    pub fn next(&mut self, durable: u64) -> Option<Job> {
        let mut idle = Vec::new();
        let mut found = None;
        for to in &self.stirred {
            let Some(lane) = self.lanes.get_mut(to).filter(|lane| lane.may_begin()) else {
                idle.push(to.clone());
                continue;
            };
            found = lane.begin(to, durable);
            if found.is_some() {
                break;
            }
        }
        for to in idle {
            self.stirred.remove(&to);
        }
        found
    }

    /// A target's life became known: messages leave once the sender's checkpoints hold that, at `stamp`.
    pub fn bind(&mut self, to: &ActorId, id: u64, life: u64, stamp: u64, now: Mono) {
        if let Some(lane) = self.lane(to, id).filter(|lane| lane.life.is_none()) {
            (lane.life, lane.bound_at) = (Some(life), stamp);
        }
        self.ended(to, id, now);
    }

    /// A batch is durable at its target, up to this message.
    pub fn delivered(&mut self, to: &ActorId, id: u64, up_to: u64, now: Mono) {
        let Some(lane) = self.lanes.get_mut(to).filter(|lane| lane.id == id) else { return };
        lane.failures = 0;
        while let Some(kept) = lane.waiting.pop_front_if(|kept| kept.parcel.seq <= up_to) {
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(kept.weight());
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(to);
        } else {
            self.ended(to, id, now);
        }
    }

    /// A job came to nothing: it is tried again after a wait that `pause` draws from the failures in a row.
    pub fn failed(&mut self, to: &ActorId, id: u64, now: Mono, pause: impl FnOnce(u32) -> Duration) {
        let Some(lane) = self.lane(to, id) else { return };
        if lane.broken.is_none() {
            lane.broken = Some(pause(lane.failures));
            lane.failures = lane.failures.saturating_add(1);
        }
        self.ended(to, id, now);
    }

    /// The target's life is over, or it never began: how many messages it did not confirm, if nobody was told yet.
    pub fn over(&mut self, to: &ActorId, id: u64) -> u64 {
        if self.lane(to, id).is_none() {
            return 0;
        }
        let Some(lane) = self.lanes.remove(to) else { return 0 };
        self.messages = self.messages.saturating_sub(lane.waiting.len());
        let weight: usize = lane.waiting.iter().map(Kept::weight).sum();
        self.bytes = self.bytes.saturating_sub(weight);
        lane.waiting.len() as u64
    }

    /// Ends the rests that are over.
    pub fn wake(&mut self, now: Mono) {
        while self.resting.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, to)) = self.resting.pop_first() else { return };
            if let Some(lane) = self.lanes.get_mut(&to) {
                lane.is_resting = false;
                self.stirred.insert(to);
            }
        }
    }

    /// When the next rest ends.
    pub fn wakes_at(&self) -> Option<Mono> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// Whether so much waits that the sender should take in nothing more for now.
    pub fn is_heavy(&self) -> bool {
        self.messages >= MAX_OUTBOX_MESSAGES / 2 || self.bytes >= MAX_OUTBOX_BYTES / 2
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// The newest number given out.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    fn lane(&mut self, to: &ActorId, id: u64) -> Option<&mut Lane> {
        self.lanes.get_mut(to).filter(|lane| lane.id == id)
    }

    /// One job of a lane has ended.
    fn ended(&mut self, to: &ActorId, id: u64, now: Mono) {
        let Some(lane) = self.lanes.get_mut(to).filter(|lane| lane.id == id) else { return };
        lane.jobs = lane.jobs.saturating_sub(1);
        if lane.jobs == 0 {
            lane.alone = false;
        }
        match lane.broken {
            None => drop(self.stirred.insert(to.clone())),
            Some(pause) if lane.jobs == 0 => {
                // All that was under way is brought again.
                (lane.broken, lane.sent) = (None, 0);
                lane.is_resting = true;
                self.resting.insert((now + pause, to.clone()));
            }
            Some(_) => {}
        }
    }
}

impl Lane {
    fn may_begin(&self) -> bool {
        let has_more =
            self.life.is_none() || self.waiting.back().is_some_and(|kept| kept.parcel.seq > self.sent);
        has_more
            && self.jobs < MAX_BATCHES_UNDER_WAY
            && !self.alone
            && self.broken.is_none()
            && !self.is_resting
    }

    fn begin(&mut self, to: &ActorId, durable: u64) -> Option<Job> {
        let Some(life) = self.life else {
            self.alone = true;
            self.jobs += 1;
            return Some(Job::Resolve { to: to.clone(), lane: self.id });
        };
        let items = if self.bound_at <= durable { self.batch(durable) } else { vec![] };
        // Replies come with the receipt of their batch: no other receipt may overtake that.
        let alone = items.iter().any(|parcel| parcel.is_ask);
        let last = items.last()?.seq;
        if alone && self.jobs > 0 {
            return None;
        }
        (self.sent, self.alone) = (last, alone);
        self.jobs += 1;
        Some(Job::Deliver(Batch { to: to.clone(), lane: self.id, life, items }))
    }

    /// The next messages that may leave and are not under way.
    fn batch(&self, durable: u64) -> Vec<Parcel> {
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            let fits = bytes == 0 || bytes + kept.weight() <= PARCELS_BYTES;
            bytes += kept.weight();
            fits
        };
        let first = self.waiting.partition_point(|kept| kept.parcel.seq <= self.sent);
        let ready = self.waiting.iter().skip(first).take_while(|kept| kept.stamp <= durable);
        ready.take(MAX_PARCELS).take_while(fits).map(|kept| kept.parcel.clone()).collect()
    }
}
