//! Links of a chain: actors that send numbers to each other reliably.

use serde::{Deserialize, Serialize};
use standin::Change;
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Restored, SendError, Undelivered};
use standin::id::ActorId;
use std::time::Duration;

/// Checks that numbers come one after the other, and passes them on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub next: Option<String>,
    pub newest: u64,
    pub out_of_order: u64,
    pub undelivered: u64,
    /// What was added to it.
    pub sum: u64,
    /// What it was told of the one that it watches.
    pub told: Vec<Change>,
    /// How often it began anew.
    pub begun: u64,
}

impl Actor for Link {
    const KIND: &'static str = "link";
    async fn on_undelivered(&mut self, what: Undelivered, _: &mut Context<Self>) {
        self.undelivered += what.messages;
    }
    async fn on_change(&mut self, _: ActorId, change: Change, _: &mut Context<Self>) {
        self.told.push(change);
    }
    async fn on_restored(&mut self, _: Restored, _: &mut Context<Self>) {
        self.begun += 1;
    }
}

impl Link {
    pub fn passing_on(next: Option<String>) -> Self {
        Self { next, ..Self::default() }
    }

    pub fn is_exact(&self) -> bool {
        (self.out_of_order, self.undelivered) == (0, 0)
    }
}

/// The next number.
#[derive(Serialize, Deserialize)]
pub struct Take(pub u64);
impl Message for Take {
    const NAME: &'static str = "take";
    type Reply = ();
}
impl Handler<Take> for Link {
    async fn handle(&mut self, Take(n): Take, ctx: &mut Context<Self>) {
        self.out_of_order += u64::from(n != self.newest + 1);
        self.newest = n;
        if let Some(next) = &self.next {
            ctx.send(&ActorRef::<Self>::new(next).unwrap(), Take(n)).unwrap();
        }
    }
}

/// Send the next numbers, up to this one: so many at a time, a millisecond after the last ones.
#[derive(Clone, Serialize, Deserialize)]
pub struct Run {
    pub to: u64,
    pub at_once: u64,
}
impl Message for Run {
    const NAME: &'static str = "run";
    type Reply = ();
}
impl Handler<Run> for Link {
    async fn handle(&mut self, run: Run, ctx: &mut Context<Self>) {
        let next = ActorRef::<Self>::new(self.next.as_deref().unwrap()).unwrap();
        for _ in 0..run.at_once {
            if self.newest == run.to {
                return;
            }
            match ctx.send(&next, Take(self.newest + 1)) {
                Ok(()) => self.newest += 1,
                Err(SendError::Full) => break,
                Err(e) => panic!("{e}"),
            }
        }
        ctx.schedule_durable(Duration::from_millis(1), run).unwrap();
    }
}

/// The same as fast as checkpoints allow: each hundred when those before have left.
#[derive(Serialize, Deserialize)]
pub struct Emit {
    pub to: u64,
}
impl Message for Emit {
    const NAME: &'static str = "emit";
    type Reply = u64;
}

impl Handler<Emit> for Link {
    async fn handle(&mut self, Emit { to }: Emit, ctx: &mut Context<Self>) -> u64 {
        let next = ActorRef::<Self>::new(self.next.as_deref().unwrap()).unwrap();
        for n in (self.newest + 1..=to).take(100) {
            match ctx.send(&next, Take(n)) {
                Ok(()) => self.newest = n,
                Err(SendError::Full) => break,
                Err(e) => panic!("{e}"),
            }
        }
        if self.newest < to {
            let me = ctx.me().clone();
            ctx.send(&me, Emit { to }).unwrap();
        }
        self.newest
    }
}

/// Everything.
#[derive(Serialize, Deserialize)]
pub struct Show;
impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Link;
}
impl Handler<Show> for Link {
    async fn handle(&mut self, _: Show, _: &mut Context<Self>) -> Link {
        self.clone()
    }
}

/// Adds to its sum.
#[derive(Serialize, Deserialize)]
pub struct Add(pub u64);
impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}
impl Handler<Add> for Link {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.sum += n;
        self.sum
    }
}

/// Watch another link.
#[derive(Serialize, Deserialize)]
pub struct Mind(pub String);
impl Message for Mind {
    const NAME: &'static str = "mind";
    type Reply = ();
}
impl Handler<Mind> for Link {
    async fn handle(&mut self, Mind(key): Mind, ctx: &mut Context<Self>) {
        ctx.watch(&ActorRef::<Self>::new(key).unwrap()).unwrap();
        ctx.checkpoint().await;
    }
}

pub fn kind() -> Kind {
    let kind = Kind::of::<Link>().handles::<Take>().handles::<Run>().handles::<Emit>();
    kind.handles::<Show>().handles::<Add>().handles::<Mind>().into()
}
