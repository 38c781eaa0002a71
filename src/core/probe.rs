//! Quorum age: how long ago a quorum certainly still followed this leader.
//!
//! The leader sends numbered rounds of probes, each stamped with its send time. A voter answers
//! `(term, n)` only while its vote still is for that term and leader, and the leader asks itself in the
//! same way: its own vote, too, may have moved on before anybody told the lease code. An answer counts
//! for exactly the round it names. So once a round has a quorum, no leader of a later term had been
//! elected when that round was *sent*: whoever is elected shares a voter with that quorum, and that
//! voter answered before it voted anew.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::canary::{Mistake, made};
use crate::clock::Mono;
use crate::id::RaftId;
use crate::limits::MAX_PROBE_ROUNDS;

/// The voters in effect: one set, or two while the configuration is joint.
pub type Voters = Vec<BTreeSet<RaftId>>;

/// Whether `acks` holds a majority of every set of `voters`. No voters, no quorum.
pub fn is_quorum(voters: &[BTreeSet<RaftId>], acks: &BTreeSet<RaftId>) -> bool {
    !voters.is_empty() && voters.iter().all(|set| set.intersection(acks).count() * 2 > set.len())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Round {
    n: u64,
    sent: Mono,
    acks: BTreeSet<RaftId>,
}

/// The probe rounds of one process. Numbers are never used twice, not even when a term is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Probes {
    term: u64,
    last: u64,
    rounds: VecDeque<Round>,
    confirmed: Option<Mono>,
}

impl Probes {
    /// Forgets all earlier rounds: from here on they are of `term`.
    pub fn start_term(&mut self, term: u64) {
        self.term = term;
        self.rounds.clear();
        self.confirmed = None;
    }

    /// Opens a round sent at `now` and returns its number.
    pub fn start_round(&mut self, now: Mono) -> u64 {
        self.last += 1;
        self.rounds.push_back(Round { n: self.last, sent: now, acks: BTreeSet::new() });
        if self.rounds.len() > MAX_PROBE_ROUNDS {
            self.rounds.pop_front();
        }
        self.last
    }

    /// Credits an answer to the round that it names, and to no other. Returns true if that round now
    /// has a quorum and is the newest that has.
    pub fn ack(&mut self, from: RaftId, term: u64, n: u64, voters: &[BTreeSet<RaftId>]) -> bool {
        if term != self.term {
            return false;
        }
        let newest = || self.rounds.back().map(|round| round.n);
        let n = if made(Mistake::AnswerCreditedToNewerProbe) { newest().unwrap_or(n) } else { n };
        let Some(round) = self.rounds.iter_mut().find(|round| round.n == n) else { return false };
        round.acks.insert(from);
        if !is_quorum(voters, &round.acks) {
            return false;
        }
        self.confirmed = self.confirmed.max(Some(round.sent));
        self.rounds.retain(|round| round.n > n);
        true
    }

    /// When the newest round that a quorum answered was sent.
    pub fn confirmed(&self) -> Option<Mono> {
        self.confirmed
    }

    /// Takes somebody else's word for when a quorum followed, instead of answers to its own rounds.
    #[cfg(feature = "canary")]
    pub fn trust(&mut self, sent: Option<Mono>) {
        self.confirmed = sent;
    }

    /// How long ago a quorum certainly still followed this leader: `None` if no round of this term
    /// was answered yet. Zero for a lone voter, without whose vote nobody else is elected.
    pub fn age(&self, own: RaftId, voters: &[BTreeSet<RaftId>], now: Mono) -> Option<Duration> {
        if is_lone(own, voters) {
            return Some(Duration::ZERO);
        }
        self.confirmed.map(|sent| now.since(sent))
    }
}

/// Whether `own` is the only voter there is.
pub fn is_lone(own: RaftId, voters: &[BTreeSet<RaftId>]) -> bool {
    !voters.is_empty() && voters.iter().all(|set| set.len() == 1 && set.contains(&own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: RaftId = RaftId(1);

    fn set(ids: &[u64]) -> BTreeSet<RaftId> {
        ids.iter().copied().map(RaftId).collect()
    }

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    fn leading(term: u64) -> Probes {
        let mut probes = Probes::default();
        probes.start_term(term);
        probes
    }

    #[test]
    fn age_counts_from_the_send_time_of_the_newest_round_with_a_quorum() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3])]);
        let first = probes.start_round(at(100));
        assert!(!probes.ack(ME, 3, first, &voters));
        assert_eq!(probes.age(ME, &voters, at(120)), None);
        assert!(probes.ack(RaftId(2), 3, first, &voters));
        assert_eq!(probes.age(ME, &voters, at(150)), ms(50));
        probes.start_round(at(200));
        assert_eq!(probes.age(ME, &voters, at(260)), ms(160), "an unanswered round changes nothing");
    }

    #[test]
    fn an_answer_counts_for_its_own_round_only() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3])]);
        let old = probes.start_round(at(100));
        let new = probes.start_round(at(900));
        probes.ack(ME, 3, new, &voters);
        probes.ack(ME, 3, old, &voters);
        assert!(probes.ack(RaftId(2), 3, old, &voters));
        assert_eq!(probes.age(ME, &voters, at(950)), ms(850));
    }

    #[test]
    fn answers_of_other_terms_rounds_and_strangers_count_for_nothing() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3])]);
        let n = probes.start_round(at(100));
        probes.ack(ME, 3, n, &voters);
        assert!(!probes.ack(RaftId(2), 2, n, &voters), "an older term");
        assert!(!probes.ack(RaftId(2), 4, n, &voters), "a newer term");
        assert!(!probes.ack(RaftId(2), 3, n + 1, &voters), "a round never sent");
        assert!(!probes.ack(RaftId(9), 3, n, &voters), "not a voter");
        assert!(!probes.ack(ME, 3, n, &voters), "the same voter twice");
        assert_eq!(probes.age(ME, &voters, at(150)), None);
    }

    #[test]
    fn round_numbers_go_on_when_a_term_is_announced_twice() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3])]);
        let before = probes.start_round(at(100));
        probes.start_term(3);
        let after = probes.start_round(at(900));
        probes.ack(ME, 3, after, &voters);
        assert!(!probes.ack(RaftId(2), 3, before, &voters));
        assert_eq!(probes.age(ME, &voters, at(950)), None);
    }

    #[test]
    fn a_joint_configuration_needs_a_quorum_of_both_sets() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3]), set(&[1, 4, 5])]);
        let n = probes.start_round(at(0));
        assert!(!probes.ack(ME, 3, n, &voters));
        assert!(!probes.ack(RaftId(2), 3, n, &voters));
        assert!(!probes.ack(RaftId(3), 3, n, &voters));
        assert!(probes.ack(RaftId(4), 3, n, &voters));
    }

    #[test]
    fn a_leader_that_is_no_voter_does_not_count_itself() {
        let (mut probes, voters) = (leading(3), vec![set(&[2, 3])]);
        let n = probes.start_round(at(0));
        assert!(!probes.ack(ME, 3, n, &voters));
        assert!(!probes.ack(RaftId(2), 3, n, &voters));
        assert!(probes.ack(RaftId(3), 3, n, &voters));
    }

    #[test]
    fn a_lone_voter_is_always_current_and_an_empty_configuration_never() {
        let probes = leading(1);
        assert_eq!(probes.age(ME, &[set(&[1])], at(5)), ms(0));
        assert_eq!(probes.age(ME, &[set(&[2])], at(5)), None);
        assert_eq!(probes.age(ME, &[set(&[1]), set(&[1, 2])], at(5)), None);
        assert_eq!(probes.age(ME, &[], at(5)), None);
        assert!(!is_quorum(&[], &set(&[1])));
        assert!(!is_quorum(&[set(&[])], &set(&[1])));
    }

    #[test]
    fn unanswered_rounds_are_bounded() {
        let (mut probes, voters) = (leading(3), vec![set(&[1, 2, 3])]);
        let first = probes.start_round(at(0));
        for ms in 1..=MAX_PROBE_ROUNDS as u64 {
            probes.start_round(at(ms));
        }
        assert_eq!(probes.rounds.len(), MAX_PROBE_ROUNDS);
        assert!(!probes.ack(ME, 3, first, &voters));
        assert!(!probes.ack(RaftId(2), 3, first, &voters), "the oldest was forgotten");
    }
}
