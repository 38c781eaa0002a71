//! The harness's simulated clusters: the same peers on a network, disks and clocks of memory.

use standin::Placement;
use standin::testing::{Cluster, Weather, World};
use std::time::Duration;
use tokio::time::Instant;

use crate::support::{Fragile, add, counter, counters, holders, logs, other_than, sum};

#[tokio::test(start_paused = true)]
async fn a_simulated_machine_is_lost_and_replaced() {
    logs();
    let mut cluster = Cluster::simulated(World::new(1), 5, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let lost = other_than(&cluster, &[cluster.leader().await.unwrap()]);
    let from = other_than(&cluster, &[lost]);
    let name = counter(&cluster, lost, "apples", 1).await;
    assert_eq!(add(&cluster, from, &name, 2).await, 3);
    cluster.kill(lost);
    cluster.replace(lost).await.unwrap();
    assert_eq!(sum(&cluster, from, &name).await, 3);
    cluster.check_invariants().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_simulated_process_that_is_frozen_past_its_lease_goes_on_where_it_was() {
    logs();
    let cluster = Cluster::simulated(World::new(2), 3, counters).await.unwrap();
    let from = cluster.leader().await.unwrap();
    let frozen = other_than(&cluster, &[from]);
    let name = counter(&cluster, frozen, "apples", 1).await;
    cluster.process(frozen).freeze();
    let asked = Instant::now();
    let answer = tokio::spawn({
        let (peer, name) = (cluster.peer(from).clone(), name.clone());
        async move { peer.ask(&name, crate::support::Add(1)).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.process(frozen).thaw();
    assert_eq!(answer.await.unwrap(), Ok(2));
    assert!(asked.elapsed() >= Duration::from_secs(3));
    cluster.check_invariants().await.unwrap();
}

/// Its disk has all but the newest entries: what is missing must not wait for anybody's patience.
#[tokio::test(start_paused = true)]
async fn a_simulated_machine_that_comes_back_with_its_disk_is_soon_up_to_date() {
    logs();
    for (seed, away_ms) in [(3, 100), (4, 700), (5, 1500), (6, 4000), (7, 12_000)] {
        let mut cluster = Cluster::simulated(World::new(seed), 5, counters).await.unwrap();
        cluster.everything_lives_again().await.unwrap();
        let lost = other_than(&cluster, &[cluster.leader().await.unwrap()]);
        cluster.kill(lost);
        tokio::time::sleep(Duration::from_millis(away_ms)).await;
        cluster.restart_unjoined(lost).await.unwrap();
        let back = Instant::now();
        cluster.peer(lost).joined(Duration::from_secs(20)).await.unwrap();
        // A lease that nobody renews, and two attempts at the address where it was.
        assert!(back.elapsed() < Duration::from_millis(2500), "away {away_ms} ms: {:?}", back.elapsed());
    }
}

/// While nobody leads, a process says hello to one peer, and dies. The next one on its disk has another
/// address, and nothing to say to that peer; which must find it all the same.
#[tokio::test(start_paused = true)]
async fn copies_reach_a_machine_whose_earlier_process_was_heard_of_at_another_address() {
    logs();
    let mut cluster = Cluster::simulated(World::new(8), 4, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let at = 0;
    let name = counter(&cluster, at, "apples", 1).await;
    let lost = holders(&cluster, at, &name).await[0];
    (1..4).for_each(|peer| cluster.kill(peer));
    let others: Vec<usize> = (1..4).filter(|peer| *peer != lost).collect();
    cluster.restart_unjoined(lost).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.kill(lost);
    for peer in others.iter().copied() {
        cluster.restart_at_same_address_unjoined(peer).await.unwrap();
    }
    let two_lead = |cluster: &Cluster| others.iter().any(|peer| cluster.peer(*peer).status().leads);
    while !two_lead(&cluster) {
        cluster.isolate(at);
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.heal_all();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    cluster.cut(lost, at);
    cluster.restart(lost).await.unwrap();
    cluster.heal_all();
    for n in 2..6 {
        let sum = cluster.peer(at).ask_durable(&name, crate::support::Add(1), Duration::from_secs(9)).await;
        assert_eq!(sum, Ok(n));
    }
    assert!(two_lead(&cluster), "the leader reaches everybody, and would prove nothing");
    assert!(holders(&cluster, at, &name).await.contains(&lost));
}

/// The founder's machine is replaced while all others are still on their way back: they know of the cluster,
/// and it must not found another.
#[tokio::test(start_paused = true)]
async fn a_founder_that_comes_back_empty_after_a_power_cut_founds_no_second_cluster() {
    logs();
    for ahead_ms in (0..1200).step_by(100) {
        let world = World::new(ahead_ms);
        let mut cluster = Cluster::simulated(world.clone(), 3, counters).await.unwrap();
        cluster.everything_lives_again().await.unwrap();
        let name = counter(&cluster, 1, "apples", 7).await;
        (0..3).for_each(|peer| cluster.kill(peer));
        // Slow links: it takes each a while to learn that nobody leads, and then to start Raft.
        world.network().set_weather(Weather { delay: Duration::from_millis(60), ..Weather::fair() });
        cluster.replace_at_same_address_unjoined(0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(ahead_ms)).await;
        for peer in [1, 2] {
            cluster.restart_at_same_address_unjoined(peer).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.network().set_weather(Weather::fair());
        cluster.everything_lives_again().await.unwrap();
        assert_eq!(sum(&cluster, 0, &name).await, 7);
        cluster.check_invariants().await.unwrap();
    }
}

/// Whoever waits for an actor asks its host again and again. The last time must not be so late that no answer can come
/// by the deadline: the actor does not run, and its caller would hear that it may have.
#[tokio::test(start_paused = true)]
async fn a_call_that_waited_in_vain_is_known_not_to_have_run_whenever_its_deadline_is() {
    logs();
    let world = World::new(9);
    let mut cluster = Cluster::simulated(world.clone(), 5, counters).await.unwrap();
    cluster.everything_lives_again().await.unwrap();
    let host = other_than(&cluster, &[cluster.leader().await.unwrap()]);
    let home = Placement::On(cluster.node(host));
    let name = cluster.peer(host).create("apples", Fragile { n: 3 }, home).await.unwrap();
    let holder = holders(&cluster, host, &name).await[0];
    let from = other_than(&cluster, &[host, holder]);
    cluster.kill(host);
    cluster.kill(holder);
    cluster.replace(host).await.unwrap();
    let far = Weather { delay: Duration::from_millis(10), ..Weather::fair() };
    for (one, other) in [(from, host), (host, from)] {
        world.network().set_link(cluster.host(one), cluster.host(other), Some(far));
    }
    for ms in (900..1100).step_by(5) {
        let asking = cluster.peer(from).ask_within(&name, crate::support::Add(1), Duration::from_millis(ms));
        let error = asking.await.unwrap_err();
        assert!(error.is_retry_safe(), "after {ms} ms: {error}");
    }
    cluster.restart(holder).await.unwrap();
    assert_eq!(cluster.peer(from).ask(&name, crate::support::Add(1)).await, Ok(4));
    cluster.check_invariants().await.unwrap();
}
