//! Reliable messages: when they leave, when they are taken, when they are forgotten.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

use super::rig::*;
use crate::actor::*;
use crate::core::event::Event;
use crate::core::session::{Parcel, Parcels, Receipt, Sender};
use crate::id::{ActorId, Epoch};
use crate::limits::{
    CONDITION_POLL, MAX_OUTBOX_MESSAGES, MAX_PANICS_PER_MESSAGE, MAX_PARCELS, STALL_PATIENCE,
};

/// Passes on what it gets.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relay<const EAGER: bool> {
    got: Vec<u64>,
    undelivered: u64,
}

impl<const EAGER: bool> Actor for Relay<EAGER> {
    const KIND: &'static str = if EAGER { "eager-relay" } else { "relay" };

    fn policy() -> Policy {
        let outbox = if EAGER { Outbox::Eager } else { Outbox::Held };
        Policy { checkpoint: When::OnRequest, outbox, ..Policy::default() }
    }

    async fn on_undelivered(&mut self, what: Undelivered, _: &mut Context<Self>) {
        self.undelivered += what.messages;
    }
}

#[derive(Serialize, Deserialize)]
pub struct Forward(u64);
impl Message for Forward {
    const NAME: &'static str = "forward";
    type Reply = usize;
}

#[derive(Serialize, Deserialize)]
pub struct Look;
impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = (Vec<u64>, u64, usize);
}

#[derive(Serialize, Deserialize)]
pub struct End;
impl Message for End {
    const NAME: &'static str = "end";
    type Reply = ();
}

impl<const EAGER: bool> Handler<Forward> for Relay<EAGER> {
    async fn handle(&mut self, Forward(n): Forward, ctx: &mut Context<Self>) -> usize {
        assert_ne!(n, 13, "an unlucky number");
        self.got.push(n);
        ctx.send(&ActorRef::<Self>::new("next").unwrap(), Forward(n)).unwrap();
        self.got.len()
    }
}

impl<const EAGER: bool> Handler<Look> for Relay<EAGER> {
    async fn handle(&mut self, _: Look, ctx: &mut Context<Self>) -> (Vec<u64>, u64, usize) {
        (self.got.clone(), self.undelivered, ctx.dead_letters().count())
    }
}

impl<const EAGER: bool> Handler<End> for Relay<EAGER> {
    async fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.send(&ActorRef::<Self>::new("next").unwrap(), Forward(99)).unwrap();
        ctx.stop();
    }
}

pub fn kinds() -> [Kind; 2] {
    fn kind<const EAGER: bool>() -> Kind {
        Kind::of::<Relay<EAGER>>().handles::<Forward>().handles::<Look>().handles::<End>().into()
    }
    [kind::<false>(), kind::<true>()]
}

type Held = Relay<false>;
type Eager = Relay<true>;

fn next<A: Actor>() -> ActorId {
    ActorId::new(A::KIND, "next").unwrap()
}

/// By a durable checkpoint.
fn covered() -> Receipt {
    Receipt::Durable(BTreeMap::new())
}

fn from() -> Sender {
    Sender::Actor { id: ActorId::new("source", "s").unwrap(), life: 3 }
}

/// The numbers that a batch brings.
fn numbers(parcels: &Parcels) -> Vec<u64> {
    let read = |p: &Parcel| rmp_serde::from_slice::<Forward>(&p.payload).unwrap().0;
    parcels.items.iter().map(read).collect()
}

impl Rig {
    fn ask_relay<A: Handler<M>, M: Message>(&self, message: M) -> Pending<M> {
        self.host.ask_local::<A, M>(&at::<A>(), message, false).map_err(|(_, r)| r).unwrap()
    }

    async fn look(&self) -> (Vec<u64>, u64, usize) {
        reply(self.ask_relay::<Held, _>(Look)).await.unwrap()
    }

    /// A sender brings `numbers`, the first of which it calls message `first`.
    fn bring(&self, first: u64, numbers: &[u64]) -> oneshot::Receiver<Receipt> {
        let item = |(n, number): (u64, &u64)| Parcel {
            seq: first + n,
            after: first + n - 1,
            message: Forward::NAME.to_owned(),
            payload: ByteBuf::from(encode_message(&Forward(*number)).unwrap()),
            is_ask: false,
        };
        let items = (0..).zip(numbers).map(item).collect();
        let (done, receipt) = oneshot::channel();
        let parcels = Parcels { from: from(), to: id::<Held>(), life: LIFE, answered: 0, items };
        let taken = self.host.deliver_parcels(parcels, Box::new(move |receipt| drop(done.send(receipt))));
        assert!(taken.is_ok());
        receipt
    }

    /// The log gives the relay a new epoch; it is started from what is committed.
    fn restore_relay(&self, epoch: u64) {
        self.log.activate(&id::<Held>(), Epoch(epoch));
        let c = self.log.committed(&id::<Held>());
        let empty = encode_state(&Held::default()).unwrap();
        let (seq, state, sessions) =
            c.as_ref().map_or((0, &empty, [].as_slice()), |c| (c.seq, &c.bytes, c.sessions.as_slice()));
        let start = Start { seq, kind_version: 1, state, sessions, life: LIFE, restored: None };
        self.host.start(id::<Held>(), Epoch(epoch), start, || true).unwrap();
    }

    async fn await_restart(&mut self) {
        let asked = soon(self.asked.recv()).await.unwrap();
        assert!(matches!(asked, Asked::Restart(..)), "{asked:?}");
    }
}

#[tokio::test]
async fn a_held_message_and_the_reply_leave_when_the_checkpoint_that_holds_them_is_durable() {
    let rig = rig_by_hand();
    rig.start(10, 0, &Held::default()).unwrap();
    let asked = rig.ask_relay::<Held, _>(Forward(5));
    let (checkpoint, durable) = rig.log.await_next().await;
    settle().await;
    assert!(rig.post.is_idle(), "nothing left before");
    assert!(asked.is_pending(), "nobody was told before");
    rig.log.commit(checkpoint).unwrap();
    durable.send(Ok(())).unwrap();
    let (batch, _) = rig.post.await_batch().await;
    assert_eq!((numbers(&batch), batch.to, batch.life), (vec![5], next::<Held>(), LIFE));
    assert_eq!(reply(asked).await, Ok(1));
}

#[tokio::test]
async fn a_plain_reply_waits_for_what_came_reliably_before_it_and_for_no_checkpoint_of_its_own() {
    let rig = rig_by_hand();
    rig.start(10, 0, &Held::default()).unwrap();
    let _receipt = rig.bring(1, &[5]);
    let (checkpoint, durable) = rig.log.await_next().await;
    let mut looks = [rig.ask_relay::<Held, _>(Look), rig.ask_relay::<Held, _>(Look)];
    settle().await;
    assert!(looks.iter_mut().all(|look| look.is_pending()), "what they show could be taken back");
    rig.log.commit(checkpoint).unwrap();
    durable.send(Ok(())).unwrap();
    for look in looks {
        assert_eq!(reply(look).await.unwrap().0, [5]);
    }
    settle().await;
    assert!(rig.log.next().is_none(), "nothing that is to last was done since");
}

#[tokio::test]
async fn an_eager_message_leaves_at_once() {
    let rig = rig_by_hand();
    rig.start(10, 0, &Eager::default()).unwrap();
    assert_eq!(reply(rig.ask_relay::<Eager, _>(Forward(5))).await, Ok(1));
    let (batch, _) = rig.post.await_batch().await;
    assert_eq!(numbers(&batch), [5]);
    assert!(rig.log.next().is_none(), "before any checkpoint");
}

#[tokio::test]
async fn what_comes_twice_is_handled_once_and_confirmed_when_it_is_durable() {
    let rig = rig_by_hand();
    rig.start(10, 0, &Held::default()).unwrap();
    let mut receipts = [rig.bring(1, &[1, 2]), rig.bring(1, &[1, 2])];
    settle().await;
    assert!(receipts.iter_mut().all(|receipt| receipt.try_recv().is_err()), "nothing is durable yet");
    let (mut taken, mut durable) = rig.log.await_next().await;
    // The first message made a checkpoint be taken at once; the next one holds the second, too.
    while decoded(&taken.bytes).got.len() < 2 {
        rig.log.commit(taken).unwrap();
        durable.send(Ok(())).unwrap();
        (taken, durable) = rig.log.await_next().await;
    }
    assert_eq!(decoded(&taken.bytes).got, [1, 2]);
    settle().await;
    assert!(receipts.iter_mut().all(|receipt| receipt.try_recv().is_err()), "not all of it is durable yet");
    rig.log.commit(taken).unwrap();
    durable.send(Ok(())).unwrap();
    for receipt in receipts {
        assert_eq!(soon(receipt).await, Ok(covered()));
    }
}

fn decoded(bytes: &[u8]) -> Held {
    Held::decode(bytes).unwrap()
}

#[tokio::test]
async fn a_gap_is_refused_and_so_is_who_has_ended() {
    let rig = rig();
    rig.start(10, 0, &Held::default()).unwrap();
    assert_eq!(soon(rig.bring(2, &[2])).await, Ok(Receipt::Later), "the first is missing");
    rig.post.over.lock().unwrap().insert(from());
    assert_eq!(soon(rig.bring(1, &[1])).await, Ok(Receipt::Later), "its life is over");
    rig.post.over.lock().unwrap().clear();
    assert_eq!(soon(rig.bring(1, &[1, 2])).await, Ok(covered()));
    assert_eq!(rig.look().await.0, [1, 2]);
}

#[tokio::test]
async fn a_restored_actor_knows_what_it_took_and_sends_again_what_has_not_arrived() {
    let rig = rig();
    rig.start(10, 0, &Held::default()).unwrap();
    assert_eq!(soon(rig.bring(1, &[1, 2])).await, Ok(covered()));
    let (batch, arrived) = rig.post.await_batch().await;
    drop(arrived);
    rig.restore_relay(11);
    assert_eq!(soon(rig.bring(1, &[1, 2, 3])).await, Ok(covered()));
    assert_eq!(rig.look().await.0, [1, 2, 3]);
    let mut seen = numbers(&batch).len();
    loop {
        let (batch, arrived) = rig.post.await_batch().await;
        seen = seen.max(batch.items.last().unwrap().seq as usize);
        // It may be one more of the activation before.
        drop(arrived.send(covered()));
        if seen == 3 {
            break;
        }
    }
}

#[tokio::test]
async fn a_message_that_always_panics_is_put_aside_and_those_behind_it_are_handled() {
    let mut rig = rig();
    rig.start(10, 0, &Held::default()).unwrap();
    for epoch in 11..11 + u64::from(MAX_PANICS_PER_MESSAGE) {
        assert_eq!(soon(rig.bring(1, &[1, 13, 3])).await, Ok(Receipt::Later));
        rig.await_restart().await;
        rig.restore_relay(epoch);
    }
    assert_eq!(soon(rig.bring(1, &[1, 13, 3])).await, Ok(covered()));
    let (got, _, dead) = rig.look().await;
    assert_eq!((got, dead), (vec![1, 3], 1));
    let events = rig.post.events.lock().unwrap().clone();
    assert!(matches!(&events[..], [Event::DeadLetter { message, .. }] if message == "forward"), "{events:?}");
}

#[tokio::test]
async fn a_sender_is_told_of_what_its_receiver_can_never_get() {
    let rig = rig();
    rig.start(10, 0, &Held::default()).unwrap();
    reply(rig.ask_relay::<Held, _>(Forward(1))).await.unwrap();
    rig.post.await_batch().await.1.send(Receipt::Over).unwrap();
    soon(async {
        while rig.look().await.1 != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let events = rig.post.events.lock().unwrap().clone();
    assert!(matches!(&events[..], [Event::Undelivered { messages: 1, .. }]), "{events:?}");
}

/// Its receiver is away, so that what it sends stays in its outbox.
#[tokio::test]
async fn a_full_sender_takes_in_one_message_a_while_that_makes_it_fuller_and_others_at_once() {
    let rig = rig_by_hand();
    rig.start(10, 0, &Held::default()).unwrap();
    let heavy = MAX_OUTBOX_MESSAGES as u64 / 2;
    let numbers: Vec<u64> = (100..100 + heavy + 3).collect();
    let mut from = 1;
    for some in numbers.chunks(MAX_PARCELS) {
        drop(rig.bring(from, some));
        from += some.len() as u64;
    }
    // Each message takes one poll.
    let handled = || rig.polls.0.lock().unwrap().len() as u64;
    let until_handled = async |n: u64| {
        soon(async {
            while handled() < n {
                tokio::time::sleep(CONDITION_POLL).await;
            }
        })
        .await;
        settle().await;
        assert_eq!(handled(), n, "and no more");
    };
    until_handled(heavy).await;
    let _asked = (rig.ask_relay::<Held, _>(Look), rig.ask_relay::<Held, _>(Look));
    for more in 1..=3 {
        rig.clock.advance(STALL_PATIENCE);
        until_handled(heavy + more).await;
    }
    // These make it no fuller: once one of them is let in, so is the other.
    rig.clock.advance(STALL_PATIENCE);
    until_handled(heavy + 5).await;
}

#[tokio::test]
async fn who_ends_itself_waits_for_what_it_sent() {
    let mut rig = rig();
    rig.start(10, 0, &Held::default()).unwrap();
    let ended = rig.ask_relay::<Held, _>(End);
    let (batch, arrived) = rig.post.await_batch().await;
    assert_eq!(numbers(&batch), [99]);
    settle().await;
    assert!(rig.asked.try_recv().is_err(), "it has not ended yet");
    arrived.send(covered()).unwrap();
    assert_eq!(soon(rig.asked.recv()).await, Some(Asked::Stop(id::<Held>(), Epoch(10))));
    assert_eq!(reply(ended).await, Ok(()));
}

#[tokio::test]
async fn a_receiver_that_nobody_knows_is_looked_up_before_anything_leaves() {
    let rig = rig();
    rig.post.unknown.lock().unwrap().insert(next::<Held>());
    rig.start(10, 0, &Held::default()).unwrap();
    reply(rig.ask_relay::<Held, _>(Forward(1))).await.unwrap();
    rig.post.await_question().await.send(Resolved::Life(41)).unwrap();
    assert_eq!(rig.post.await_batch().await.0.life, 41);
}
