//! Messages on their way into an actor: typed where they come from this peer, decoded at the door
//! where they come from another.

use serde::{Deserialize, Serialize};
use stackfuture::StackFuture;
use std::any::Any;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::api::{Actor, Handler, Message};
use super::bundle::{Ack, Bundle, Opened, ReplySlot};
use super::caught::{begin_caught, poll_caught};
use super::codec::decode_message;
use super::context::Context;
use super::reply::{Reply, WireReply, Withheld};
use super::table::Table;
use crate::channel::{NoPlace, Place, Receiver, Sender, channel};
use crate::core::session::{Parcel, Parcels};
use crate::error::{CallError, Reason};
use crate::limits::{MAX_MAILBOX, MAX_SPARE_LETTER_BYTES};

/// What a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The reply.
    Ask,
    /// The reply, once a checkpoint that holds the message's effect is durable.
    AskDurable,
    /// Room in the mailbox.
    Tell,
}

/// Why a mailbox took no message. It was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No such actor runs on this peer.
    NotHere,
    /// The mailbox is full.
    Full,
    /// This peer registered another Rust type under the actor's kind, or one without this message.
    OtherType,
}

/// How a message left the actor.
pub(super) enum After {
    /// Nothing is owed to its caller.
    Done,
    /// The caller waits for a checkpoint that holds the message's effect.
    Withheld(Box<dyn Withheld>),
    /// The caller waits until what came or was sent reliably before is durable.
    Unsettled(Box<dyn Withheld>),
    /// The handler panicked; the state is not to be used again.
    Panicked(String),
    /// The peer was retired before the reply could leave.
    Retired,
}

/// One message to an `A`, whatever its type. It is opened or refused, once; what is left can take another one.
pub(super) trait Envelope<A: Actor>: Send {
    fn open<'a>(&mut self, actor: &'a mut A, ctx: &'a mut Context<A>) -> Opening<'a>;
    fn refuse(&mut self, error: CallError);
    /// If it can take another one.
    fn as_any(&mut self) -> Option<&mut dyn Any> {
        None
    }
}

/// A handler at work. A future of a common size is not put on the heap.
pub(super) type Opening<'a> = StackFuture<'a, After, 512>;

pub(super) type BoxEnvelope<A> = Box<dyn Envelope<A>>;

/// What is told to an actor, and owes nobody an answer.
pub(super) fn telling<'a>(told: impl Future<Output = ()> + Send + 'a) -> Opening<'a> {
    Opening::from_or_box(async move {
        let mut told = pin!(Some(told));
        let told = poll_fn(|task| poll_caught(told.as_mut(), task)).await;
        told.map_or_else(After::Panicked, |()| After::Done)
    })
}

/// What waits in a mailbox.
pub(super) enum Item<A: Actor> {
    Letter(BoxEnvelope<A>),
    Bundle(Box<Bundle<A>>),
}

impl<A: Actor> Item<A> {
    pub(super) fn refuse(self, error: CallError) {
        match self {
            Item::Letter(mut letter) => letter.refuse(error),
            // Dropped, its sender brings it again.
            Item::Bundle(_) => {}
        }
    }
}

pub(super) struct Letter<M: Message> {
    /// Until it is opened or refused.
    content: Option<(M, Reply<M::Reply>)>,
    durable: bool,
}

impl<M: Message> Letter<M> {
    pub(super) fn new(message: M, reply: Reply<M::Reply>, durable: bool) -> Self {
        Self { content: Some((message, reply)), durable }
    }

    /// Puts it into a mailbox.
    pub(super) fn put<A: Handler<M>>(self, place: MailboxPlace<'_, A>) {
        place.send_with(|used| Item::Letter(self.boxed(used)));
    }

    /// The same, but a loop that waits for it is not woken. Whether it waits.
    pub(super) fn leave<A: Handler<M>>(self, place: MailboxPlace<'_, A>) -> bool {
        place.leave_with(|used| Item::Letter(self.boxed(used)))
    }

    /// In an envelope that was used before, if that was for messages of the same type.
    fn boxed<A: Handler<M>>(self, used: Option<Item<A>>) -> BoxEnvelope<A> {
        if let Some(Item::Letter(mut used)) = used
            && let Some(letter) = used.as_any().and_then(|used| used.downcast_mut::<Self>())
        {
            *letter = self;
            return used;
        }
        Box::new(self)
    }
}

impl<A: Handler<M>, M: Message> Envelope<A> for Letter<M> {
    fn open<'a>(&mut self, actor: &'a mut A, ctx: &'a mut Context<A>) -> Opening<'a> {
        let Some((message, mut reply)) = self.content.take() else {
            return Opening::from(std::future::ready(After::Done));
        };
        let durable = self.durable;
        Opening::from_or_box(async move {
            if durable && !ctx.life().keeps_checkpoints() {
                reply.fail(CallError::not_executed(keeps_none::<A>()));
                return After::Done;
            }
            reply.started();
            // The state is dropped after a panic, so nobody sees it half changed.
            let handled = match begin_caught(|| actor.handle(message, &mut *ctx)) {
                Ok(handling) => {
                    let mut handling = pin!(Some(handling));
                    poll_fn(|task| poll_caught(handling.as_mut(), task)).await
                }
                Err(text) => Err(text),
            };
            if !ctx.is_clear() && ctx.clear().await.is_err() {
                return After::Retired;
            }
            match handled {
                Ok(value) => answer(reply, value, durable, ctx),
                Err(text) => {
                    reply.fail(CallError::executed(Reason::Panicked(text.clone())));
                    After::Panicked(text)
                }
            }
        })
    }

    fn refuse(&mut self, error: CallError) {
        if let Some((message, reply)) = self.content.take() {
            reply.refuse(error, message);
        }
    }

    fn as_any(&mut self) -> Option<&mut dyn Any> {
        (size_of::<Self>() <= MAX_SPARE_LETTER_BYTES).then_some(self as &mut dyn Any)
    }
}

/// Wherever it was dropped unopened, its caller gets the message back, and can try again, here or elsewhere.
impl<M: Message> Drop for Letter<M> {
    fn drop(&mut self) {
        if let Some((message, reply)) = self.content.take() {
            reply.refuse(CallError::not_executed(Reason::HostGone), message);
        }
    }
}

fn answer<A: Actor, R>(reply: Reply<R>, value: R, durable: bool, ctx: &Context<A>) -> After
where
    R: Serialize + Send + 'static,
{
    if ctx.is_parcel() || !durable && !ctx.wants_checkpoint() && !ctx.is_held() {
        reply.send(value);
        return After::Done;
    }
    if !ctx.life().keeps_checkpoints() {
        reply.fail(CallError::executed(keeps_none::<A>()));
        return After::Done;
    }
    let is_own = durable || ctx.wants_checkpoint() || ctx.has_sent();
    reply.withhold(value).map_or(After::Done, if is_own { After::Withheld } else { After::Unsettled })
}

fn keeps_none<A: Actor>() -> Reason {
    Reason::Unavailable(format!("the kind {} keeps no checkpoints", A::KIND))
}

/// The entrance of one actor's mailbox, whatever its kind.
pub(super) trait Door: Send + Sync {
    /// The typed mailbox behind it.
    fn as_any(&self) -> &dyn Any;
    /// Takes a message from another peer. The reply comes back with a refusal.
    fn deliver(
        &self,
        name: &str,
        payload: &[u8],
        mode: Mode,
        reply: WireReply,
    ) -> Result<(), (Refused, WireReply)>;
    /// Takes reliable messages. The acknowledgement comes back with a refusal.
    fn deliver_parcels(&self, parcels: Parcels, ack: Ack) -> Result<(), (Refused, Ack)>;
}

pub(super) struct Mailbox<A: Actor> {
    items: Sender<Item<A>, Arc<Table<A>>>,
}

/// The other end of a mailbox.
pub(super) type Inbox<A> = Receiver<Item<A>, Arc<Table<A>>>;

/// Room for one letter or bundle.
pub(super) type MailboxPlace<'a, A> = Place<'a, Item<A>, Arc<Table<A>>>;

impl<A: Actor> Mailbox<A> {
    pub(super) fn new(table: Arc<Table<A>>) -> (Self, Inbox<A>) {
        let (items, inbox) = channel(Self::capacity(), table);
        (Self { items }, inbox)
    }

    pub(super) fn capacity() -> usize {
        A::MAILBOX.clamp(1, MAX_MAILBOX)
    }

    /// The mailbox behind a door, for whoever may send it an `M` as it is. A message that the kind does not
    /// list is refused here as it would be from another peer: where an actor lives makes no difference.
    pub(super) fn typed<M: Message>(door: &dyn Door, message: M) -> Result<(&Self, M), (M, Refused)>
    where
        A: Handler<M>,
    {
        match door.as_any().downcast_ref::<Self>().filter(|mailbox| mailbox.items.beside().has::<M>()) {
            Some(mailbox) => Ok((mailbox, message)),
            None => Err((message, Refused::OtherType)),
        }
    }

    fn unknown(name: &str) -> String {
        format!("{name} (sent to a {})", A::KIND)
    }

    pub(super) fn place(&self) -> Result<MailboxPlace<'_, A>, Refused> {
        self.items.try_place().map_err(|none| match none {
            NoPlace::Full => Refused::Full,
            NoPlace::Closed => Refused::NotHere,
        })
    }

    pub(super) fn wake(&self) {
        self.items.wake();
    }

    /// A place behind all who wait for one already. Never [`Refused::Full`].
    pub(super) async fn wait_for_place(&self) -> Result<MailboxPlace<'_, A>, Refused> {
        self.items.place().await.ok_or(Refused::NotHere)
    }
}

impl<A: Actor> Door for Mailbox<A> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn deliver(
        &self,
        name: &str,
        payload: &[u8],
        mode: Mode,
        reply: WireReply,
    ) -> Result<(), (Refused, WireReply)> {
        let Some(readers) = self.items.beside().get(name) else {
            reply(Err(CallError::not_executed(Reason::NotHandled(Self::unknown(name)))));
            return Ok(());
        };
        // Room first: a message that finds none is not worth decoding.
        match self.place() {
            Ok(place) => {
                (readers.call)(place, payload, mode, reply);
                Ok(())
            }
            Err(refused) => Err((refused, reply)),
        }
    }

    fn deliver_parcels(&self, parcels: Parcels, ack: Ack) -> Result<(), (Refused, Ack)> {
        let place = match self.place() {
            Ok(place) => place,
            Err(refused) => return Err((refused, ack)),
        };
        let open = |parcel: Parcel| {
            let reply = parcel.is_ask.then(ReplySlot::default);
            let door = reply.as_ref().map(ReplySlot::door);
            let letter = match self.items.beside().get(parcel.message.as_str()) {
                Some(readers) => (readers.parcel)(&parcel.payload, door),
                None => Err(CallError::not_executed(Reason::NotHandled(Self::unknown(&parcel.message)))),
            };
            Opened { parcel, letter, reply }
        };
        let Parcels { from, answered, items, .. } = parcels;
        let first = items.first().map_or(0, |parcel| parcel.seq);
        let items = items.into_iter().map(open).collect();
        place.send(Item::Bundle(Box::new(Bundle { from, first, answered, items, ack })));
        Ok(())
    }
}

/// What was read of a reliable message.
pub(super) type Read<A> = Result<BoxEnvelope<A>, CallError>;

/// How one message type is read at the door.
pub(super) struct Readers<A: Actor> {
    /// Answers by itself what does not decode; a tell is answered at once, because it has its place.
    call: fn(MailboxPlace<'_, A>, &[u8], Mode, WireReply),
    parcel: fn(&[u8], Option<WireReply>) -> Read<A>,
}

impl<A: Actor> Readers<A> {
    pub(super) fn of<M: Message>() -> Self
    where
        A: Handler<M>,
    {
        Self { call: read_call::<A, M>, parcel: read_parcel::<A, M> }
    }

    /// A message to which nobody waits for a reply.
    pub(super) fn read(&self, payload: &[u8]) -> Read<A> {
        (self.parcel)(payload, None)
    }
}

fn read_parcel<A: Handler<M>, M: Message>(payload: &[u8], reply: Option<WireReply>) -> Read<A> {
    let message = decode_message::<M>(payload)?;
    Ok(Box::new(Letter::new(message, reply.map_or_else(Reply::nobody, Reply::wire), false)))
}

fn read_call<A: Handler<M>, M: Message>(
    place: MailboxPlace<'_, A>,
    payload: &[u8],
    mode: Mode,
    reply: WireReply,
) {
    let message = match decode_message::<M>(payload) {
        Ok(message) => message,
        Err(error) => return reply(Err(error)),
    };
    let reply = match mode {
        Mode::Ask | Mode::AskDurable => Reply::wire(reply),
        Mode::Tell => {
            reply(Ok(Vec::new()));
            Reply::nobody()
        }
    };
    Letter::new(message, reply, mode == Mode::AskDurable).put(place);
}
