//! A process is killed, and another takes its place.

use std::time::Duration;
use tokio::time::Instant;

use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port, read};
use super::words::{Answer, Want};
use crate::support::PATIENCE;

/// Kills a peer under load, replaces it at once, and checks everything.
async fn kill_and_replace(fleet: &mut Fleet, victim: usize, port: Port, keys: &[String]) {
    let by = fleet.other_than(victim);
    let load = Load::start(&fleet.evidence, &by, keys, PATIENCE);
    for key in keys {
        assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    fleet.kill(victim).await;
    fleet.replace(victim, port).await;
    fleet.joined().await;
    load.stop().await;
    fleet.check(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_is_replaced_by_an_empty_one_wherever_it_listens_and_whoever_leads() {
    let mut fleet = Fleet::start(5).await;
    let keys = fleet.create(&[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]).await;
    let leader = fleet.leader().await;
    let follower = (leader + 1) % 5;
    kill_and_replace(&mut fleet, follower, Port::Other, &keys).await;
    kill_and_replace(&mut fleet, follower, Port::Same, &keys).await;
    let leader = fleet.leader().await;
    kill_and_replace(&mut fleet, leader, Port::Same, &keys).await;
    let leader = fleet.leader().await;
    kill_and_replace(&mut fleet, leader, Port::Other, &keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_killed_at_any_point_of_its_admission_is_replaced_in_turn() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[2, 2, 2]).await;
    fleet.kill(2).await;
    // From before it asks, through the wait for the lease, to its first steps as a member.
    for wait_ms in [0, 300, 900, 1100, 1200, 1300] {
        fleet.replace(2, Port::Other).await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        fleet.kill(2).await;
    }
    fleet.replace(2, Port::Other).await;
    fleet.joined().await;
    let by = fleet.other_than(2);
    for key in &keys {
        assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    fleet.check(0).await;
}

/// From SIGKILL to the first correct answer of an actor that lived there, asked from elsewhere.
async fn time_to_answer(fleet: &mut Fleet, victim: usize, key: &str) -> Duration {
    let by = fleet.other_than(victim);
    assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    let right = read(&by, key).await;
    let key = key.to_owned();
    let start = Instant::now();
    fleet.process(victim).kill();
    let answer = tokio::spawn(async move {
        loop {
            // An attempt that was under way when the host died ends as unknown: ask again.
            let want = Want::Read { key: key.clone(), deadline: PATIENCE };
            match by.ask(want).await {
                Ok(Answer::Kept(Ok(tokens))) => break (tokens, start.elapsed()),
                Ok(_) => assert!(start.elapsed() < PATIENCE, "no answer"),
                Err(_) => panic!("the caller died"),
            }
        }
    });
    fleet.kill(victim).await;
    fleet.replace(victim, Port::Other).await;
    let (tokens, took) = answer.await.unwrap();
    assert_eq!(tokens, right);
    fleet.joined().await;
    fleet.calm().await;
    took
}

/// The times of some replacements of followers, and of leaders, each sorted.
async fn recovery_times(peers: usize, runs: usize) -> [Vec<Duration>; 2] {
    let mut fleet = Fleet::start(peers).await;
    let homes: Vec<usize> = (0..peers).collect();
    let keys = fleet.create(&homes).await;
    fleet.calm().await;
    let mut times = [vec![], vec![]];
    for run in 0..runs {
        for (of_leader, times) in times.iter_mut().enumerate() {
            let leader = fleet.leader().await;
            let victim = if of_leader == 1 { leader } else { (leader + 1 + run) % peers };
            let victim = if of_leader == 0 && victim == leader { (victim + 1) % peers } else { victim };
            times.push(time_to_answer(&mut fleet, victim, &keys[victim]).await);
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    fleet.check(0).await;
    times
}

fn report(times: &[Vec<Duration>; 2]) {
    for (who, times) in ["follower", "leader"].iter().zip(times) {
        println!(
            "{who} killed: median {:?} from SIGKILL to the answer, of {times:?}",
            times[times.len() / 2]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_a_killed_peer_answers_within_seconds() {
    let times = recovery_times(5, 1).await;
    report(&times);
    assert!(times.iter().flatten().all(|took| *took < Duration::from_secs(10)), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p raft-tests -- --ignored --nocapture measure_recovery"]
async fn measure_recovery() {
    let times = recovery_times(11, 7).await;
    report(&times);
    assert!(times.iter().flatten().all(|took| *took < Duration::from_secs(10)), "{times:?}");
}
