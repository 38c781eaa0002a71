//! The directory as users see it: creating, finding and ending actors.

use bytes::Bytes;
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::Peer;
use super::propose::Undecided;
use super::shared::Shared;
use crate::actor::{Actor, ActorRef, Down, SaveError, encode_state};
use crate::checkpoint::Content;
use crate::core::command::{Command, Create, Refused, Response};
use crate::core::placement;
use crate::core::state::State;
use crate::error::{CallError, Reason};
use crate::id::{ActorId, Epoch, NodeId};
use crate::limits::{CREATE_DEADLINE, DEFAULT_CALL_DEADLINE};
use crate::transport::{Lane, RequestError};
use crate::wire::{Answer, NewActor, Request};

/// Where a new actor is to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// On the peer that creates it.
    Here,
    /// On this node.
    On(NodeId),
    /// On a living node that hosts its kind, chosen by its name, so that many spread evenly.
    Spread,
}

/// How an actor is created. A [`Placement`] alone will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Where it is to live.
    pub placement: Placement,
    /// What becomes of it while its home is away; none for what its kind's policy says.
    pub down: Option<Down>,
}

impl From<Placement> for CreateOptions {
    fn from(placement: Placement) -> Self {
        Self { placement, down: None }
    }
}

impl Placement {
    /// Also says what becomes of the actor while its home is away.
    pub fn down(self, down: Down) -> CreateOptions {
        CreateOptions { placement: self, down: Some(down) }
    }
}

impl Peer {
    /// Brings an actor into being. When this returns, its first checkpoint is durable on other peers.
    ///
    /// If its home dies on the way, it is asked for again: one that had come into being and was
    /// [stopped](Peer::stop) by another call at once may then come into being a second time.
    ///
    /// # Errors
    /// [`Reason::AlreadyExists`] if there is one of that name, or another call creates it first;
    /// [`Reason::Stopped`] if another call stops it before its first checkpoint; others as [`CallError`] says.
    pub async fn create<A: Actor>(
        &self,
        key: impl AsRef<str>,
        state: A,
        options: impl Into<CreateOptions>,
    ) -> Result<ActorRef<A>, CallError> {
        let CreateOptions { placement, down } = options.into();
        let policy = A::policy();
        let name = ActorRef::<A>::new(key)
            .map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))?;
        let state =
            encode_state(&state).map_err(|e| CallError::not_executed(Reason::Codec(e.to_string())))?;
        let order = NewActor {
            actor: name.id().clone(),
            nonce: fresh_nonce()?,
            copies: policy.copies,
            stand_in_ms: down.unwrap_or(policy.down).stand_in_ms(),
            state: ByteBuf::from(state),
            kind_version: A::VERSION,
        };
        self.shared.create(order, placement).await?;
        Ok(name)
    }

    /// Like [`Peer::create`], but an actor that exists already is as good as a new one.
    ///
    /// # Errors
    /// As [`Peer::create`], less [`Reason::AlreadyExists`].
    pub async fn create_if_absent<A: Actor>(
        &self,
        key: impl AsRef<str>,
        state: A,
        options: impl Into<CreateOptions>,
    ) -> Result<ActorRef<A>, CallError> {
        let key = key.as_ref();
        match self.create(key, state, options).await {
            Err(e) if e.reason == Reason::AlreadyExists => {
                ActorRef::new(key).map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))
            }
            created => created,
        }
    }

    /// Ends an actor, wherever it is. Its state is dropped; messages that wait are not executed. When this returns
    /// it runs nowhere, and its name is free: its host has confirmed that, or holds no lease any more.
    ///
    /// # Errors
    /// [`Reason::NoSuchActor`]; or that the cluster could not decide in time, or its host neither confirmed it nor
    /// lost its lease by then: it ends a little later. Trying again is safe.
    pub async fn stop<A: Actor>(&self, actor: &ActorRef<A>) -> Result<(), CallError> {
        let end = Instant::now() + DEFAULT_CALL_DEADLINE;
        // First: the life that this peer knows of may be over, and the name given to another by now.
        self.shared.catch_up(end).await.map_err(undecided_read)?;
        let life = self.shared.state(|s| s.actors.line(actor.id()).map(|a| a.life)).flatten();
        let life = life.ok_or(CallError::not_executed(Reason::NoSuchActor))?;
        let command = Command::Stop { actor: actor.id().clone(), life, by: None };
        let left = end.saturating_duration_since(Instant::now());
        match self.shared.propose(command, left).await.map_err(undecided)? {
            // It has ended since this call began: by this very request, if an answer was lost, or by another one.
            Response::Refused(Refused::NoSuchActor) => Ok(()),
            _ => self.shared.ended(actor.id(), life, end).await,
        }
    }
}

impl Peer {
    /// Lets an actor run again that panicked as often as its [policy](crate::actor::Policy::max_restarts) allows. It
    /// begins with its newest checkpoint. One that has not failed is left alone.
    ///
    /// # Errors
    /// [`Reason::NoSuchActor`], or that the cluster could not decide in time. Trying again is safe.
    pub async fn revive<A: Actor>(&self, actor: &ActorRef<A>) -> Result<(), CallError> {
        let end = Instant::now() + DEFAULT_CALL_DEADLINE;
        self.shared.catch_up(end).await.map_err(undecided_read)?;
        let life = self.shared.life_of(actor.id()).ok_or(CallError::not_executed(Reason::NoSuchActor))?;
        let command = Command::Revive { actor: actor.id().clone(), life };
        let left = end.saturating_duration_since(Instant::now());
        match self.shared.propose(command, left).await.map_err(undecided)? {
            Response::Refused(_) => Err(CallError::not_executed(Reason::NoSuchActor)),
            _ => Ok(()),
        }
    }
}

/// A number that no other call draws.
pub(super) fn fresh_nonce() -> Result<u128, CallError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)
        .map_err(|e| CallError::not_executed(Reason::Unavailable(format!("no random numbers: {e}"))))?;
    Ok(u128::from_le_bytes(nonce))
}

/// What an attempt's failure says about all attempts so far, one of which may have been executed.
fn so_far(maybe: bool, e: CallError) -> CallError {
    if maybe { CallError::unknown(e.reason) } else { e }
}

pub(super) fn undecided(e: Undecided) -> CallError {
    match e {
        Undecided::NotDone(why) => CallError::not_executed(Reason::Unavailable(why)),
        Undecided::Unknown(why) => CallError::unknown(Reason::Unavailable(why)),
    }
}

pub(super) fn undecided_read(why: String) -> CallError {
    CallError::not_executed(Reason::Unavailable(why))
}

impl Shared {
    async fn create(self: &Arc<Self>, order: NewActor, placement: Placement) -> Result<(), CallError> {
        let end = Instant::now() + DEFAULT_CALL_DEADLINE;
        let mut maybe = false;
        loop {
            let attempt = match self.pick_home(&order.actor, &placement) {
                None => {
                    Err(CallError::not_executed(Reason::Unavailable("no living peer hosts this kind".into())))
                }
                Some(home) if home == self.node => self.create_here(order.clone()).await,
                Some(home) => self.create_there(&home, order.clone()).await,
            };
            let e = match attempt {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            // The nonce makes a second attempt at the same home find the first one's work.
            maybe |= !e.is_retry_safe();
            let again = matches!(e.reason, Reason::Unavailable(_) | Reason::HostGone | Reason::Deadline);
            if !again || Instant::now() + self.timing.heartbeat >= end {
                return Err(so_far(maybe, e));
            }
            self.wait_for_change(self.timing.heartbeat).await;
        }
    }

    /// Waits until a life of an actor is over for good.
    async fn ended(&self, actor: &ActorId, life: u64, end: Instant) -> Result<(), CallError> {
        let goes_on = || self.state(|s| s.actors.line(actor).is_some_and(|a| a.life == life));
        while goes_on() == Some(true) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "it is to end, and its host has not confirmed it yet";
                return Err(CallError::unknown(Reason::Unavailable(why.into())));
            }
            self.wait_for_change(left).await;
        }
        Ok(())
    }

    fn pick_home(&self, actor: &ActorId, placement: &Placement) -> Option<NodeId> {
        match placement {
            Placement::Here => Some(self.node.clone()),
            Placement::On(node) => Some(node.clone()),
            Placement::Spread => self
                .state(|s| {
                    let fit =
                        s.living().filter(|(_, m)| m.kinds.contains(actor.kind())).map(|(node, _)| node);
                    placement::home(actor, fit).cloned()
                })
                .flatten(),
        }
    }

    async fn create_there(&self, home: &NodeId, order: NewActor) -> Result<(), CallError> {
        let unavailable = |why: String| Reason::Unavailable(why);
        let dest = self
            .dest_of(home)
            .ok_or_else(|| CallError::not_executed(unavailable(format!("no member is called {home}"))))?;
        match self.ask(&dest, &Request::Create(order), Lane::Control, CREATE_DEADLINE).await {
            Ok(Answer::Created(result)) => result,
            Ok(_) => Err(CallError::not_executed(unavailable("its home is not ready".into()))),
            Err(e @ (RequestError::Unknown(_) | RequestError::Deadline { sent: true })) => {
                Err(CallError::unknown(unavailable(e.to_string())))
            }
            Err(e) => Err(CallError::not_executed(unavailable(e.to_string()))),
        }
    }

    /// Creates an actor that is to live here: its line in the directory, then its first checkpoint.
    pub(super) async fn create_here(self: &Arc<Self>, mut order: NewActor) -> Result<(), CallError> {
        if self.kinds.get(order.actor.kind()).is_none() {
            return Err(CallError::not_executed(Reason::NotHandled(order.actor.kind().to_owned())));
        }
        let Some(by) = self.incarnation() else {
            return Err(CallError::not_executed(Reason::Unavailable("not a member yet".into())));
        };
        let items =
            vec![Create { actor: order.actor.clone(), nonce: order.nonce, stand_in_ms: order.stand_in_ms }];
        let response =
            self.propose(Command::Create { by, items }, CREATE_DEADLINE).await.map_err(undecided)?;
        let epoch = created(response)?;
        let born = |s: &State| {
            s.actors.get(&order.actor).is_some_and(|a| a.nonce == order.nonce && a.checkpoint.is_some())
        };
        if self.state(born) == Some(true) {
            return Ok(()); // an earlier attempt got through
        }
        let content = Content {
            kind_version: order.kind_version,
            state: std::mem::take(&mut order.state).into_vec().into(),
            sessions: Bytes::new(),
        };
        match self.save((order.actor.clone(), epoch, 0), order.copies, content, true).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SaveError::Fenced)) => Err(CallError::unknown(self.why_fenced(&order))),
            Ok(Err(e)) => Err(CallError::unknown(Reason::Unavailable(e.to_string()))),
            Err(_) => Err(CallError::unknown(Reason::HostGone)),
        }
    }

    /// Why a new actor's first checkpoint was refused.
    fn why_fenced(&self, order: &NewActor) -> Reason {
        let nonce = self.state(|s| s.actors.get(&order.actor).map(|a| a.nonce)).flatten();
        match nonce {
            None => Reason::Stopped,
            Some(nonce) if nonce != order.nonce => Reason::AlreadyExists,
            Some(_) => Reason::HostGone,
        }
    }

    /// Waits until this peer has applied all that was decided before the call.
    pub(crate) async fn catch_up(self: &Arc<Self>, end: Instant) -> Result<(), String> {
        loop {
            let why = match self.read_index().await {
                Ok(index) => {
                    let Some(consensus) = self.consensus() else { return Err("not a member".into()) };
                    let mut applied = consensus.applied().watch();
                    return match tokio::time::timeout_at(end, applied.wait_for(|i| *i >= index)).await {
                        Ok(Ok(_)) => Ok(()),
                        _ => Err("this peer did not catch up with the log in time".into()),
                    };
                }
                Err(why) => why,
            };
            if Instant::now() + self.timing.heartbeat >= end || self.is_stopped() {
                return Err(why);
            }
            tokio::time::sleep(self.timing.heartbeat / 2).await;
        }
    }

    async fn read_index(self: &Arc<Self>) -> Result<u64, String> {
        let consensus = self.consensus().ok_or("not a member yet")?;
        let view = consensus.view();
        let leader = view.leader.ok_or("no leader is known")?;
        let answer = match view.leads() {
            true => self.on_read_index().await,
            false => {
                let limit: Duration = self.timing.lease * 2;
                self.ask_disk(leader, Request::ReadIndex, limit).await.map_err(|e| e.to_string())?
            }
        };
        match answer {
            Answer::ReadIndex(index) => Ok(index),
            _ => Err("the leader could not confirm its leadership".into()),
        }
    }
}

fn created(response: Response) -> Result<Epoch, CallError> {
    let refused = |why: Refused| match why {
        Refused::AlreadyExists => CallError::not_executed(Reason::AlreadyExists),
        other => CallError::not_executed(Reason::Unavailable(other.to_string())),
    };
    match response {
        Response::Items(items) => match items.into_iter().next() {
            Some(Ok(epoch)) => Ok(epoch),
            Some(Err(why)) => Err(refused(why)),
            None => Err(CallError::not_executed(Reason::Unavailable("no answer".into()))),
        },
        Response::Refused(why) => Err(refused(why)),
        _ => Err(CallError::unknown(Reason::Unavailable("an answer to another question".into()))),
    }
}
