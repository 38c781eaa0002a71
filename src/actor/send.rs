//! How messages reach the actors of this peer.

use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

use super::api::{Handler, Message};
use super::bundle::{Ack, WireReceipt};
use super::host::Host;
use super::mailbox::{Letter, Mailbox, Mode, Refused};
use super::near::Near;
use super::reference::ActorRef;
use super::reply::{LocalCaller, Reply, Unanswered, WireReply};
use crate::core::session::{Parcels, Receipt};
use crate::error::{CallError, Reason};
use crate::id::ActorName;

/// A reply that is on its way. It always comes, as a reply or as an error; with one that says that nobody looked at
/// the message, that may come back too.
pub struct Pending<M: Message>(oneshot::Receiver<Result<M::Reply, Box<Unanswered>>>);

impl<M: Message> Pending<M> {
    /// Whether nothing has come yet.
    pub fn is_pending(&self) -> bool {
        self.0.is_empty()
    }
}

impl<M: Message> Future for Pending<M> {
    type Output = Result<M::Reply, NoReply<M>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task).map(|answer| match answer {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(unanswered)) => {
                let Unanswered { error, message } = *unanswered;
                let message = message.and_then(|message| message.downcast().ok());
                Err(Box::new((error, message.map(|message| *message))))
            }
            Err(_) => Err(Box::new((CallError::unknown(Reason::HostGone), None))),
        })
    }
}

/// Why, and the message if nobody looked at it. On the heap, so that a reply, which is most often small, stays so.
pub type NoReply<M> = Box<(CallError, Option<M>)>;

type Caller<M> = Option<LocalCaller<<M as Message>::Reply>>;

fn letter<M: Message>(message: M, caller: Caller<M>, durable: bool) -> Letter<M> {
    Letter::new(message, caller.map_or_else(Reply::nobody, Reply::local), durable)
}

/// Into the mailbox, if it has room.
fn put<A: Handler<M>, M: Message>(
    near: &Near,
    message: M,
    caller: Caller<M>,
    durable: bool,
) -> Result<(), (M, Refused)> {
    let (mailbox, message) = Mailbox::<A>::typed(&*near.door, message)?;
    let place = match mailbox.place() {
        Ok(place) => place,
        Err(refused) => return Err((message, refused)),
    };
    // Who waits for nothing, or for a disk, has no time to lend.
    let visits = caller.is_some() && !durable && near.life.visits.are_open();
    let letter = letter(message, caller, durable);
    if !visits {
        letter.put(place);
    } else if letter.leave(place) && !near.life.visits.visit() {
        mailbox.wake();
    }
    Ok(())
}

impl Host {
    /// Sends a message to an actor that runs here, as the value it is, if its mailbox has room. One that panicked does
    /// not run. The reference remembers where it is.
    ///
    /// # Errors
    /// The message, so that it can be sent again or elsewhere, and why it was not taken.
    pub fn ask_local<A, M>(
        &self,
        to: &ActorRef<A>,
        message: M,
        durable: bool,
    ) -> Result<Pending<M>, (M, Refused)>
    where
        A: Handler<M>,
        M: Message,
    {
        let (caller, pending) = oneshot::channel();
        self.send_local(to, message, Some(caller), durable).map(|()| Pending(pending))
    }

    /// The same without a reply.
    ///
    /// # Errors
    /// The message, so that it can be sent again or elsewhere, and why it was not taken.
    pub fn tell_local<A, M>(&self, to: &ActorRef<A>, message: M) -> Result<(), (M, Refused)>
    where
        A: Handler<M>,
        M: Message,
    {
        self.send_local(to, message, None, false)
    }

    fn send_local<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        caller: Caller<M>,
        durable: bool,
    ) -> Result<(), (M, Refused)> {
        if let Some(near) = to.memory().first(self.gate()) {
            return put::<A, M>(near, message, caller, durable);
        }
        let newest = to.memory().newest();
        let near = newest.as_ref().and_then(|near| near.as_ref());
        if let Some(near) = near.filter(|near| near.is_of(self.gate())) {
            return put::<A, M>(near, message, caller, durable);
        }
        let Some(near) = self.near(to.id()) else { return Err((message, Refused::NotHere)) };
        let sent = put::<A, M>(&near, message, caller, durable);
        to.memory().keep(near);
        sent
    }

    /// [`Host::ask_local`] that waits for room, behind those who wait already. Never
    /// [`Refused::Full`].
    ///
    /// # Errors
    /// The message, so that it can be sent elsewhere, and why it was not taken: at once, or when
    /// the activation ends.
    pub async fn ask_local_waiting<A, M>(
        &self,
        to: &ActorRef<A>,
        message: M,
        durable: bool,
    ) -> Result<Pending<M>, (M, Refused)>
    where
        A: Handler<M>,
        M: Message,
    {
        let (caller, pending) = oneshot::channel();
        self.send_waiting(to, message, Some(caller), durable).await.map(|()| Pending(pending))
    }

    /// [`Host::tell_local`] that waits for room, behind those who wait already. Never
    /// [`Refused::Full`].
    ///
    /// # Errors
    /// The message, so that it can be sent elsewhere, and why it was not taken: at once, or when
    /// the activation ends.
    pub async fn tell_local_waiting<A, M>(&self, to: &ActorRef<A>, message: M) -> Result<(), (M, Refused)>
    where
        A: Handler<M>,
        M: Message,
    {
        self.send_waiting(to, message, None, false).await
    }

    async fn send_waiting<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        caller: Caller<M>,
        durable: bool,
    ) -> Result<(), (M, Refused)> {
        let Some(door) = self.door(to.id().name()) else { return Err((message, Refused::NotHere)) };
        let (mailbox, message) = Mailbox::<A>::typed(door.as_ref(), message)?;
        match mailbox.wait_for_place().await {
            Ok(place) => {
                letter(message, caller, durable).put(place);
                Ok(())
            }
            Err(refused) => Err((message, refused)),
        }
    }

    /// Takes a message from another peer. `reply` is called once: with the encoded reply, with an
    /// error, or, for a [`Mode::Tell`], with nothing in it as soon as the message is in the mailbox.
    ///
    /// # Errors
    /// Not here or no room: `reply` is handed back, uncalled, for the router to decide.
    pub fn deliver(
        &self,
        id: ActorName<'_>,
        message_name: &str,
        payload: &[u8],
        mode: Mode,
        reply: WireReply,
    ) -> Result<(), (Refused, WireReply)> {
        match self.door(id) {
            Some(door) => door.deliver(message_name, payload, mode, reply),
            None => Err((Refused::NotHere, reply)),
        }
    }

    /// Takes reliable messages for an actor here. `receipt` is called once, when what became of them is known.
    ///
    /// # Errors
    /// Not here or no room: `receipt` is handed back, uncalled, for the router to decide.
    pub fn deliver_parcels(
        &self,
        parcels: Parcels,
        receipt: WireReceipt,
    ) -> Result<(), (Refused, WireReceipt)> {
        match self.door_of_life(&parcels.to) {
            Some((life, door)) if life == parcels.life => door
                .deliver_parcels(parcels, Ack::new(receipt))
                .or_else(|(refused, ack)| ack.into_inner().map_or(Ok(()), |receipt| Err((refused, receipt)))),
            Some((life, _)) if life > parcels.life => {
                receipt(Receipt::Over);
                Ok(())
            }
            _ => Err((Refused::NotHere, receipt)),
        }
    }
}
