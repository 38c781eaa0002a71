//! What was applied, for tests to compare and to judge.

use openraft::EntryPayload;

use super::codec::encode;
use super::types::Entry;
use crate::core::command::Command;
use crate::core::state::State;
use crate::id::{ActorId, Epoch, Incarnation, RaftId};

/// One applied entry.
pub(crate) struct Step {
    pub(crate) index: u64,
    pub(crate) digest: [u8; 32],
    /// Actors of which it made a checkpoint count that is on fewer disks than it needed.
    pub(crate) thin: Vec<ActorId>,
    /// Who may have leases again because of it.
    pub(crate) up: Option<Incarnation>,
}

/// One entry that is about to be applied.
pub(super) struct Next {
    index: u64,
    digest: [u8; 32],
    commits: Vec<Wanted>,
    marked_up: Option<Incarnation>,
}

/// A checkpoint that is to count.
struct Wanted {
    actor: ActorId,
    number: (Epoch, u64),
    /// On how many disks beside this one.
    least: usize,
    own_disk: RaftId,
}

impl Next {
    pub(super) fn new(entry: &Entry, before: &State) -> Self {
        let digest = *blake3::hash(&encode(entry).unwrap_or_default()).as_bytes();
        let command = match &entry.payload {
            EntryPayload::Normal(proposal) => Some(&**proposal),
            _ => None,
        };
        let commits = command.map(|command| wanted(command, before)).unwrap_or_default();
        let marked_up = match command {
            Some(Command::MarkUp { incarnation, .. }) => Some(*incarnation),
            _ => None,
        };
        let marked_up = marked_up.filter(|life| before.member_of(*life).is_some() && !before.is_up(*life));
        Self { index: entry.log_id.index, digest, commits, marked_up }
    }

    pub(super) fn done(self, after: &State) -> Step {
        let thin = self.commits.into_iter().filter(|c| c.is_thin(after)).map(|c| c.actor).collect();
        let up = self.marked_up.filter(|life| after.is_up(*life));
        Step { index: self.index, digest: self.digest, thin, up }
    }
}

fn wanted(command: &Command, before: &State) -> Vec<Wanted> {
    let Command::Commit { by, items } = command else { return vec![] };
    let Some((_, host)) = before.member_of(*by) else { return vec![] };
    let elsewhere = u8::from(before.members.len() > 1);
    let counts = |actor: &ActorId, number| {
        let line = before.actors.get(actor).and_then(|a| a.checkpoint);
        line.is_some_and(|(epoch, c)| (epoch, c.seq) == number)
    };
    let items = items.iter().map(|item| (item, (item.epoch, item.checkpoint.seq)));
    let new = items.filter(|(item, number)| !counts(&item.actor, *number));
    new.map(|(item, number)| Wanted {
        actor: item.actor.clone(),
        number,
        least: usize::from(item.required.max(elsewhere.min(item.checkpoint.copies))),
        own_disk: host.raft_id,
    })
    .collect()
}

impl Wanted {
    fn is_thin(&self, after: &State) -> bool {
        let line = after.actors.get(&self.actor).and_then(|a| a.checkpoint);
        line.is_some_and(|(epoch, c)| {
            let others = c.holders.iter().filter(|disk| *disk != self.own_disk).count();
            (epoch, c.seq) == self.number && others < self.least
        })
    }
}
