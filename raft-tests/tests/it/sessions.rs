//! Clients outside of any actor that send reliably.

use standin::Outcome;
use standin::testing::{Cluster, World};
use std::time::Duration;

use crate::support::*;

async fn each_ask_runs_once(mut cluster: Cluster) {
    cluster.everything_lives_again().await.unwrap();
    let counter = counter(&cluster, 1, "c", 0).await;
    let client = cluster.peer(0).clone();
    let to = counter.clone();
    let asking = tokio::spawn(async move {
        let session = client.session().await.unwrap();
        for n in 1..=200 {
            assert_eq!(session.ask(&to, Add(1)).await, Ok(n), "each adds once, and says so");
        }
        session.close().await.unwrap();
    });
    for _ in 0..2 {
        cluster.kill(1);
        cluster.replace(1).await.unwrap();
        cluster.kill(1);
        cluster.restart(1).await.unwrap();
    }
    asking.await.unwrap();
    assert_eq!(sum(&cluster, 2, &counter).await, 200);
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_in_a_session_runs_once_whatever_becomes_of_the_receivers_machine() {
    each_ask_runs_once(cluster(5).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_ask_in_a_session_runs_once_whatever_becomes_of_the_receivers_machine() {
    logs();
    for seed in 31..34 {
        each_ask_runs_once(Cluster::simulated(World::new(seed), 5, counters).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_died_goes_on_with_its_session_on_another_peer() {
    a_client_dies(cluster(3).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_client_that_died_goes_on_with_its_session_on_another_peer() {
    logs();
    let cluster = Cluster::simulated(World::new(34), 3, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    a_client_dies(cluster).await;
}

async fn a_client_dies(mut cluster: Cluster) {
    let counter = counter(&cluster, 1, "c", 0).await;
    let session = cluster.peer(2).session().await.unwrap();
    for n in 1..=5 {
        assert_eq!(session.ask(&counter, Add(n)).await.unwrap(), n * (n + 1) / 2);
    }
    // It knows for sure that three of them have ended, and its machine is gone.
    let id = session.id();
    cluster.kill(2);
    cluster.replace(2).await.unwrap();
    let session = cluster.peer(0).resume_session(id, 4).await.unwrap();
    assert_eq!(session.send(&counter, Add(4)).await, Ok(()), "the fourth again: known");
    assert_eq!(session.ask(&counter, Add(5)).await, Ok(15), "the fifth again: the same reply");
    assert_eq!(session.ask(&counter, Add(6)).await, Ok(21));
    assert_eq!(session.newest(), 6);
    session.close().await.unwrap();
    let closed = cluster.peer(0).resume_session(id, 7).await.map(drop).unwrap_err();
    assert_eq!(closed.outcome, Outcome::NotExecuted, "{closed}");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_tells_of_receivers_that_are_not_there_and_of_handlers_that_always_panic() {
    let mut cluster = cluster(3).await;
    let counter = counter(&cluster, 1, "c", 0).await;
    let session = cluster.peer(0).session().await.unwrap();
    let nobody = standin::actor::ActorRef::<Counter>::new("nobody").unwrap();
    let absent = session.ask(&nobody, Add(1)).await.unwrap_err();
    assert_eq!((absent.outcome, absent.reason), (Outcome::NotExecuted, standin::Reason::NoSuchActor));
    let poison = session.ask_within(&counter, Boom, Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(poison.reason, standin::Reason::Panicked(_)), "{poison}");
    assert_eq!(session.ask(&counter, Add(7)).await, Ok(7), "those behind it are handled");
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}
