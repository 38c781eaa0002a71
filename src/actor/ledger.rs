//! The books of one activation: which messages which checkpoint holds, when the next is due, and
//! who waits for one. No I/O and no clock: the loop passes the time in.

use std::collections::VecDeque;

use super::policy::When;
use super::reply::Withheld;
use super::restarts::back_off;
use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::error::CallError;
use crate::limits::{CHECKPOINT_RETRY, GATHER_ROUTINE_SAVES};

/// Messages are numbered from 1 in the order they were handled; a checkpoint holds all up to one.
pub(super) struct Ledger {
    when: When,
    handled: u64,
    /// Up to which message the newest checkpoint taken, and the newest durable one, reach.
    taken: u64,
    durable: u64,
    /// Up to which message somebody asked for durability, and by when.
    wanted: u64,
    wanted_at: Mono,
    /// The newest message that had to do with reliable ones.
    reliable: u64,
    /// Messages since the newest checkpoint was taken: of the actor's own, less what is only bookkeeping.
    since_taken: u64,
    /// The numbers of the newest checkpoint taken, and of the newest durable one.
    seq: u64,
    durable_seq: u64,
    in_flight: bool,
    /// When the first message came that `taken` does not reach. Kept for [`When::Every`] alone.
    changed_at: Option<Mono>,
    retry_at: Option<Mono>,
    failures: u32,
    waiting: VecDeque<(u64, Box<dyn Withheld>)>,
}

impl Ledger {
    /// The books of an activation that begins with checkpoint `seq`.
    pub(super) fn new(when: When, seq: u64) -> Self {
        Self {
            when,
            handled: 0,
            taken: 0,
            durable: 0,
            wanted: 0,
            wanted_at: Mono(0),
            reliable: 0,
            since_taken: 0,
            seq,
            durable_seq: seq,
            in_flight: false,
            changed_at: None,
            retry_at: None,
            failures: 0,
            waiting: VecDeque::new(),
        }
    }

    /// A message was handled; whether that may have changed when a checkpoint is due. `now` is asked for only if it
    /// matters.
    #[inline]
    pub(super) fn handled(&mut self, now: impl FnOnce() -> Mono) -> bool {
        let is_first = self.handled == self.taken || self.changed_at.is_none();
        self.since_taken = self.since_taken.saturating_add(1);
        self.changed(now);
        match self.when {
            When::Every(_) => is_first,
            When::EveryMessages(n) => self.since_taken >= n || self.retry_at.is_some(),
            When::OnRequest => self.handled == self.taken.saturating_add(1),
            When::Never => false,
        }
    }

    /// Something that a checkpoint holds has changed.
    pub(super) fn changed(&mut self, now: impl FnOnce() -> Mono) {
        self.handled = self.handled.saturating_add(1);
        if matches!(self.when, When::Every(_)) && self.changed_at.is_none() {
            self.changed_at = Some(now());
        }
    }

    /// The last message asked for a checkpoint.
    pub(super) fn want(&mut self) {
        self.want_by(Mono(0));
    }

    /// The last message asked for a checkpoint by then.
    pub(super) fn want_by(&mut self, at: Mono) {
        if self.wanted <= self.taken || at < self.wanted_at {
            self.wanted_at = at;
        }
        self.wanted = self.handled;
    }

    /// The last message came, or sent others, reliably.
    pub(super) fn note_reliable(&mut self) {
        self.reliable = self.handled;
    }

    /// Whether a failure could still take back something that came or was sent reliably.
    pub(super) fn is_unsettled(&self) -> bool {
        self.reliable > self.durable
    }

    /// Up to which message the newest durable checkpoint reaches.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The number of the next message.
    pub(super) fn next_number(&self) -> u64 {
        self.handled.saturating_add(1)
    }

    /// The last message's reply waits for a checkpoint, which is wanted by then.
    pub(super) fn withhold(&mut self, reply: Box<dyn Withheld>, by: Mono) {
        self.waiting.push_back((self.handled, reply));
        self.want_by(by);
    }

    /// The last message's reply waits until all that came or was sent reliably up to now is durable: a checkpoint of
    /// that is under way, or wanted.
    pub(super) fn withhold_until_settled(&mut self, reply: Box<dyn Withheld>) {
        self.waiting.push_back((self.reliable, reply));
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the state differs from the newest durable checkpoint.
    pub(super) fn is_dirty(&self) -> bool {
        self.when != When::Never && self.handled > self.durable
    }

    pub(super) fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    pub(super) fn retry_at(&self) -> Option<Mono> {
        self.retry_at
    }

    /// From when on the next checkpoint is to be taken.
    pub(super) fn due_at(&self) -> Option<Mono> {
        if self.in_flight || self.when == When::Never || self.handled == self.taken {
            return None;
        }
        if self.retry_at.is_some() {
            return self.retry_at;
        }
        let wanted = (self.wanted > self.taken).then_some(self.wanted_at);
        let by_policy = match self.when {
            When::EveryMessages(n) => (self.since_taken >= n.max(1)).then_some(Mono(0)),
            When::Every(interval) => self.changed_at.map(|at| at + interval),
            When::OnRequest | When::Never => None,
        };
        wanted.into_iter().chain(by_policy).min()
    }

    /// Whether the next checkpoint is wanted at once: somebody waits for it, or messages are counted, or moments. One
    /// that comes after a long time may as well come a little later.
    pub(super) fn is_urgent(&self) -> bool {
        let may_wait = matches!(self.when, When::Every(interval) if interval >= GATHER_ROUTINE_SAVES * 10);
        !may_wait || self.wanted > self.taken || !self.waiting.is_empty() || self.is_unsettled()
    }

    /// A checkpoint of the state as it is now goes out; its number.
    pub(super) fn take(&mut self) -> u64 {
        self.in_flight = true;
        self.taken = self.handled;
        self.since_taken = 0;
        self.changed_at = None;
        self.retry_at = None;
        self.seq = self.seq.saturating_add(1);
        self.seq
    }

    /// The checkpoint that went out is durable.
    pub(super) fn saved(&mut self) {
        self.in_flight = false;
        self.failures = 0;
        self.durable = self.taken;
        self.durable_seq = self.seq;
    }

    /// The next reply that a durable checkpoint holds.
    pub(super) fn pop_durable(&mut self) -> Option<Box<dyn Withheld>> {
        let durable = if made(Mistake::RepliesReleasedEarly) { self.handled } else { self.durable };
        self.waiting.pop_front_if(|(number, _)| *number <= durable).map(|(_, reply)| reply)
    }

    /// The checkpoint that went out, or was about to, came to nothing. What it held counts as
    /// changed again.
    pub(super) fn failed(&mut self, now: Mono) {
        self.in_flight = false;
        self.since_taken = self.since_taken.saturating_add(self.taken - self.durable);
        self.taken = self.durable;
        self.retry_at = Some(now + back_off(CHECKPOINT_RETRY, self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// Ends every wait.
    pub(super) fn fail_waiting(&mut self, error: &CallError) {
        for (_, reply) in self.waiting.drain(..) {
            reply.fail(error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_checkpoint_is_urgent_unless_only_a_long_time_brings_it() {
        let changed = |when| {
            let mut ledger = Ledger::new(when, 0);
            ledger.handled(|| Mono(1));
            ledger
        };
        let mut ledger = changed(When::Every(Duration::from_secs(1)));
        assert!(!ledger.is_urgent());
        ledger.note_reliable();
        assert!(ledger.is_urgent(), "who sent it waits");
        ledger.take();
        ledger.saved();
        assert!(!ledger.is_urgent());
        ledger.want();
        assert!(!ledger.is_urgent(), "what is wanted is durable already");
        ledger.handled(|| Mono(2));
        ledger.want_by(Mono(9));
        assert!(ledger.is_urgent());
        for when in [When::Every(Duration::from_millis(20)), When::EveryMessages(1), When::OnRequest] {
            assert!(changed(when).is_urgent(), "{when:?}");
        }
    }
}
