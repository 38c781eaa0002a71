//! A request from its caller's side: where it is to go, who answers, and what can come of it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::reply::Reply;
use super::stream::FramedStream;
use super::wire::{Hello, Lane, Refusal};
use crate::id::{Incarnation, NodeId};
use crate::limits::MAX_QUEUED_BYTES;

/// Where to send, and whom to expect there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dest {
    /// The node that must answer, or none for a contact address that anyone may own.
    pub node_id: Option<NodeId>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its life, if known: an older one is not talked to.
    pub incarnation: Option<Incarnation>,
}

impl Dest {
    /// Whoever listens there.
    pub fn contact(addr: SocketAddr) -> Self {
        Self { node_id: None, addr, incarnation: None }
    }
}

/// An authenticated peer at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What it said about itself; node and cluster are those of its certificate.
    pub hello: Hello,
    /// Where its packets come from.
    pub addr: SocketAddr,
}

/// Who answers. Every method is called from the transport's tasks and must not block.
pub trait Handler: Send + Sync + 'static {
    /// Whether to talk to this peer. Its certificate, cluster, version and node id are already checked.
    ///
    /// # Errors
    /// The refusal is sent to the peer.
    fn on_hello(&self, hello: &Hello) -> Result<(), Refusal>;

    /// One request, in the order of arrival of its connection and lane.
    fn on_request(&self, from: &Arc<Remote>, lane: Lane, body: Bytes, reply: Reply);

    /// A bulk stream and its header. Spawn something that serves it.
    fn on_stream(&self, from: &Arc<Remote>, header: Bytes, stream: FramedStream);

    /// The peer at `by` refused this one, at the hello or later.
    fn on_refused(&self, by: SocketAddr, refusal: &Refusal) {
        let _ = (by, refusal);
    }
}

/// A request without a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It never left, so it was surely not handled.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It left, and no reply came: it may have been handled.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The other end refused it, so it was not handled.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The deadline passed. If it was not sent by then it never will be; otherwise it may have been handled.
    #[error("the deadline passed ({})", if *sent { "outcome unknown" } else { "not sent" })]
    Deadline {
        /// Whether it had left.
        sent: bool,
    },
    /// It is larger than a frame may be. It was not sent.
    #[error("larger than a frame may be; not sent")]
    TooLarge,
}

impl RequestError {
    /// Whether the other end surely did not handle the request.
    pub fn is_not_handled(&self) -> bool {
        !matches!(self, RequestError::Unknown(_) | RequestError::Deadline { sent: true })
    }
}

pub(super) type Answer = Result<Bytes, RequestError>;

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Decides between the writer and the caller: a request is sent or given up, never both. Without it a caller could be
/// told "not sent" while the writer sends.
#[derive(Debug, Default)]
pub(super) struct Claim(AtomicU8);

impl Claim {
    /// The writer's side. False: the caller was told that it will not be sent.
    fn send(&self) -> bool {
        self.0.compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller's side. Returns whether it was sent before.
    fn give_up(&self) -> bool {
        let before = self.0.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        before.is_err_and(|state| state == SENT)
    }
}

/// The bytes that wait in one queue.
#[derive(Debug, Default)]
pub(super) struct Quota(AtomicUsize);

impl Quota {
    /// Reserves room. False: there is none.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        // A single frame always fits an empty queue.
        let fits = before == 0 || before.saturating_add(bytes) <= MAX_QUEUED_BYTES;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A share of such bytes, given back when dropped.
#[derive(Debug)]
struct Charge {
    quota: Arc<Quota>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.give_back(self.bytes);
    }
}

/// A request on its way to a writer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) body: Vec<u8>,
    pub(super) expects: Option<Incarnation>,
    pub(super) ticket: Ticket,
}

/// A request without its bytes.
#[derive(Debug)]
pub(super) struct Ticket {
    claim: Arc<Claim>,
    answer: oneshot::Sender<Answer>,
    until: Instant,
    charge: Option<Charge>,
}

impl Item {
    /// The request, and the caller's hold on its answer.
    pub(super) fn new(body: Vec<u8>, expects: Option<Incarnation>, until: Instant) -> (Self, Waiting) {
        let (answer, receiver) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        let ticket = Ticket { claim: claim.clone(), answer, until, charge: None };
        (Self { body, expects, ticket }, Waiting { claim, answer: receiver, until })
    }

    /// Reserves room among the bytes that wait. False: there is none.
    pub(super) fn charge(&mut self, quota: &Arc<Quota>) -> bool {
        let bytes = self.body.len();
        let fits = quota.take(bytes);
        self.ticket.charge = fits.then(|| Charge { quota: quota.clone(), bytes });
        fits
    }

    /// Ends a request that was not sent.
    pub(super) fn fail(self, error: RequestError) {
        self.ticket.fail(error);
    }
}

impl Ticket {
    /// Ends a request that was not sent.
    pub(super) fn fail(self, error: RequestError) {
        let _ = self.claim.give_up();
        let _ = self.answer.send(Err(error));
    }

    /// From here on it counts as sent. None if its caller has given up, or its deadline has passed.
    pub(super) fn launch(self, now: Instant) -> Option<oneshot::Sender<Answer>> {
        if now >= self.until {
            self.fail(RequestError::Deadline { sent: false });
            return None;
        }
        self.claim.send().then_some(self.answer)
    }
}

/// The caller's hold on the answer. It does not look at the clock: see [`Waiting::in_time`].
#[derive(Debug)]
pub struct Waiting {
    claim: Arc<Claim>,
    answer: oneshot::Receiver<Answer>,
    until: Instant,
}

impl Waiting {
    /// The answer, within the deadline of the request. Await it on a tokio runtime; any will do.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn in_time(mut self) -> Result<Bytes, RequestError> {
        match timeout_at(self.until, &mut self).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Deadline { sent: self.claim.give_up() }),
        }
    }
}

impl Future for Waiting {
    type Output = Result<Bytes, RequestError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(task));
        Poll::Ready(match answer {
            Ok(answer) => answer,
            Err(_) if self.claim.give_up() => Err(RequestError::Unknown("the connection is gone".into())),
            Err(_) => Err(RequestError::NotSent("the connection is gone".into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;
    use std::time::Duration;

    #[test]
    fn a_request_is_sent_or_given_up_but_never_both() {
        let claim = Claim::default();
        assert!(!claim.give_up(), "it was not sent");
        assert!(!claim.send(), "the caller was told so");
        assert!(!claim.give_up());

        let claim = Claim::default();
        assert!(claim.send());
        assert!(claim.give_up(), "it was sent");
        assert!(claim.give_up(), "and stays so");
    }

    #[tokio::test]
    async fn a_caller_that_gave_up_unsent_is_skipped_by_the_writer() {
        let (item, waiting) = Item::new(vec![1], None, moment(Duration::ZERO));
        assert_eq!(waiting.in_time().await, Err(RequestError::Deadline { sent: false }));
        assert!(item.ticket.launch(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_request_whose_connection_vanishes_is_unknown_only_once_it_was_sent() {
        let (item, waiting) = Item::new(vec![1], None, moment(Duration::from_secs(5)));
        drop(item);
        assert!(matches!(waiting.in_time().await, Err(RequestError::NotSent(_))));

        let (item, waiting) = Item::new(vec![1], None, moment(Duration::from_secs(5)));
        drop(item.ticket.launch(Instant::now()).unwrap());
        assert!(matches!(waiting.in_time().await, Err(RequestError::Unknown(_))));
    }

    #[test]
    fn waiting_bytes_are_bounded_but_one_frame_always_fits() {
        let quota = Quota::default();
        assert!(quota.take(MAX_QUEUED_BYTES + 1));
        assert!(!quota.take(1));
        quota.give_back(MAX_QUEUED_BYTES + 1);
        assert!(quota.take(1) && quota.take(MAX_QUEUED_BYTES - 1));
        assert!(!quota.take(1));
        quota.give_back(MAX_QUEUED_BYTES);
        assert_eq!(quota.0.load(Ordering::Relaxed), 0);
    }
}
