//! A process is killed, and others go on with its actors.

use std::time::Duration;
use tokio::time::Instant;

use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port, read};
use super::words::{Answer, Sight, Want};
use crate::support::PATIENCE;

/// How many actors run at the peer `at`, as a sight shows it.
fn run_at(fleet: &Fleet, at: usize, sight: &Sight) -> usize {
    let host = sight.status.members.get(&fleet.node(at)).map(|m| m.incarnation);
    sight.actors.values().filter(|actor| actor.host == host).count()
}

/// Notes something until it is certain that it was noted.
async fn until_durable(fleet: &Fleet, key: &str) {
    let end = Instant::now() + PATIENCE;
    while fleet.evidence.note(fleet.process(0), key, true, PATIENCE).await != Told::Durable {
        assert!(Instant::now() < end, "{key} takes no fresh write");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_for_a_killed_process_and_for_a_frozen_one_and_hand_its_actors_back() {
    let mut fleet = Fleet::start(4).await;
    let keys = fleet.create_with(&[1, 1, 1, 2], Some(0)).await;
    let by = fleet.process(0).clone();
    let load = Load::start(&fleet.evidence, &by, &keys, PATIENCE);
    for key in &keys {
        assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    fleet.kill(1).await;
    for key in &keys {
        // Nobody replaces the machine. What was under way to it ends as unknown.
        until_durable(&fleet, key).await;
    }
    fleet.replace(1, Port::Other).await;
    fleet.joined().await;
    by.wait("home again", |sight| run_at(&fleet, 1, sight) == 3).await;
    fleet.calm().await;
    // Frozen past its lease, it wakes up to find others at its work; what it had begun comes to nothing.
    let frozen = fleet.process(2).clone();
    frozen.freeze().await;
    by.wait("taken over", |sight| run_at(&fleet, 2, sight) == 0).await;
    until_durable(&fleet, &keys[3]).await;
    frozen.thaw().await;
    by.wait("home again", |sight| run_at(&fleet, 2, sight) == 1).await;
    load.stop().await;
    fleet.check(0).await;
}

/// From SIGKILL of an actor's home to the first correct answer of a stand-in.
async fn time_to_stand_in(fleet: &mut Fleet, victim: usize, key: &str) -> Duration {
    let by = fleet.other_than(victim);
    assert_eq!(fleet.evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    let right = read(&by, key).await;
    let start = Instant::now();
    fleet.kill(victim).await;
    loop {
        let want = Want::Read { key: key.to_owned(), deadline: PATIENCE };
        match by.ask(want).await {
            Ok(Answer::Kept(Ok(tokens))) => {
                assert_eq!(tokens, right);
                return start.elapsed();
            }
            Ok(_) => assert!(start.elapsed() < PATIENCE, "no answer"),
            Err(_) => panic!("the caller died"),
        }
    }
}

async fn ask_many(by: &super::process::Process, want: Want) -> (u32, u64, u64) {
    match by.ask(want).await {
        Ok(Answer::Took { replies, all_ms, longest_ms }) => (replies, all_ms, longest_ms),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --release -p raft-tests -- --ignored --nocapture measure_stand_ins"]
async fn measure_stand_ins() {
    const MANY: u32 = 10_000;
    let mut fleet = Fleet::start(5).await;
    let key = fleet.create_with(&[3], Some(0)).await.remove(0);
    let mut times = vec![];
    for _ in 0..7 {
        let leader = fleet.leader().await;
        if leader == 3 {
            fleet.kill(3).await;
            fleet.replace(3, Port::Other).await;
            fleet.joined().await;
        }
        fleet.calm().await;
        times.push(time_to_stand_in(&mut fleet, 3, &key).await);
        fleet.replace(3, Port::Other).await;
        fleet.joined().await;
        fleet.process(0).wait("home again", |sight| run_at(&fleet, 3, sight) == 1).await;
        fleet.calm().await;
    }
    times.sort();
    println!(
        "one actor: median {:?} from SIGKILL to a stand-in's answer, of {times:?}",
        times[times.len() / 2]
    );

    let by = fleet.process(0).clone();
    let made = ask_many(&by, Want::CreateMany { count: MANY, home: fleet.node(3) }).await;
    println!("{MANY} created in {} ms", made.1);
    assert_eq!(made.0, MANY);
    for run in 0..3 {
        fleet.calm().await;
        let before = ask_many(&by, Want::NoteMany { count: MANY, token: run, deadline: PATIENCE }).await;
        assert_eq!(before.0, MANY);
        let start = Instant::now();
        fleet.kill(3).await;
        let mut taken =
            ask_many(&by, Want::NoteMany { count: MANY, token: 100 + run, deadline: PATIENCE }).await;
        let took = start.elapsed();
        if taken.0 < MANY {
            // What was under way when the host died ends as unknown.
            taken = ask_many(&by, Want::NoteMany { count: MANY, token: 200 + run, deadline: PATIENCE }).await;
        }
        println!("{} of {MANY} answered {took:?} after SIGKILL, the slowest after {} ms", taken.0, taken.2);
        fleet.replace(3, Port::Other).await;
        fleet.joined().await;
        let (mut waves, mut longest, mut failed) = (0, 0, 0);
        let start = Instant::now();
        while by.look().await.is_none_or(|sight| run_at(&fleet, 3, &sight) < MANY as usize) {
            let wave =
                ask_many(&by, Want::NoteMany { count: MANY, token: 300 + run, deadline: PATIENCE }).await;
            waves += 1;
            longest = longest.max(wave.2);
            failed += MANY - wave.0;
            assert!(start.elapsed() < PATIENCE * 2, "not handed back");
        }
        println!(
            "handed back in {:?}: {failed} of {waves} times {MANY} calls failed, the slowest took {longest} ms",
            start.elapsed()
        );
    }
}
