//! The directory as one peer keeps it, without a cluster around it: what many actors cost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;

use crate::core::command::{Admit, Checkpoint, Command, Commit, Create, Settings};
use crate::id::{ActorId, ClusterId, Epoch, Incarnation, NodeId, RaftId};
use crate::raft::{Alone, Taken};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The founding is the first entry, and the admissions follow.
const FIRST_ADMISSION: u64 = 2;
/// Copies of a checkpoint besides the one of its host.
const COPIES: u64 = 2;

/// A replicated state, changed by entries of a log.
pub struct Directory {
    alone: Alone,
    members: u64,
    /// Entries that were applied.
    index: u64,
}

/// Entries of the log, ready to be applied.
pub struct Entry(Command, Command);

/// A snapshot, as it goes to another peer.
pub struct Snapshot(Taken);

impl Directory {
    /// One without actors, of so many members.
    ///
    /// # Errors
    /// If a command is refused.
    pub async fn new(members: u64) -> Result<Self, Failure> {
        let mut alone = Alone::new()?;
        let settings = Settings { lease_ms: 1000, max_voters: 15 };
        alone.apply(Command::Found { cluster_id: ClusterId([7; 16]), settings }).await?;
        for n in 0..members {
            let admit = Admit {
                node: NodeId::new(format!("peer-{n}"))?,
                addr: SocketAddr::from(([10, 0, 0, 1], 1)),
                raft_id: (n == 0).then_some(RaftId(0)),
                nonce: u128::from(n),
                kinds: BTreeSet::new(),
                labels: BTreeMap::new(),
                replaces: None,
                term: 1,
                silent_ms: 0,
            };
            alone.apply(Command::Admit(admit)).await?;
        }
        let admitted = alone.read(|state| state.members.len() as u64);
        if admitted != members {
            return Err(format!("{admitted} of {members} members were admitted").into());
        }
        Ok(Self { alone, members, index: 1 + members })
    }

    /// The entries that bring some actors, known by their numbers, into being, with their first checkpoints: two for
    /// all that are at home on one member. They are for the directory as it is after `after` more such pairs.
    ///
    /// # Errors
    /// If a name cannot be one.
    pub fn prepare(&self, numbers: Range<u64>, after: u64) -> Result<Entry, Failure> {
        // A batch belongs to one member, and batches to all in turn.
        let home = numbers.start / (numbers.end - numbers.start).max(1) % self.members;
        let by = Incarnation(FIRST_ADMISSION + home);
        let disk = |n: u64| match n % self.members {
            0 => RaftId(0),
            n => RaftId(FIRST_ADMISSION + n),
        };
        let epoch = Epoch(self.index + 2 * after + 1);
        let (mut creations, mut commits) = (vec![], vec![]);
        for number in numbers {
            let actor = ActorId::new("account", format!("{number:08}"))?;
            let nonce = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            creations.push(Create { actor: actor.clone(), nonce, stand_in_ms: None });
            let mut digest = [0; 32];
            digest[..16].copy_from_slice(&nonce.to_le_bytes());
            digest[16..].copy_from_slice(&(!nonce).to_be_bytes());
            let holders = (0..=COPIES).map(|more| disk(home + more)).collect();
            let checkpoint = Checkpoint { seq: 1, digest, length: 200, copies: COPIES as u8, holders };
            commits.push(Commit { actor, epoch, checkpoint, required: COPIES as u8 });
        }
        Ok(Entry(Command::Create { by, items: creations }, Command::Commit { by, items: commits }))
    }

    /// Applies them.
    ///
    /// # Errors
    /// If the state machine stops.
    pub async fn apply(&mut self, Entry(create, commit): Entry) -> Result<(), Failure> {
        self.alone.apply(create).await?;
        self.alone.apply(commit).await?;
        self.index += 2;
        Ok(())
    }

    /// How many actors there are, and how many of them have a checkpoint.
    pub fn actors(&self) -> (usize, usize) {
        self.alone.read(|state| {
            let saved = state.actors.iter().filter(|line| !line.is_unborn());
            (state.actors.len(), saved.count())
        })
    }

    /// Takes a snapshot, and writes it to a disk of memory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        Ok(Snapshot(self.alone.snapshot().await?))
    }

    /// Takes a snapshot over, as a new learner does.
    ///
    /// # Errors
    /// If it is none, or cannot be written.
    pub async fn install(&mut self, Snapshot(taken): Snapshot) -> Result<(), Failure> {
        Ok(self.alone.install(taken).await?)
    }
}

impl Snapshot {
    /// Its length, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_measured_is_a_directory_in_which_every_actor_has_a_checkpoint() {
        let mut one = Directory::new(5).await.unwrap();
        for batch in 0..7 {
            let entry = one.prepare(batch * 10..(batch + 1) * 10, 0).unwrap();
            one.apply(entry).await.unwrap();
        }
        assert_eq!(one.actors(), (70, 70));
        let (mut other, taken) = (Directory::new(5).await.unwrap(), one.snapshot().await.unwrap());
        assert!(taken.bytes() > 70 * 32, "{}", taken.bytes());
        other.install(taken).await.unwrap();
        assert_eq!(other.actors(), (70, 70));
    }
}
