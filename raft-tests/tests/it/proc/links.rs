//! What a test may want of the links of a chain in a process of its own.

use serde::{Deserialize, Serialize};
use standin::actor::{ActorRef, Down};
use standin::id::NodeId;
use standin::{CallError, Peer, Placement, Reason, Session};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::words::Answer;
use crate::chain::{Add, Link, Mind, Run, Show};

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
            let link = Link::passing_on(next);
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
