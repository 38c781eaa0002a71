//! Simulated processes that are frozen in the middle of a hand-back, while actors on both sides of it send reliably.

use standin::actor::{ActorRef, Down};
use standin::testing::{Cluster, World};
use standin::{Outcome, Placement, Standing};
use std::time::Duration;
use tokio::time::Instant;

use crate::chain::Link;
use crate::sends::{arrived, emit, links};
use crate::support::*;

/// Whom to freeze.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    StandIn,
    Home,
}

const HOME: usize = 1;
const LINKS: usize = 3;
/// How long a message keeps one of them busy; more than all the rest of a hand-back takes.
const LONG_MS: u64 = 25_000;

/// Links that pass on to each other and a counter, all at one home, that others run while it is away.
async fn at_home(cluster: &Cluster) -> (Vec<ActorRef<Link>>, ActorRef<Counter>) {
    let down = Down::StandIn { after: Duration::ZERO };
    let home = || Placement::On(cluster.node(HOME)).down(down);
    let mut all = vec![];
    for at in 0..LINKS {
        let state = Link::passing_on((at + 1 < LINKS).then(|| format!("link-{}", at + 1)));
        all.push(cluster.peer(0).create(format!("link-{at}"), state, home()).await.unwrap());
    }
    (all, cluster.peer(0).create("walker", Counter { n: 0 }, home()).await.unwrap())
}

/// Which peer runs an actor, as another one sees it.
fn host(cluster: &Cluster, by: usize, kind: &str, key: &str) -> Option<usize> {
    let line =
        cluster.peer(by).actors().into_iter().find(|line| (line.id.kind(), line.id.key()) == (kind, key))?;
    let members = cluster.peer(by).status().members;
    let (node, _) = members.iter().find(|(_, m)| Some(m.incarnation) == line.host)?;
    Some(cluster.index(node))
}

fn links_at(cluster: &Cluster, by: usize, at: usize) -> usize {
    (0..LINKS).filter(|n| host(cluster, by, "link", &format!("link-{n}")) == Some(at)).count()
}

/// Waits until a message to it is not handled at once.
async fn until_busy(cluster: &Cluster, by: usize, counter: &ActorRef<Counter>) {
    let end = Instant::now() + PATIENCE;
    while cluster.peer(by).ask_within(counter, Add(0), Duration::from_millis(100)).await.is_ok() {
        assert!(Instant::now() < end, "it is never busy");
    }
}

async fn exact_although_frozen_in_a_hand_back(seed: u64, victim: Victim) {
    logs();
    let kinds = |builder| counters(links(builder));
    // The new machine may have no vote yet: with one more away, three of five are left.
    let mut cluster = Cluster::simulated(World::new(seed), 5, kinds).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let (links, walker) = at_home(&cluster).await;
    emit(&cluster, &links[0], 1_000_000).await;
    cluster.kill(HOME);
    let walks_at = || host(&cluster, 0, "counter", "walker").filter(|at| *at != HOME);
    until("others run them", || walks_at().is_some() && links_at(&cluster, 0, HOME) == 0).await;
    let stand_in = walks_at().unwrap();
    let by = if stand_in == 2 { 3 } else { 2 };
    assert_eq!(sum(&cluster, by, &walker).await, 0, "it runs there");
    let long = tokio::spawn({
        let (peer, walker) = (cluster.peer(by).clone(), walker.clone());
        async move { peer.ask_within(&walker, AddSlowly(5, LONG_MS), 2 * PATIENCE).await }
    });
    until_busy(&cluster, by, &walker).await;
    let begin = Instant::now();
    cluster.replace(HOME).await.unwrap();
    until("the others are home", || links_at(&cluster, by, HOME) == LINKS).await;
    let walks_at = host(&cluster, by, "counter", "walker");
    assert_eq!(walks_at, Some(stand_in), "in the middle of the hand-back, after {:?}", begin.elapsed());

    let frozen = if victim == Victim::StandIn { stand_in } else { HOME };
    cluster.process(frozen).freeze();
    let members = || cluster.peer(by).status().members;
    until("it is known to be down", || members()[&cluster.node(frozen)].standing != Standing::Up).await;
    cluster.process(frozen).thaw();
    until("all are home", || {
        links_at(&cluster, by, HOME) == LINKS && host(&cluster, by, "counter", "walker") == Some(HOME)
    })
    .await;
    let sums = match long.await.unwrap() {
        Ok(sum) => sum..=sum,
        Err(e) => {
            assert_eq!(e.outcome, Outcome::Unknown, "{e}");
            0..=5
        }
    };
    assert!(sums.contains(&sum(&cluster, by, &walker).await));
    let goal = arrived(&cluster, &links[0], 1).await.newest + 500;
    for link in &links {
        assert!(arrived(&cluster, link, goal).await.is_exact(), "seed {seed}: {link}");
    }
    cluster.check_invariants().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_simulated_stand_in_that_is_frozen_in_the_middle_of_a_hand_back_loses_and_doubles_nothing() {
    for seed in 61..64 {
        exact_although_frozen_in_a_hand_back(seed, Victim::StandIn).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulated_home_that_is_frozen_in_the_middle_of_a_hand_back_loses_and_doubles_nothing() {
    for seed in 64..67 {
        exact_although_frozen_in_a_hand_back(seed, Victim::Home).await;
    }
}
