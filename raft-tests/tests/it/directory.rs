//! Names: made once, found everywhere, ended once.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Message};
use standin::{Outcome, Placement, Reason};

use crate::support::{Add, Counter, PATIENCE, add, cluster, sum};

/// Of a kind that no peer knows.
#[derive(Serialize, Deserialize)]
struct Stranger;

impl Actor for Stranger {
    const KIND: &'static str = "stranger";
}

/// A message that counters handle here, and that no peer was told of.
#[derive(Serialize, Deserialize)]
struct Unheard;

impl Message for Unheard {
    const NAME: &'static str = "unheard";
    type Reply = ();
}

impl Handler<Unheard> for Counter {
    async fn handle(&mut self, Unheard: Unheard, _: &mut Context<Self>) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_made_once_found_from_everywhere_and_ended_once() {
    let mut cluster = cluster(3).await;
    let [a, b, c] = [0, 1, 2].map(|at| cluster.peer(at).clone());

    // From where it was never seen: only the leader can say that there is none.
    let nowhere = ActorRef::<Counter>::new("nowhere").unwrap();
    for peer in [&a, &b, &c] {
        let error = peer.ask(&nowhere, Add(1)).await.unwrap_err();
        assert_eq!((error.outcome, error.reason), (Outcome::NotExecuted, Reason::NoSuchActor));
        let error = peer.stop(&nowhere).await.unwrap_err();
        assert_eq!((error.outcome, error.reason), (Outcome::NotExecuted, Reason::NoSuchActor));
    }

    let name = a.create("apples", Counter { n: 1 }, Placement::On(cluster.node(1))).await.unwrap();
    for peer in [&a, &b, &c] {
        let twice = peer.create("apples", Counter { n: 50 }, Placement::Here).await.unwrap_err();
        assert_eq!((twice.outcome, twice.reason), (Outcome::NotExecuted, Reason::AlreadyExists));
        let same = peer.create_if_absent("apples", Counter { n: 50 }, Placement::Here).await.unwrap();
        assert_eq!(same, name);
    }
    assert_eq!(sum(&cluster, 2, &name).await, 1, "no later creation touched it");
    let fresh = c.create_if_absent("pears", Counter { n: 7 }, Placement::Spread).await.unwrap();
    assert_eq!(sum(&cluster, 0, &fresh).await, 7);

    b.stop(&name).await.unwrap();
    for peer in [&a, &b, &c] {
        // Its host may still answer until it has heard of the end; nobody does after it has.
        let end = tokio::time::Instant::now() + PATIENCE;
        while peer.ask(&name, Add(1)).await.map_err(|e| e.reason) != Err(Reason::NoSuchActor) {
            assert!(tokio::time::Instant::now() < end);
        }
    }
    let again = c.create("apples", Counter { n: 0 }, Placement::Here).await.unwrap();
    assert_eq!(add(&cluster, 1, &again, 2).await, 2, "a new life, nothing of the old one");

    let unknown = a.create("x", Stranger, Placement::On(cluster.node(1))).await.unwrap_err();
    assert!(unknown.is_retry_safe() && matches!(unknown.reason, Reason::NotHandled(_)), "{unknown}");
    for peer in [&a, &c] {
        let unheard = peer.ask_within(&again, Unheard, PATIENCE).await.unwrap_err();
        assert!(unheard.is_retry_safe() && matches!(unheard.reason, Reason::NotHandled(_)), "{unheard}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_create_the_same_name_at_once_one_does() {
    let mut cluster = cluster(3).await;
    for round in 0..5 {
        let key = format!("apples-{round}");
        let creations: Vec<_> = (0..3_u64)
            .map(|at| {
                let (peer, key) = (cluster.peer(at as usize).clone(), key.clone());
                tokio::spawn(async move { peer.create(key, Counter { n: at }, Placement::Here).await })
            })
            .collect();
        let mut made = vec![];
        for (n, creation) in (0..).zip(creations) {
            match creation.await.unwrap() {
                Ok(name) => made.push((n, name)),
                Err(e) => assert_eq!(e.reason, Reason::AlreadyExists),
            }
        }
        let [(n, name)] = &made[..] else { panic!("{} of three creations succeeded", made.len()) };
        assert_eq!(sum(&cluster, (round + 1) % 3, name).await, *n);
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
