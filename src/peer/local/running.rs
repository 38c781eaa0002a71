//! A local actor's loop, and what its handlers see.

use std::any::type_name;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};

use super::crowd::Seat;
use super::letter::BoxEnvelope;
use super::{LocalActor, LocalRef};
use crate::actor::Gate;
use crate::channel::{Receiver, WeakSender};
use crate::peer::Peer;

/// A local actor's view of its surroundings.
pub struct LocalContext<A> {
    me: WeakSender<BoxEnvelope<A>, Peer>,
    seat: Seat,
    wants_stop: bool,
}

impl<A: LocalActor> LocalContext<A> {
    pub(super) fn new(me: WeakSender<BoxEnvelope<A>, Peer>, seat: Seat) -> Self {
        Self { me, seat, wants_stop: false }
    }

    /// The peer that runs this actor: to call others, to spawn more.
    pub fn peer(&self) -> &Peer {
        self.me.beside()
    }

    /// A reference to this actor; none if nobody else has one any more. While the actor keeps its own, it does not end
    /// by itself.
    pub fn me(&self) -> Option<LocalRef<A>> {
        self.me.upgrade().map(|items| LocalRef { items })
    }

    /// Asks for this actor's end once this handler has returned and its reply is out. Messages that still wait are not
    /// executed, and their callers are told.
    pub fn stop(&mut self) {
        self.wants_stop = true;
    }
}

impl<A> LocalContext<A> {
    /// Waits until the peer holds its lease. If it never will again, until this task is aborted.
    pub(super) async fn clear(&self) {
        let gate = &self.me.beside().shared.gate;
        while !gate.is_open() {
            if gate.wait_open().await.is_err() {
                pending::<()>().await;
            }
        }
    }
}

impl<A> Drop for LocalContext<A> {
    fn drop(&mut self) {
        self.me.beside().shared.crowd.leave(self.seat);
    }
}

/// Handles messages until nobody can send more, or something ends it.
pub(super) async fn run<A: LocalActor>(
    mut actor: A,
    mut inbox: Receiver<BoxEnvelope<A>, Peer>,
    mut ctx: LocalContext<A>,
) {
    while let Some(letter) = inbox.next().await {
        match turn(&inbox.beside().shared.gate, letter, &mut actor, &mut ctx).await {
            Ok(()) if ctx.wants_stop => return,
            Ok(()) => {}
            Err(text) => {
                return tracing::error!(
                    actor = type_name::<A>(),
                    text,
                    "a local actor has ended with a panic"
                );
            }
        }
    }
}

/// One message's turn: polled only while the peer holds its lease. An error is what a panic said.
async fn turn<A: LocalActor>(
    gate: &Gate,
    letter: BoxEnvelope<A>,
    actor: &mut A,
    ctx: &mut LocalContext<A>,
) -> Result<(), String> {
    let mut opened = pin!(letter.open(actor, ctx));
    let mut waiting = None;
    poll_fn(|task| {
        if gate.is_shut_at(gate.now()) {
            // Retired: the end of the peer, which follows, aborts this task, and callers are told of that.
            if ready!(gate.poll_shut(&mut waiting, task)).is_err() {
                return Poll::Pending;
            }
        }
        waiting = None;
        opened.as_mut().poll(task)
    })
    .await
}
