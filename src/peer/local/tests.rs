//! Local actors on one real peer.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::{LocalActor, LocalContext, LocalHandler, LocalRef, SpawnError};
use crate::error::{CallError, Outcome, Reason};
use crate::id::{Incarnation, NodeId};
use crate::identity::Identity;
use crate::peer::Peer;

const PATIENCE: Duration = Duration::from_secs(20);

async fn peer() -> (Peer, tempfile::TempDir) {
    let (dir, node) = (tempfile::tempdir().unwrap(), NodeId::new("one").unwrap());
    let identity = Identity::development("local", &node).unwrap();
    let builder = Peer::builder(node).identity(identity).data_dir(dir.path()).bootstrap(true);
    let peer = builder.start().await.unwrap();
    peer.joined(PATIENCE).await.unwrap();
    (peer, dir)
}

/// Tells whoever holds the other end of the channel when it is dropped.
struct Counter {
    n: u64,
    _ended: oneshot::Sender<()>,
}

impl LocalActor for Counter {
    const MAILBOX: usize = 2;
}

fn counter(peer: &Peer) -> (LocalRef<Counter>, oneshot::Receiver<()>) {
    let (ended, end) = oneshot::channel();
    (peer.spawn(Counter { n: 0, _ended: ended }).unwrap(), end)
}

async fn has_ended(end: oneshot::Receiver<()>) {
    drop(timeout(PATIENCE, end).await.expect("it goes on"));
}

struct Add(u64);

impl LocalHandler<Add> for Counter {
    type Reply = u64;
    async fn handle(&mut self, Add(n): Add, _: &mut LocalContext<Self>) -> u64 {
        self.n += n;
        self.n
    }
}

struct Boom;

impl LocalHandler<Boom> for Counter {
    type Reply = u64;
    async fn handle(&mut self, Boom: Boom, _: &mut LocalContext<Self>) -> u64 {
        panic!("as the test wishes");
    }
}

struct Stop;

impl LocalHandler<Stop> for Counter {
    type Reply = u64;
    async fn handle(&mut self, Stop: Stop, ctx: &mut LocalContext<Self>) -> u64 {
        ctx.stop();
        self.n
    }
}

/// Says that it has begun, and waits.
struct Wait(Arc<Notify>, Arc<Notify>);

impl LocalHandler<Wait> for Counter {
    type Reply = ();
    async fn handle(&mut self, Wait(begun, go): Wait, _: &mut LocalContext<Self>) {
        begun.notify_one();
        go.notified().await;
    }
}

/// An actor that is at a message until it is told to go on.
async fn busy(actor: &LocalRef<Counter>) -> (tokio::task::JoinHandle<Result<(), CallError>>, Arc<Notify>) {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asks, wait) = (actor.clone(), Wait(begun.clone(), go.clone()));
    let call = tokio::spawn(async move { asks.ask(wait).await });
    timeout(PATIENCE, begun.notified()).await.unwrap();
    (call, go)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_handled_in_turn_and_the_end_of_the_last_reference_ends_it_once_they_are() {
    let (peer, _dir) = peer().await;
    let (actor, end) = counter(&peer);
    for n in 1..=100 {
        actor.tell(Add(1)).await.unwrap();
        assert_eq!(actor.ask(Add(0)).await, Ok(n));
    }
    let (call, go) = busy(&actor).await;
    let last = {
        let actor = actor.clone();
        tokio::spawn(async move { actor.ask(Add(5)).await })
    };
    drop(actor);
    go.notify_one();
    assert_eq!((call.await.unwrap(), last.await.unwrap()), (Ok(()), Ok(105)));
    has_ended(end).await;
    assert_eq!(peer.shared.crowd.count(), 0);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_takes_no_more_and_a_deadline_tells_whether_the_message_ran() {
    let (peer, _dir) = peer().await;
    let (actor, _end) = counter(&peer);
    let (call, go) = busy(&actor).await;
    actor.try_tell(Add(1)).unwrap();
    let brief = Duration::from_millis(50);
    assert_eq!(actor.ask_within(Add(1), brief).await, Err(CallError::unknown(Reason::Deadline)));
    assert_eq!(actor.try_tell(Add(1)), Err(CallError::not_executed(Reason::Full)));
    assert_eq!(actor.ask_within(Add(1), brief).await, Err(CallError::not_executed(Reason::Full)));
    go.notify_one();
    call.await.unwrap().unwrap();
    assert_eq!(actor.ask(Add(0)).await, Ok(2));
    peer.shutdown().await;
}

/// What becomes of a message that ends its actor, and of one that waits behind it.
async fn ends_by(
    peer: &Peer,
    message: impl AsyncFnOnce(&LocalRef<Counter>) -> Result<u64, CallError>,
) -> (LocalRef<Counter>, [Result<u64, CallError>; 2]) {
    let (actor, end) = counter(peer);
    let (call, go) = busy(&actor).await;
    let (ends, waits) = (message(&actor), actor.ask(Add(1)));
    go.notify_one();
    let (ends, waits) = tokio::join!(ends, waits);
    assert_eq!(call.await.unwrap(), Ok(()));
    has_ended(end).await;
    (actor, [ends, waits])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_it_and_everybody_is_told_what_became_of_their_message() {
    let (peer, _dir) = peer().await;
    let (actor, [panics, waits]) = ends_by(&peer, async |actor| actor.ask(Boom).await).await;
    assert_eq!(panics, Err(CallError::executed(Reason::Panicked("as the test wishes".into()))));
    assert_eq!(waits, Err(CallError::not_executed(Reason::Stopped)));
    assert_eq!(actor.tell(Add(1)).await, Err(CallError::not_executed(Reason::Stopped)));
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_itself_answers_first_and_handles_nothing_more() {
    let (peer, _dir) = peer().await;
    let (_actor, [stops, waits]) = ends_by(&peer, async |actor| actor.ask(Stop).await).await;
    assert_eq!(stops, Ok(0));
    assert_eq!(waits, Err(CallError::not_executed(Reason::Stopped)));
    peer.shutdown().await;
}

/// Makes as many more as it is told, each of which tells it when it has begun.
struct Parent(u64);
impl LocalActor for Parent {}

struct Child(LocalRef<Parent>);
impl LocalActor for Child {}

struct Have(u64);

impl LocalHandler<Have> for Parent {
    type Reply = ();
    async fn handle(&mut self, Have(children): Have, ctx: &mut LocalContext<Self>) {
        for _ in 0..children {
            let child = Child(ctx.me().unwrap());
            ctx.peer().spawn(child).unwrap().tell(()).await.unwrap();
        }
    }
}

impl LocalHandler<()> for Child {
    type Reply = ();
    async fn handle(&mut self, (): (), _: &mut LocalContext<Self>) {
        self.0.tell(()).await.unwrap();
    }
}

impl LocalHandler<()> for Parent {
    type Reply = u64;
    async fn handle(&mut self, (): (), _: &mut LocalContext<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_make_others_and_give_them_their_own_reference() {
    let (peer, _dir) = peer().await;
    let parent = peer.spawn(Parent(0)).unwrap();
    parent.ask(Have(1000)).await.unwrap();
    let all = async {
        while peer.shared.crowd.count() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    assert_eq!(parent.ask(()).await, Ok(1001));
    peer.shutdown().await;
}

/// What callers hear of a peer that ends while an actor is at a message: that one, one that waits, one that comes
/// later.
async fn ends_with(end_peer: impl AsyncFnOnce(&Peer)) -> [CallError; 3] {
    let (peer, _dir) = peer().await;
    let (actor, end) = counter(&peer);
    let (call, _go) = busy(&actor).await;
    let waits = tokio::spawn({
        let actor = actor.clone();
        async move { actor.ask(Add(1)).await }
    });
    while actor.items.free() > 1 {
        tokio::task::yield_now().await;
    }
    end_peer(&peer).await;
    has_ended(end).await;
    let why = peer.spawn(Parent(0)).err();
    let heard = [
        timeout(PATIENCE, call).await.unwrap().unwrap().unwrap_err(),
        timeout(PATIENCE, waits).await.unwrap().unwrap().unwrap_err(),
        actor.ask(Add(1)).await.unwrap_err(),
    ];
    assert_eq!(why, Some(SpawnError::Over(heard[2].reason.clone())));
    peer.shutdown().await;
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn all_end_with_their_peer() {
    let of = |reason: &Reason| {
        [Outcome::Unknown, Outcome::NotExecuted, Outcome::NotExecuted]
            .map(|outcome| CallError { outcome, reason: reason.clone() })
    };
    assert_eq!(ends_with(async |peer| peer.shutdown().await).await, of(&Reason::Shutdown));
    assert_eq!(ends_with(async |peer| peer.shared.retire(Incarnation(99))).await, of(&Reason::Retired));
    let leaves = async |peer: &Peer| peer.shared.leave(PATIENCE).await.unwrap();
    assert_eq!(ends_with(leaves).await, of(&Reason::Shutdown), "it is not over yet, but holds no lease");
    let failed = Reason::Unavailable("the disk is gone".into());
    assert_eq!(ends_with(async |peer| peer.shared.fail("the disk is gone")).await, of(&failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hear_why_their_peer_ended_also_if_its_lease_was_gone_before() {
    let (peer, _dir) = peer().await;
    let (actor, _end) = counter(&peer);
    peer.shared.gate.retire();
    let mut call = tokio::spawn(async move { actor.ask(Add(1)).await });
    let early = timeout(Duration::from_millis(200), &mut call).await;
    assert!(early.is_err(), "nobody knows yet why: {early:?}");
    peer.shutdown().await;
    let heard = timeout(PATIENCE, call).await.unwrap().unwrap();
    assert_eq!(heard, Err(CallError::not_executed(Reason::Shutdown)));
}

/// The runtime of a peer may end before the peer does.
#[test]
fn one_that_is_made_when_its_threads_are_gone_ends_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (peer, _dir) = runtime.block_on(peer());
    drop(runtime);
    let (actor, end) = counter(&peer);
    assert_eq!(actor.try_tell(Add(1)), Err(CallError::not_executed(Reason::Stopped)));
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        has_ended(end).await;
        peer.shutdown().await;
    });
}
