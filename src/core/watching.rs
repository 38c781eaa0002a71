//! What a watcher of an actor is told, from two looks at the directory.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::state::State;
use crate::clock::Mono;
use crate::id::{ActorId, Epoch, Incarnation, NodeId};

/// Something happened to an actor that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// Its life has ended, or it was never created. Nothing more is told of it.
    Stopped,
    /// Its host is away: it runs nowhere for now.
    Recovering,
    /// It begins anew with a checkpoint: what it did since that one is undone.
    Recovered {
        /// Where.
        node: NodeId,
        /// Under which activation.
        epoch: Epoch,
        /// The number of that checkpoint, or of a later one if it has written one since.
        from_seq: u64,
        /// For how long it ran nowhere, at least, as far as this peer knows.
        away: Duration,
    },
    /// Its host was away and is back; it goes on where it was.
    Resumed {
        /// For how long it ran nowhere, at least, as far as this peer knows.
        away: Duration,
    },
    /// It goes on elsewhere, with all that it had done.
    Moved {
        /// Where.
        node: NodeId,
        /// Under which activation.
        epoch: Epoch,
    },
    /// No copy of its checkpoint is left.
    Lost,
    /// It panicked too often, and does not run until it is revived.
    Failed,
}

/// What one look at the directory shows of an actor that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    life: u64,
    epoch: Epoch,
    /// Whether that began with all that the one before had done.
    whole: bool,
    from_seq: u64,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    Runs {
        node: NodeId,
        /// For how long its host's node had been silent, if this activation came with that host.
        silent_ms: u64,
    },
    Away,
    Lost,
    Failed,
}

impl Seen {
    /// A look; none if there is no such actor, or not yet.
    pub fn look(state: &State, id: &ActorId) -> Option<Self> {
        let actor = state.actors.get(id)?;
        let from_seq = actor.checkpoint.as_ref()?.1.seq;
        let host = actor.host.filter(|host| state.is_up(*host)).and_then(|host| state.member_of(host));
        let how = match host {
            _ if actor.lost => How::Lost,
            _ if actor.failed => How::Failed,
            None => How::Away,
            Some((node, m)) => {
                let came_with_it = Incarnation(actor.epoch.0) == m.incarnation;
                How::Runs { node: node.clone(), silent_ms: if came_with_it { m.silent_ms } else { 0 } }
            }
        };
        Some(Self { life: actor.life, epoch: actor.epoch, whole: actor.whole, from_seq, how })
    }
}

/// One actor under the eyes of one watcher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    seen: Option<Seen>,
    /// Since when it is away, as far as this watcher knows.
    #[serde(skip)]
    since: Option<Mono>,
}

impl Watching {
    /// Whether it was ever there.
    pub fn has_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// Compares a look with the one before. The first that shows the actor is no news.
    pub fn step(&mut self, look: Option<Seen>, now: Mono) -> Option<Change> {
        let Some(before) = self.seen.clone() else {
            self.seen = look;
            return None;
        };
        let Some(after) = look.filter(|after| after.life == before.life) else {
            return Some(Change::Stopped);
        };
        let change = match (&before.how, &after.how) {
            (How::Lost, How::Lost) | (How::Failed, How::Failed) | (How::Away, How::Away) => None,
            (_, How::Lost) => Some(Change::Lost),
            (_, How::Failed) => Some(Change::Failed),
            (_, How::Away) => {
                self.since = Some(now);
                Some(Change::Recovering)
            }
            (how, How::Runs { node, silent_ms }) => {
                let (node, epoch) = (node.clone(), after.epoch);
                let away = self.since.map_or(Duration::ZERO, |since| now.since(since));
                let away = away + Duration::from_millis(*silent_ms);
                match how {
                    How::Runs { .. } if before.epoch == epoch => None,
                    _ if before.epoch == epoch => Some(Change::Resumed { away }),
                    _ if after.whole => Some(Change::Moved { node, epoch }),
                    _ => Some(Change::Recovered { node, epoch, from_seq: after.from_seq, away }),
                }
            }
        };
        if !matches!(after.how, How::Away) {
            self.since = None;
        }
        self.seen = Some(after);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(epoch: u64, whole: bool, how: How) -> Option<Seen> {
        Some(Seen { life: 5, epoch: Epoch(epoch), whole, from_seq: 3, how })
    }

    fn runs(node: &str) -> How {
        How::Runs { node: NodeId::new(node).unwrap(), silent_ms: 0 }
    }

    fn told(looks: &[Option<Seen>]) -> Vec<Change> {
        let mut watching = Watching::default();
        let at = |n: u64| Mono(n * 1_000_000_000);
        (0..).zip(looks).filter_map(|(n, look)| watching.step(look.clone(), at(n))).collect()
    }

    #[test]
    fn a_watcher_is_told_what_differs_between_two_looks_and_nothing_twice() {
        let a = NodeId::new("a").unwrap();
        let b = NodeId::new("b").unwrap();
        assert_eq!(told(&[None, seen(5, true, runs("a")), seen(5, true, runs("a"))]), []);
        let away = Duration::from_secs(2);
        assert_eq!(
            told(&[
                seen(5, true, runs("a")),
                seen(5, true, How::Away),
                seen(5, true, How::Away),
                seen(9, false, runs("b"))
            ]),
            [Change::Recovering, Change::Recovered { node: b.clone(), epoch: Epoch(9), from_seq: 3, away }]
        );
        let away = Duration::from_secs(1);
        assert_eq!(
            told(&[seen(5, true, runs("a")), seen(5, true, How::Away), seen(5, true, runs("a"))]),
            [Change::Recovering, Change::Resumed { away }]
        );
        assert_eq!(
            told(&[seen(5, true, runs("a")), seen(8, true, runs("b"))]),
            [Change::Moved { node: b, epoch: Epoch(8) }]
        );
        let away = Duration::from_millis(700);
        let replaced = How::Runs { node: a.clone(), silent_ms: 700 };
        assert_eq!(
            told(&[seen(5, true, runs("a")), seen(8, false, replaced)]),
            [Change::Recovered { node: a, epoch: Epoch(8), from_seq: 3, away }]
        );
        assert_eq!(
            told(&[seen(5, true, runs("a")), seen(5, true, How::Lost), seen(5, true, How::Lost), None]),
            [Change::Lost, Change::Stopped]
        );
        let other_life = seen(9, true, runs("a")).map(|seen| Seen { life: 9, ..seen });
        assert_eq!(told(&[seen(5, true, runs("a")), other_life]), [Change::Stopped]);
    }
}
