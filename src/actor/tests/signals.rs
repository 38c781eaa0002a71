//! What an actor is told of its own fate, and what it tells itself later.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::cast::{Boom, Tally};
use super::rig::*;
use crate::actor::*;
use crate::error::{CallError, Reason};
use crate::id::Epoch;

/// Rings when it is told to, and remembers what it was told of itself.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bell {
    rung: Vec<u64>,
    begun: Vec<String>,
}

impl Actor for Bell {
    const KIND: &'static str = "bell";

    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, max_restarts: Some(2), ..Policy::default() }
    }

    async fn on_restored(&mut self, what: Restored, ctx: &mut Context<Self>) {
        let Restored { cause, from_seq, age: _, downtime, resends } = what;
        self.begun.push(format!("{cause:?} {from_seq} {downtime:?} {resends}"));
        if cause == Cause::Moved {
            ctx.checkpoint().await;
        }
        assert_ne!(cause, Cause::Panicked, "as the test wishes");
    }
}

#[derive(Serialize, Deserialize)]
pub struct Ring(u64);
impl Message for Ring {
    const NAME: &'static str = "ring";
    type Reply = ();
}

impl Handler<Ring> for Bell {
    async fn handle(&mut self, Ring(n): Ring, _: &mut Context<Self>) {
        self.rung.push(n);
    }
}

/// Rings later.
#[derive(Serialize, Deserialize)]
pub struct Arm {
    ms: u64,
    n: u64,
    durable: bool,
}
impl Message for Arm {
    const NAME: &'static str = "arm";
    type Reply = TimerId;
}

impl Handler<Arm> for Bell {
    async fn handle(&mut self, Arm { ms, n, durable }: Arm, ctx: &mut Context<Self>) -> TimerId {
        let after = Duration::from_millis(ms);
        if durable { ctx.schedule_durable(after, Ring(n)) } else { ctx.schedule(after, Ring(n)) }.unwrap()
    }
}

/// Says so again at once, for ever.
#[derive(Serialize, Deserialize)]
pub struct Again;
impl Message for Again {
    const NAME: &'static str = "again";
    type Reply = ();
}

impl Handler<Again> for Bell {
    async fn handle(&mut self, Again: Again, ctx: &mut Context<Self>) {
        self.rung.push(0);
        ctx.schedule(Duration::ZERO, Again).unwrap();
    }
}

#[derive(Serialize, Deserialize)]
pub struct Disarm(TimerId);
impl Message for Disarm {
    const NAME: &'static str = "disarm";
    type Reply = bool;
}

impl Handler<Disarm> for Bell {
    async fn handle(&mut self, Disarm(timer): Disarm, ctx: &mut Context<Self>) -> bool {
        ctx.cancel(timer)
    }
}

#[derive(Serialize, Deserialize)]
pub struct Show;
impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Bell;
}

impl Handler<Show> for Bell {
    async fn handle(&mut self, _: Show, _: &mut Context<Self>) -> Bell {
        self.clone()
    }
}

/// Not among what the kind handles.
#[derive(Serialize, Deserialize)]
pub struct Unlisted;
impl Message for Unlisted {
    const NAME: &'static str = "unlisted";
    type Reply = ();
}

impl Handler<Unlisted> for Bell {
    async fn handle(&mut self, _: Unlisted, _: &mut Context<Self>) {}
}

/// Tries to schedule that one.
#[derive(Serialize, Deserialize)]
pub struct Wrongly;
impl Message for Wrongly {
    const NAME: &'static str = "wrongly";
    type Reply = String;
}

impl Handler<Wrongly> for Bell {
    async fn handle(&mut self, _: Wrongly, ctx: &mut Context<Self>) -> String {
        ctx.schedule(Duration::ZERO, Unlisted).unwrap_err().to_string()
    }
}

pub fn kind() -> Kind {
    Kind::of::<Bell>()
        .handles::<Ring>()
        .handles::<Arm>()
        .handles::<Again>()
        .handles::<Disarm>()
        .handles::<Show>()
        .handles::<Wrongly>()
        .into()
}

impl Rig {
    fn bell<M: Message>(&self, message: M, durable: bool) -> Pending<M>
    where
        Bell: Handler<M>,
    {
        self.host.ask_local::<Bell, M>(&at::<Bell>(), message, durable).map_err(|(_, r)| r).unwrap()
    }

    async fn shown(&self) -> Bell {
        reply(self.bell(Show, false)).await.unwrap()
    }

    /// The log gives the bell a new epoch, and it is told why.
    fn restore_bell(&self, epoch: u64, cause: Cause) {
        self.log.activate(&id::<Bell>(), Epoch(epoch));
        let c = self.log.committed(&id::<Bell>()).unwrap();
        let downtime = Duration::from_secs(7);
        let restored = Some(Restored { cause, from_seq: c.seq, age: None, downtime, resends: 99 });
        let (state, sessions) = (&c.bytes, &c.sessions);
        let start = Start { seq: c.seq, kind_version: 1, state, sessions, life: LIFE, restored };
        self.host.start(id::<Bell>(), Epoch(epoch), start, || true).unwrap();
    }

    async fn until_rung(&self, expected: &[u64]) {
        soon(async {
            while self.shown().await.rung != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn arm(ms: u64, n: u64, durable: bool) -> Arm {
    Arm { ms, n, durable }
}

#[tokio::test]
async fn a_message_to_itself_that_is_always_due_keeps_no_other_out() {
    let rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    reply(rig.bell(Again, false)).await.unwrap();
    let looks = [rig.bell(Show, false), rig.bell(Show, false)];
    let mut rung = vec![];
    for look in looks {
        rung.push(reply(look).await.unwrap().rung.len());
    }
    assert!(rung[0] < rung[1], "nor is it kept out: {rung:?}");
}

#[tokio::test]
async fn timers_ring_at_their_time_and_cancelled_ones_do_not() {
    let rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    reply(rig.bell(arm(20, 2, false), false)).await.unwrap();
    reply(rig.bell(arm(10, 1, true), false)).await.unwrap();
    let never = reply(rig.bell(arm(15, 9, false), false)).await.unwrap();
    assert_eq!(reply(rig.bell(Disarm(never), false)).await, Ok(true));
    settle().await;
    assert_eq!(rig.shown().await.rung, [0; 0]);
    rig.clock.advance(Duration::from_millis(10));
    rig.until_rung(&[1]).await;
    rig.clock.advance(Duration::from_millis(10));
    rig.until_rung(&[1, 2]).await;
    assert_eq!(reply(rig.bell(Disarm(never), false)).await, Ok(false));
    let refused = reply(rig.bell(Wrongly, false)).await.unwrap();
    assert!(refused.contains("unlisted"), "{refused}");
}

#[tokio::test]
async fn a_timer_rings_that_is_set_when_nothing_but_messages_is_looked_at() {
    let rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    for n in [7, 8] {
        reply(rig.bell(Ring(n), false)).await.unwrap();
    }
    reply(rig.bell(arm(10, 1, false), false)).await.unwrap();
    settle().await;
    rig.clock.advance(Duration::from_millis(10));
    rig.until_rung(&[7, 8, 1]).await;
}

#[tokio::test]
async fn a_durable_timer_survives_and_its_effect_comes_once_where_the_other_kind_is_forgotten() {
    let rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    reply(rig.bell(arm(20, 1, false), false)).await.unwrap();
    reply(rig.bell(arm(20, 2, true), true)).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    rig.restore_bell(20, Cause::Recovered);
    settle().await;
    assert_eq!(rig.shown().await.rung, [0; 0], "its time begins again where the checkpoint left it");
    rig.clock.advance(Duration::from_millis(20));
    rig.until_rung(&[2]).await;
    // What it did is not in a checkpoint yet: it comes again. Once it is, it does not.
    rig.restore_bell(30, Cause::Recovered);
    rig.clock.advance(Duration::from_millis(20));
    rig.until_rung(&[2]).await;
    reply(rig.bell(Ring(3), true)).await.unwrap();
    rig.restore_bell(40, Cause::Recovered);
    rig.clock.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(rig.shown().await.rung, [2, 3]);
}

#[tokio::test]
async fn an_actor_is_told_why_it_begins_anew_before_any_message() {
    let rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    reply(rig.bell(Ring(1), true)).await.unwrap();
    assert_eq!(rig.shown().await.begun, [""; 0], "a new one is not");
    rig.restore_bell(20, Cause::Recovered);
    assert_eq!(rig.shown().await.begun, ["Recovered 1 7s 0"]);
    settle().await;
    assert_eq!(rig.log.committed(&id::<Bell>()).unwrap().seq, 1, "that alone is no reason for a checkpoint");
    rig.restore_bell(30, Cause::Moved);
    settle().await;
    let last = rig.log.committed(&id::<Bell>()).unwrap();
    assert_eq!((last.seq, Bell::decode(&last.bytes).unwrap().begun.len()), (2, 1), "unless it asks for one");
}

#[tokio::test]
async fn one_that_panics_too_often_in_a_row_fails() {
    let mut rig = rig();
    rig.start(10, 0, &Bell::default()).unwrap();
    reply(rig.bell(Ring(1), true)).await.unwrap();
    for (epoch, last) in [(20, false), (30, false), (40, true)] {
        rig.restore_bell(epoch, Cause::Panicked);
        let asked = soon(rig.asked.recv()).await.unwrap();
        let expected = match asked {
            Asked::Restart(_, ended, _) => (ended, false),
            Asked::Fail(_, ended) => (ended, true),
            Asked::Stop(..) => panic!("{asked:?}"),
        };
        assert_eq!(expected, (Epoch(epoch), last));
    }
    // One without such a limit goes on.
    for epoch in [20, 30, 40, 50] {
        let panicked = reply(rig.ask(Boom)).await;
        assert!(matches!(panicked, Err(CallError { reason: Reason::Panicked(_), .. })), "{panicked:?}");
        assert!(matches!(soon(rig.asked.recv()).await, Some(Asked::Restart(..))));
        rig.restore(epoch);
    }
    assert!(rig.host.running(&id::<Tally>()).is_some());
}
