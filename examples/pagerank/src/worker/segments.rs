//! The actors of a job that sends plain messages. Every so often all of them keep the ranks of the same iteration; when
//! one has failed, all go back there.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use standin::CallError;
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, KindOf, Message, Policy, When};
use tokio::time::Instant;

use super::actors::{Inspect, Prepare, Read, invalid, links_of};
use crate::job::{Attempt, Cutter, Gift, Segment, Standing, Taken};
use crate::wire::RANKS_PER_LINE;

/// How long a cut may take until it is durable, and how often that is tried.
const CUT_DEADLINE: Duration = Duration::from_secs(10);
const CUT_ATTEMPTS: usize = 3;

impl Actor for Segment {
    const KIND: &'static str = "segment";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, ..Policy::default() }
    }
}

/// Gives to everybody what this segment's nodes give where it is.
///
/// # Panics
/// If somebody cannot be reached: this segment has failed then too, and all go back.
async fn give(segment: &mut Segment, ctx: &mut Context<Segment>) {
    let links = links_of(segment.links.take(), &segment.plan, segment.number, ctx).await;
    let is_cut = segment.number == 0 && segment.cutter.is_time(segment.plan.partitions, Instant::now());
    let gifts = segment.gifts(&links, is_cut);
    segment.links = Some(links);
    let peer = ctx.peer();
    let told = segments().zip(gifts).map(async |(to, gift)| peer.tell(&to, gift).await);
    try_join_all(told).await.expect("all segments are there");
}

impl Handler<Prepare> for Segment {
    async fn handle(&mut self, _: Prepare, ctx: &mut Context<Self>) {
        self.links = Some(links_of(self.links.take(), &self.plan, self.number, ctx).await);
    }
}

/// Where are you?
#[derive(Serialize, Deserialize)]
pub struct Where;

impl Message for Where {
    const NAME: &'static str = "where";
    type Reply = Standing;
}

impl Handler<Where> for Segment {
    async fn handle(&mut self, _: Where, ctx: &mut Context<Self>) -> Standing {
        self.standing(ctx.epoch().0)
    }
}

/// Go back to an iteration. The reply is whether it is there.
#[derive(Serialize, Deserialize)]
pub struct GoBack {
    pub attempt: Attempt,
    pub to: u64,
}

impl Message for GoBack {
    const NAME: &'static str = "go back";
    type Reply = bool;
}

impl Handler<GoBack> for Segment {
    async fn handle(&mut self, GoBack { attempt, to }: GoBack, _: &mut Context<Self>) -> bool {
        let is_back = self.go_back(attempt, to);
        if is_back {
            self.cutter = Cutter::new(self.plan.cut_every, Instant::now());
        }
        is_back
    }
}

/// All have gone back: the next superstep begins.
#[derive(Serialize, Deserialize)]
pub struct Start {
    pub attempt: Attempt,
}

impl Message for Start {
    const NAME: &'static str = "start";
    type Reply = ();
}

impl Handler<Start> for Segment {
    async fn handle(&mut self, Start { attempt }: Start, ctx: &mut Context<Self>) {
        if self.start(attempt) {
            give(self, ctx).await;
        }
    }
}

impl Message for Gift {
    const NAME: &'static str = "gift";
    type Reply = ();
}

impl Handler<Gift> for Segment {
    async fn handle(&mut self, gift: Gift, ctx: &mut Context<Self>) {
        let taken = self.take(gift);
        if taken == Taken::Waits {
            return;
        }
        if taken == Taken::Kept {
            keep(self.attempt(), ctx);
        }
        if self.plan.pace.is_zero() {
            return give(self, ctx).await;
        }
        let next = Next { attempt: self.attempt() };
        ctx.schedule(self.plan.pace, next).expect("a segment sets one timer at a time");
    }
}

/// Has a checkpoint made of the cut, and tells when it is durable. Supersteps go on meanwhile.
fn keep(attempt: Attempt, ctx: &Context<Segment>) {
    let (peer, me) = (ctx.peer().clone(), ctx.me().clone());
    tokio::spawn(async move {
        for _ in 0..CUT_ATTEMPTS {
            match peer.ask_durable(&me, Where, CUT_DEADLINE).await {
                Ok(now) if now.attempt == attempt => {
                    if let Some(first) = segments().next() {
                        // Lost, it ends the cuts of this attempt, and nothing else.
                        let _ = peer.tell(&first, Settled { attempt }).await;
                    }
                    return;
                }
                Ok(_) => return,
                Err(error) => tracing::warn!(actor = me.key(), %error, "a cut is not durable yet"),
            }
        }
    });
}

/// A pause is over.
#[derive(Serialize, Deserialize)]
struct Next {
    attempt: Attempt,
}

impl Message for Next {
    const NAME: &'static str = "next";
    type Reply = ();
}

impl Handler<Next> for Segment {
    async fn handle(&mut self, Next { attempt }: Next, ctx: &mut Context<Self>) {
        if attempt == self.attempt() {
            give(self, ctx).await;
        }
    }
}

/// One segment's part of the newest cut is durable.
#[derive(Serialize, Deserialize)]
struct Settled {
    attempt: Attempt,
}

impl Message for Settled {
    const NAME: &'static str = "settled";
    type Reply = ();
}

impl Handler<Settled> for Segment {
    async fn handle(&mut self, Settled { attempt }: Settled, _: &mut Context<Self>) {
        if attempt == self.attempt() {
            self.cutter.settled();
        }
    }
}

impl Handler<Inspect> for Segment {
    async fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> (u64, u64) {
        (self.now().0, self.sum())
    }
}

impl Handler<Read> for Segment {
    async fn handle(&mut self, Read { first }: Read, _: &mut Context<Self>) -> Option<Vec<u64>> {
        let of = |ranks: &[u64]| ranks.iter().skip(first).take(RANKS_PER_LINE).copied().collect();
        self.is_done().then(|| self.now().1.map(of)).flatten()
    }
}

pub fn kind() -> KindOf<Segment> {
    let kind = Kind::of().handles::<Prepare>().handles::<Where>().handles::<GoBack>().handles::<Start>();
    let kind = kind.handles::<Gift>().handles::<Next>().handles::<Settled>();
    kind.handles::<Inspect>().handles::<Read>()
}

/// The name of a segment.
pub fn segment_ref(number: usize) -> Result<ActorRef<Segment>, CallError> {
    ActorRef::new(number.to_string()).map_err(invalid)
}

/// The names of all segments, without end.
fn segments() -> impl Iterator<Item = ActorRef<Segment>> {
    (0..).map_while(|number| segment_ref(number).ok())
}
