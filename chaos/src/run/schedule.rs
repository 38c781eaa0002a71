//! The faults of a round, drawn from a seed.

use standin::limits::CERTIFICATE_BACKDATE;
use standin::testing::Prng;

use crate::plan::{Back, Draw, Fault, Who, family};

/// One round: faults, then healing, then the judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// For how long faults strike.
    pub seconds: u64,
    pub clients: u32,
    /// The longest pause of a client.
    pub pause_ms: u64,
    /// Registers, as many ledgers and purses, and one account more.
    pub actors: u32,
    /// Into so many parts a graph is split that is ranked all the while, if into any.
    pub parts: u32,
    /// How many of a hundred actors others stand in for while their home is away.
    pub stand_ins: u64,
    /// Which those are.
    draw: u64,
    /// Milliseconds after the round began, and what happens then.
    pub steps: Vec<(u64, Strike)>,
}

/// A fault: one that the simulation has too, or one that needs real machines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strike {
    Fault(Fault),
    /// Every peer is restarted, one after the other.
    Rolling,
    /// A peer is restarted with another certificate of the same name.
    NewCertificate {
        who: Who,
        away_ms: u64,
    },
    /// A wall clock jumps.
    Jump {
        who: Who,
        seconds: i64,
    },
    /// One link carries little, one way.
    SlowLink {
        from: u32,
        to: u32,
        bytes_per_s: u64,
        for_ms: u64,
    },
}

/// How far off wall clocks get. They count for certificates alone, and those are valid from a day before they were
/// made.
const MOST_JUMP_S: u64 = CERTIFICATE_BACKDATE.as_secs() * 9 / 10;

impl Strike {
    /// Whether a disk is lost by it, or as good as lost for a while.
    pub fn takes_a_disk(&self) -> bool {
        let loses = |back: &Back| matches!(back, Back::Empty | Back::EmptySamePort | Back::Backup);
        match self {
            Self::Fault(Fault::Kill { back, .. }) => loses(back),
            // Who has left does not vote: as with a lost disk, fewer others may be lost.
            Self::Fault(Fault::Usurp { .. } | Fault::Drain { .. }) => true,
            _ => false,
        }
    }
}

const ROLLING: u64 = 100;
const NEW_CERTIFICATE: u64 = 101;
const JUMP: u64 = 102;
const SLOW_LINK: u64 = 103;

/// In every round: how often each comes in a deck of cards.
const ALWAYS: [(u64, usize); 4] =
    [(family::KILL, 6), (family::FREEZE, 2), (family::ISOLATE, 2), (family::SPLIT, 1)];
/// In half of the rounds each, so that none of them hides behind another in all of them.
const SOMETIMES: [(u64, usize); 16] = [
    (family::RING, 1),
    (family::SWIZZLE, 1),
    (family::STORM, 2),
    (family::BAD_LINK, 2),
    (family::POWER_CUT, 1),
    (family::DRIFT, 2),
    (family::BAD_DISK, 2),
    (family::USURP, 2),
    (family::NOISE, 1),
    (ROLLING, 1),
    (NEW_CERTIFICATE, 1),
    (JUMP, 1),
    (SLOW_LINK, 2),
    (family::STOP, 1),
    (family::DRAIN, 2),
    (family::MOVE, 3),
];

fn shuffle<T>(draw: &mut Draw, cards: &mut [T]) {
    for at in (1..cards.len()).rev() {
        cards.swap(at, draw.random.below(at as u64 + 1) as usize);
    }
}

fn strike(draw: &mut Draw, card: u64) -> Strike {
    match card {
        ROLLING => Strike::Rolling,
        NEW_CERTIFICATE => Strike::NewCertificate { who: draw.who(), away_ms: draw.between(0, 500) },
        JUMP => {
            let seconds = draw.between(1, MOST_JUMP_S) as i64;
            Strike::Jump { who: draw.who(), seconds: if draw.random.chance(50) { seconds } else { -seconds } }
        }
        SLOW_LINK => Strike::SlowLink {
            from: draw.random.below(1000) as u32,
            to: draw.random.below(1000) as u32,
            bytes_per_s: draw.between(2_000, 200_000),
            for_ms: draw.between(500, 8_000),
        },
        of => Strike::Fault(draw.fault(of, 1)),
    }
}

impl Round {
    /// The round of this number, in the run of a seed.
    pub fn draw(seed: u64, number: u64, seconds: u64) -> Self {
        let mut draw = Draw::new(seed.rotate_left(20) ^ number);
        let chosen = SOMETIMES.into_iter().filter(|_| draw.random.chance(50));
        let chosen: Vec<_> = ALWAYS.into_iter().chain(chosen).collect();
        let deck: Vec<u64> = chosen.iter().flat_map(|(of, times)| std::iter::repeat_n(*of, *times)).collect();
        // Not so often that nothing ever gets well between.
        let most_gap = *draw.random.pick(&[3_000, 5_000, 8_000]);
        let clients = draw.between(4, 8) as u32;
        let pause_ms = *draw.random.pick(&[20, 100, 400]);
        let actors = draw.between(2, 6) as u32;
        let stand_ins = *draw.random.pick(&[0, 50, 100]);
        let stands_in = draw.random.any();
        let (mut steps, mut cards) = (vec![], vec![]);
        let mut at_ms = draw.between(0, 1_000);
        while at_ms < seconds * 1000 {
            if cards.is_empty() {
                cards.clone_from(&deck);
                shuffle(&mut draw, &mut cards);
            }
            let Some(card) = cards.pop() else { break };
            steps.push((at_ms, strike(&mut draw, card)));
            at_ms += draw.between(50, most_gap);
        }
        let parts = *draw.random.pick(&[0, 2, 5]);
        Self { seconds, clients, pause_ms, actors, parts, stand_ins, draw: stands_in, steps }
    }

    /// After how many milliseconds others stand in for the home of an actor, if ever.
    pub fn stand_in_ms(&self, actor: u32, kind: char) -> Option<u64> {
        let mut random = Prng::new(self.draw ^ (u64::from(actor) << 8) ^ u64::from(kind));
        random.chance(self.stand_ins).then(|| *random.pick(&[0, 0, 300, 2500]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_follows_from_its_seed_and_number() {
        assert_eq!(Round::draw(7, 3, 60), Round::draw(7, 3, 60));
        assert_ne!(Round::draw(7, 3, 60).steps, Round::draw(7, 4, 60).steps);
    }

    #[test]
    fn an_hour_has_kills_replacements_and_partitions_enough() {
        let rounds = (0..24).map(|number| Round::draw(1, number, 120));
        let strikes: Vec<_> = rounds.flat_map(|round| round.steps).map(|(_, strike)| strike).collect();
        let count = |which: fn(&Strike) -> bool| strikes.iter().filter(|strike| which(strike)).count();
        let kills = count(|s| matches!(s, Strike::Fault(Fault::Kill { .. })));
        let empty = count(Strike::takes_a_disk);
        let partitions = count(|s| {
            matches!(s, Strike::Fault(Fault::Isolate { .. } | Fault::Split { .. } | Fault::Ring { .. }))
        });
        assert!(kills > 200 && empty > 130 && partitions > 100, "{kills}, {empty}, {partitions}");
    }
}
