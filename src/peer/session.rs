//! Sessions: reliable messages from a client that is no actor.

use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

use super::Peer;
use super::directory::{fresh_nonce, undecided};
use super::post::PostOffice;
use super::shared::Shared;
use crate::actor::{ActorRef, Courier, Follow, Handler, Message, decode_reply, encode_message};
use crate::clock::moment;
use crate::core::command::{Command, Refused, Response};
use crate::core::session::{Content, Outbox, Replied, Sender};
use crate::error::{CallError, Reason};
use crate::id::ActorId;
use crate::limits::{DEFAULT_CALL_DEADLINE, MAX_PARCELS};

/// A client that sends reliably: each message takes effect exactly once on its receiver's state, and messages to one
/// receiver do so in the order in which they were handed in, whatever machines die, this one aside.
///
/// Messages carry numbers: 1, 2, 3 and so on. A client that may die, too, keeps the session's [id](Session::id) and
/// how many of its messages have ended somewhere safe. Its successor, on any peer, takes the session up again with
/// [`Peer::resume_session`] from the first message of which that is not known, and hands in the same messages again:
/// those that had arrived are recognised, and their replies are still there.
pub struct Session {
    id: u64,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    newest: Arc<AtomicU64>,
}

struct Order {
    to: ActorId,
    name: &'static str,
    payload: Vec<u8>,
    is_ask: bool,
    done: oneshot::Sender<Replied>,
}

impl Peer {
    /// Begins a session.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use standin::Placement;
    /// # use standin::actor::{Actor, Context, Handler, Kind, Message};
    /// # use standin::testing::Cluster;
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Counter { n: u64 }
    /// # impl Actor for Counter { const KIND: &'static str = "counter"; }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Add(u64);
    /// # impl Message for Add { const NAME: &'static str = "add"; type Reply = u64; }
    /// # impl Handler<Add> for Counter {
    /// #     async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
    /// #         self.n += n;
    /// #         self.n
    /// #     }
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let mut cluster = Cluster::start(1, |peer| peer.kind(Kind::of::<Counter>().handles::<Add>())).await?;
    /// # let peer = cluster.peer(0);
    /// let counter = peer.create("c", Counter { n: 0 }, Placement::Spread).await?;
    /// let session = peer.session().await?;
    /// session.send(&counter, Add(2)).await?;                    // it is in the counter, once, and for good
    /// assert_eq!(session.ask(&counter, Add(3)).await?, 5);
    /// # drop(session);
    /// # cluster.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the cluster could not decide in time, or has
    /// [`MAX_CLIENT_SESSIONS`](crate::limits::MAX_CLIENT_SESSIONS) already.
    pub async fn session(&self) -> Result<Session, CallError> {
        self.open_session(None, 1).await
    }

    /// Goes on with a session that this or another process began: its next message has the number `next`. Nobody else
    /// may use it any more.
    ///
    /// # Errors
    /// If there is no such session: it was closed, or its process has been gone for more than
    /// [`SESSION_EXPIRY`](crate::limits::SESSION_EXPIRY). Or that the cluster could not decide in time.
    pub async fn resume_session(&self, id: u64, next: u64) -> Result<Session, CallError> {
        self.open_session(Some(id), next).await
    }

    async fn open_session(&self, resume: Option<u64>, next: u64) -> Result<Session, CallError> {
        let unavailable = |why: String| CallError::not_executed(Reason::Unavailable(why));
        let by = self.shared.incarnation().ok_or_else(|| unavailable("not a member yet".into()))?;
        let command = Command::OpenSession { by, nonce: fresh_nonce()?, resume };
        match self.shared.propose(command, DEFAULT_CALL_DEADLINE).await.map_err(undecided)? {
            Response::Session(id) => Ok(Session::begin(&self.shared, id, next)),
            Response::Refused(Refused::NoSuchSession) => Err(CallError::not_executed(Reason::NoSuchSession)),
            Response::Refused(why) => Err(unavailable(why.to_string())),
            _ => Err(unavailable("an answer to another question".into())),
        }
    }
}

impl Session {
    fn begin(shared: &Arc<Shared>, id: u64, next: u64) -> Self {
        let (orders, queue) = mpsc::channel(MAX_PARCELS);
        let newest = Arc::new(AtomicU64::new(next.saturating_sub(1)));
        let post = Arc::new(PostOffice(Arc::downgrade(shared)));
        let mut courier = Courier::new(Sender::Client(id), post, Outbox::beginning_at(next));
        courier.answered = next.saturating_sub(1);
        let client = Client { courier, queue: Some(queue), waiting: BTreeMap::new(), newest: newest.clone() };
        let looker = shared.clone();
        shared.spawn(async move { client.run(&looker).await });
        Self { id, shared: shared.clone(), orders, newest }
    }

    /// Its number, the same on every peer and for ever.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number of the newest message.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Sends a message, and waits until its effect is durable, for at most [`DEFAULT_CALL_DEADLINE`].
    ///
    /// # Errors
    /// As for [`Session::ask_within`].
    pub async fn send<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
    ) -> Result<(), CallError> {
        self.exchange(to.id(), message, false, DEFAULT_CALL_DEADLINE).await.map(drop)
    }

    /// [`Session::ask_within`] for at most [`DEFAULT_CALL_DEADLINE`].
    ///
    /// # Errors
    /// As there.
    pub async fn ask<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
    ) -> Result<M::Reply, CallError> {
        self.ask_within(to, message, DEFAULT_CALL_DEADLINE).await
    }

    /// Sends a message, and waits until its effect is durable, for its reply. It is sent again after any failure, and
    /// never runs twice: the receiver remembers the reply.
    ///
    /// # Errors
    /// [`Reason::NoSuchActor`] or [`Reason::Stopped`] if its receiver's life is over; what the handler's panics were,
    /// if there were too many; that it cannot be encoded. Past the deadline the outcome is unknown, for now: the
    /// session goes on bringing it.
    pub async fn ask_within<A: Handler<M>, M: Message>(
        &self,
        to: &ActorRef<A>,
        message: M,
        deadline: Duration,
    ) -> Result<M::Reply, CallError> {
        let reply = self.exchange(to.id(), message, true, deadline).await?;
        decode_reply::<M>(&reply)
    }

    /// Ends the session: nobody can send in it any more, and its receivers forget it. What is still on its way may
    /// arrive, or not.
    ///
    /// # Errors
    /// If the cluster could not decide in time: it ends by itself, later.
    pub async fn close(self) -> Result<(), CallError> {
        let command = Command::CloseSessions { sessions: vec![self.id] };
        self.shared.propose(command, DEFAULT_CALL_DEADLINE).await.map(drop).map_err(undecided)
    }

    async fn exchange<M: Message>(
        &self,
        to: &ActorId,
        message: M,
        is_ask: bool,
        deadline: Duration,
    ) -> Result<ByteBuf, CallError> {
        let payload = encode_message(&message)?;
        let (done, answer) = oneshot::channel();
        let order = Order { to: to.clone(), name: M::NAME, payload, is_ask, done };
        let end = moment(deadline);
        match tokio::time::timeout_at(end, self.orders.send(order)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(CallError::not_executed(Reason::Shutdown)),
            Err(_) => return Err(CallError::not_executed(Reason::Full)),
        }
        match tokio::time::timeout_at(end, answer).await {
            Ok(Ok(replied)) => replied,
            Ok(Err(_)) => Err(CallError::unknown(Reason::Shutdown)),
            Err(_) => Err(CallError::unknown(Reason::Deadline)),
        }
    }
}

/// The session at work.
struct Client {
    courier: Courier,
    /// None once the session was dropped.
    queue: Option<mpsc::Receiver<Order>>,
    waiting: BTreeMap<u64, (ActorId, oneshot::Sender<Replied>)>,
    newest: Arc<AtomicU64>,
}

enum Next {
    Order(Option<Order>),
    Returned(Follow),
    Woken,
}

impl Client {
    async fn run(mut self, shared: &Shared) {
        while self.queue.is_some() || !self.courier.outbox.is_empty() {
            self.courier.wake(shared.now());
            if self.courier.is_stirred {
                self.courier.run_jobs(u64::MAX);
            }
            match self.next(shared).await {
                Next::Order(Some(order)) => self.take(order, shared),
                Next::Order(None) => self.queue = None,
                Next::Returned(follow) => self.follow(follow),
                Next::Woken => {}
            }
        }
    }

    async fn next(&mut self, shared: &Shared) -> Next {
        let wait = self.courier.outbox.wakes_at().map(|at| at.since(shared.now()));
        let has_room = self.waiting.len() < MAX_PARCELS && !self.courier.outbox.is_heavy();
        let order = async {
            match self.queue.as_mut().filter(|_| has_room) {
                Some(queue) => queue.recv().await,
                None => std::future::pending().await,
            }
        };
        let woken = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            returned = poll_fn(|task| self.courier.poll_returned(task)) => {
                // A client has no checkpoints: what it sends may leave at once.
                Next::Returned(self.courier.returned(returned, shared.now(), 0))
            }
            order = order => Next::Order(order),
            () = woken => Next::Woken,
        }
    }

    fn take(&mut self, Order { to, name, payload, is_ask, done }: Order, shared: &Shared) {
        let content = Content { name, payload, is_ask };
        match self.courier.outbox.push(&to, || shared.life_of(&to), content, 0) {
            Some(number) => {
                self.newest.store(number, Ordering::Release);
                self.waiting.insert(number, (to, done));
                self.courier.is_stirred = true;
            }
            // Who has given up by now wants no answer. So below.
            None => drop(done.send(Err(CallError::not_executed(Reason::Full)))),
        }
    }

    fn follow(&mut self, follow: Follow) {
        match follow {
            Follow::Arrived(to, up_to, mut replies) => {
                for (number, done) in self.extract(|number, target| *target == to && number <= up_to) {
                    drop(done.send(replies.remove(&number).unwrap_or_else(|| Ok(ByteBuf::new()))));
                }
            }
            Follow::Over { to, was_known, .. } => {
                let error = match was_known {
                    true => CallError::unknown(Reason::Stopped),
                    false => CallError::not_executed(Reason::NoSuchActor),
                };
                for (_, done) in self.extract(|_, target| *target == to) {
                    drop(done.send(Err(error.clone())));
                }
            }
            Follow::Bound | Follow::Nothing => {}
        }
        let oldest = self.waiting.keys().next().copied();
        self.courier.answered = oldest.map_or(self.courier.outbox.newest(), |number| number - 1);
    }

    fn extract(&mut self, which: impl Fn(u64, &ActorId) -> bool) -> Vec<(u64, oneshot::Sender<Replied>)> {
        let numbers: Vec<u64> =
            self.waiting.iter().filter(|(n, (to, _))| which(**n, to)).map(|(n, _)| *n).collect();
        let taken = numbers.into_iter().filter_map(|n| self.waiting.remove(&n).map(|(_, done)| (n, done)));
        taken.collect()
    }
}
