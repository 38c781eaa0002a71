//! Actors that send to each other reliably, as a chain.

use serde::{Deserialize, Serialize};
use standin::actor::{
    Actor, ActorRef, Context, Down, Handler, Kind, Message, Policy, Restored, SendError, Undelivered,
};
use standin::id::{ActorId, NodeId};
use standin::{CallError, Change, Peer, Placement, Reason, Session};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::words::Answer;

/// Checks that numbers come one after the other, and passes them on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    next: Option<String>,
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
    fn policy() -> Policy {
        Policy::default()
    }
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

#[derive(Serialize, Deserialize)]
pub struct Take(u64);
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
    to: u64,
    at_once: u64,
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

#[derive(Serialize, Deserialize)]
pub struct Add(u64);
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

#[derive(Serialize, Deserialize)]
pub struct Mind(String);
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
    let kind = Kind::of::<Link>().handles::<Take>().handles::<Run>().handles::<Show>();
    kind.handles::<Add>().handles::<Mind>().into()
}

/// What a test wants of a link.
#[derive(Serialize, Deserialize)]
pub enum LinkWant {
    Create {
        key: String,
        next: Option<String>,
        home: NodeId,
        /// Whether others run it while its home is away.
        moves: bool,
    },
    Run {
        key: String,
        to: u64,
        at_once: u64,
    },
    Show {
        key: String,
        deadline: Duration,
    },
    /// One watches another.
    Mind {
        key: String,
        of: String,
    },
    /// Begins a session, or goes on with one from a message on.
    Open {
        resume: Option<(u64, u64)>,
    },
    /// An ask in a session of this process.
    Add {
        session: u64,
        key: String,
        n: u64,
    },
}

/// The sessions of this process.
static SESSIONS: Mutex<BTreeMap<u64, Arc<Session>>> = Mutex::new(BTreeMap::new());

/// Does it, in the child.
pub async fn answer(peer: &Peer, want: LinkWant, patience: Duration) -> Answer {
    match want {
        LinkWant::Create { key, next, home, moves } => {
            let down = if moves { Down::StandIn { after: Duration::ZERO } } else { Down::Wait };
            let link = Link { next, ..Link::default() };
            Answer::Done(peer.create(key, link, Placement::On(home).down(down)).await.map(drop))
        }
        LinkWant::Run { key, to, at_once } => Answer::Done(match named(&key) {
            Ok(name) => peer.ask_durable(&name, Run { to, at_once }, patience).await,
            Err(e) => Err(e),
        }),
        LinkWant::Show { key, deadline } => Answer::Link(match named(&key) {
            Ok(name) => peer.ask_within(&name, Show, deadline).await.map(Box::new),
            Err(e) => Err(e),
        }),
        LinkWant::Mind { key, of } => Answer::Done(match named(&key) {
            Ok(name) => peer.ask_within(&name, Mind(of), patience).await,
            Err(e) => Err(e),
        }),
        LinkWant::Open { resume } => {
            let session = match resume {
                None => peer.session().await,
                Some((id, next)) => peer.resume_session(id, next).await,
            };
            Answer::Number(session.map(|session| {
                let id = session.id();
                lock().insert(id, Arc::new(session));
                id
            }))
        }
        LinkWant::Add { session, key, n } => {
            let session = lock().get(&session).cloned();
            Answer::Number(match (session, named(&key)) {
                (Some(session), Ok(name)) => session.ask_within(&name, Add(n), patience).await,
                (None, _) => Err(CallError::not_executed(Reason::NoSuchSession)),
                (_, Err(e)) => Err(e),
            })
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<u64, Arc<Session>>> {
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(key: &str) -> Result<ActorRef<Link>, CallError> {
    ActorRef::new(key).map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))
}
