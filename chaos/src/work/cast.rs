//! The actors of a run: made, moved, asked at the end, and ended.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef};
use standin::id::NodeId;
use standin::{CallError, CreateOptions, Peer, Reason};
use std::ops::Range;
use std::time::Duration;

use super::bank::{self, Account, Transfer};
use super::judge::Found;
use super::kinds::{Ledger, Register, entries};
use super::names;
use super::purse::{self, Purse};
use super::ranks::{self, Job, Part};

/// The actors of a run. The clients' have these numbers; of accounts there is one more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    pub actors: Range<u32>,
    /// The graph that is ranked all the while, if there is one.
    pub job: Option<Job>,
}

/// One of a run's actors, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Member {
    Register(u32),
    Ledger(u32),
    Purse(u32),
    Account(u32),
    Part(Job, u32),
}

fn named<A: Actor>(key: &str) -> Result<ActorRef<A>, CallError> {
    ActorRef::new(key).map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))
}

async fn make<A: Actor>(peer: &Peer, key: String, state: A, home: CreateOptions) -> Result<(), CallError> {
    peer.create_if_absent(key, state, home).await.map(drop)
}

/// It may have been asked for before, and the answer lost.
async fn end<A: Actor>(peer: &Peer, key: &str) -> Result<(), CallError> {
    match peer.stop(&named::<A>(key)?).await {
        Err(e) if e.reason == Reason::NoSuchActor => Ok(()),
        ended => ended,
    }
}

impl Member {
    /// Its name among the actors of its kind; no two kinds have the same.
    pub fn key(self) -> String {
        match self {
            Self::Register(number) => format!("r{number}"),
            Self::Ledger(number) => format!("l{number}"),
            Self::Purse(number) => purse::key(number),
            Self::Account(number) => bank::key(number),
            Self::Part(job, number) => job.key(number),
        }
    }

    /// Creates it, unless it is there.
    pub async fn create(self, peer: &Peer, home: CreateOptions) -> Result<(), CallError> {
        let key = self.key();
        match self {
            Self::Register(_) => make(peer, key, Register::default(), home).await,
            Self::Ledger(_) => make(peer, key, Ledger::default(), home).await,
            Self::Purse(_) => make(peer, key, Purse::default(), home).await,
            Self::Account(_) => make(peer, key, Account::default(), home).await,
            Self::Part(job, number) => make(peer, key, Part::new(job, number), home).await,
        }
    }

    async fn stop(self, peer: &Peer) -> Result<(), CallError> {
        let key = self.key();
        match self {
            Self::Register(_) => end::<Register>(peer, &key).await,
            Self::Ledger(_) => end::<Ledger>(peer, &key).await,
            Self::Purse(_) => end::<Purse>(peer, &key).await,
            Self::Account(_) => end::<Account>(peer, &key).await,
            Self::Part(..) => end::<Part>(peer, &key).await,
        }
    }
}

/// The register and the purse of a number go on at another node. Whoever does not, says why.
pub async fn move_to(peer: &Peer, actor: u32, node: &NodeId) -> Result<(), CallError> {
    let register = named::<Register>(&Member::Register(actor).key())?;
    let purse = named::<Purse>(&Member::Purse(actor).key())?;
    let (one, other) = tokio::join!(peer.move_to(&register, node), peer.move_to(&purse, node));
    one.and(other)
}

impl Cast {
    /// The numbers of the accounts.
    pub fn accounts(&self) -> Range<u32> {
        self.actors.start..self.actors.end + 1
    }

    /// All of them.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let used =
            self.actors.clone().flat_map(|n| [Member::Register(n), Member::Ledger(n), Member::Purse(n)]);
        let parts = self.job.into_iter().flat_map(|job| (0..job.parts).map(move |n| Member::Part(job, n)));
        used.chain(self.accounts().map(Member::Account)).chain(parts)
    }

    /// Lets the ranking begin.
    pub async fn begin(&self, peer: &Peer, patience: Duration) -> Result<(), String> {
        for (job, part) in self.job.into_iter().flat_map(|job| (0..job.parts).map(move |n| (job, n))) {
            ranks::begin(peer, job, part, patience).await?;
        }
        Ok(())
    }

    /// Does what the clients left undone, and asks everybody what is there then.
    pub async fn found(
        &self,
        peer: &Peer,
        transfers: &mut [Transfer],
        patience: Duration,
    ) -> Result<Found, String> {
        let mut found = Found::default();
        for actor in self.actors.clone() {
            let key = Member::Ledger(actor).key();
            let asked = entries(peer, &key, patience).await;
            found.ledgers.insert(actor, asked.map_err(|e| format!("{key}: {e}"))?);
        }
        bank::settle(transfers, peer, patience).await?;
        found.accounts = bank::statements(peer, self.accounts(), patience).await?;
        found.purses = purse::settled(peer, self.actors.clone(), patience).await?;
        if let Some(job) = self.job {
            found.ranks = Some((job, ranks::settled(peer, job, patience).await?));
        }
        Ok(found)
    }

    /// Ends all of them, and the names of all generations before this one.
    pub async fn end(&self, peer: &Peer, generations: u64) -> Result<(), CallError> {
        for member in self.members() {
            member.stop(peer).await?;
        }
        for (actor, generation) in self.actors.clone().flat_map(|n| (0..generations).map(move |g| (n, g))) {
            end::<names::Name>(peer, &names::key(actor, generation)).await?;
        }
        Ok(())
    }
}
