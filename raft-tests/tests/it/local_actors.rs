//! Local actors act under their peer's lease.

use standin::testing::Cluster;
use standin::{LocalActor, LocalContext, LocalHandler, LocalRef, Outcome, Reason};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::time::timeout;

use crate::support::{PATIENCE, cluster, until};

/// Adds to a number that the test sees.
struct Tallier(Arc<AtomicU64>);
impl LocalActor for Tallier {}

/// Says that it has begun, and blocks until it may go on.
struct Tally(mpsc::Sender<()>, mpsc::Receiver<()>);

impl LocalHandler<Tally> for Tallier {
    type Reply = u64;
    async fn handle(&mut self, Tally(begun, go): Tally, _: &mut LocalContext<Self>) -> u64 {
        begun.send(()).unwrap();
        tokio::task::block_in_place(|| go.recv_timeout(PATIENCE)).unwrap();
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

type Call = tokio::task::JoinHandle<Result<u64, standin::CallError>>;

fn ask(actor: &LocalRef<Tallier>) -> (Call, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((begun, has_begun), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    let actor = actor.clone();
    let call = tokio::spawn(async move { actor.ask_within(Tally(begun, may_go), PATIENCE).await });
    (call, has_begun, go)
}

/// A cluster, and one of it that does not lead.
async fn with_a_follower() -> (Cluster, usize) {
    let cluster = cluster(3).await;
    let at = (cluster.leader().await.unwrap() + 1) % 3;
    (cluster, at)
}

async fn loses_its_lease(cluster: &Cluster, at: usize) {
    cluster.isolate(at);
    until("the lease ends", || !cluster.peer(at).status().holds_lease).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_lease_no_handler_begins_and_no_reply_leaves() {
    let (mut cluster, at) = with_a_follower().await;
    let (peer, done) = (cluster.peer(at).clone(), Arc::default());
    let actor = peer.spawn(Tallier(Arc::clone(&done))).unwrap();
    let (mut first, begun, go) = ask(&actor);
    tokio::task::block_in_place(|| begun.recv_timeout(PATIENCE)).unwrap();
    loses_its_lease(&cluster, at).await;
    let (mut second, has_begun, go_on) = ask(&actor);
    // It was in the middle when the lease ended, and ends without one: that stays here.
    go.send(()).unwrap();
    go_on.send(()).unwrap();
    until("the handler has returned", || done.load(Ordering::Relaxed) == 1).await;
    let leaves = timeout(Duration::from_millis(500), &mut first).await;
    assert!(leaves.is_err(), "a reply left without a lease: {leaves:?}");
    assert!(!peer.status().holds_lease && has_begun.try_recv().is_err() && !second.is_finished());
    cluster.heal_all();
    assert_eq!(timeout(PATIENCE, &mut first).await.unwrap().unwrap(), Ok(1));
    assert_eq!(timeout(PATIENCE, &mut second).await.unwrap().unwrap(), Ok(2));
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_waits_for_its_lease_ends_when_its_peer_is_killed() {
    let (mut cluster, at) = with_a_follower().await;
    let (peer, done) = (cluster.peer(at).clone(), Arc::default());
    let actor = peer.spawn(Tallier(Arc::clone(&done))).unwrap();
    loses_its_lease(&cluster, at).await;
    let (call, has_begun, go) = ask(&actor);
    go.send(()).unwrap();
    cluster.kill(at);
    let error = timeout(PATIENCE, call).await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.outcome, error.reason), (Outcome::NotExecuted, Reason::Shutdown));
    assert!(has_begun.try_recv().is_err() && done.load(Ordering::Relaxed) == 0);
    cluster.heal_all();
    cluster.replace(at).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
