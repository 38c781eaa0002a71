//! Processes that are killed or frozen while their actors send to each other reliably.

use standin::limits::MAX_OUTBOX_MESSAGES;
use standin::{CallError, Change, Outcome, Standing};
use std::time::Duration;
use tokio::time::Instant;

use super::evidence::Told;
use super::fleet::{Fleet, Port, until};
use super::links::LinkWant;
use super::process::{LOOK_EVERY, Process};
use super::words::{Answer, Sight, Want};
use crate::chain::Link;
use crate::support::PATIENCE;

async fn done(by: &Process, want: LinkWant) {
    match by.ask(Want::Links(want)).await {
        Ok(Answer::Done(Ok(()))) => {}
        other => panic!("not done: {other:?}"),
    }
}

async fn number(by: &Process, want: LinkWant) -> Result<u64, CallError> {
    match by.ask(Want::Links(want)).await {
        Ok(Answer::Number(number)) => number,
        other => panic!("no number: {other:?}"),
    }
}

/// Links that pass on to each other, each at the given home.
async fn chain(fleet: &Fleet, homes: &[usize], moves: bool) -> Vec<String> {
    let keys: Vec<String> = (1..=homes.len()).map(|n| format!("link-{n}")).collect();
    for (at, (key, home)) in keys.iter().zip(homes).enumerate() {
        let (key, next, home) = (key.clone(), keys.get(at + 1).cloned(), fleet.node(*home));
        done(fleet.process(0), LinkWant::Create { key, next, home, moves }).await;
    }
    keys
}

async fn run(by: &Process, key: &str, to: u64, at_once: u64) {
    done(by, LinkWant::Run { key: key.to_owned(), to, at_once }).await;
}

/// A link, as soon as it answers and is as it should be.
async fn shown(by: &Process, key: &str, what: &str, is_so: impl Fn(&Link) -> bool) -> Link {
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        let want = LinkWant::Show { key: key.to_owned(), deadline: Duration::from_secs(5) };
        match by.ask(Want::Links(want)).await {
            Ok(Answer::Link(Ok(link))) if is_so(&link) => return *link,
            Ok(seen) => assert!(Instant::now() < end, "{key} is not {what}: {seen:?}"),
            Err(_) => panic!("the caller died"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// More numbers go through all of them, and each has had all numbers, once and in order.
async fn exact_in_the_end(by: &Process, keys: &[String]) {
    let goal = shown(by, &keys[0], "there", |_| true).await.newest + 200;
    for key in keys {
        let link = shown(by, key, "as far as it should be", |link| link.newest >= goal).await;
        assert_eq!((link.out_of_order, link.undelivered), (0, 0), "{key}: {link:?}");
    }
}

/// Numbers without an end.
const ENDLESS: u64 = 100_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_processes_sent_to_each_other_takes_effect_once_and_in_order() {
    let mut fleet = Fleet::start(5).await;
    let keys = chain(&fleet, &[1, 2, 3], false).await;
    run(fleet.process(0), &keys[0], ENDLESS, 5).await;
    // The sender, who receives and sends, and both; with empty disks and with their own.
    for (victims, empty) in [(&[1][..], true), (&[2], false), (&[1, 2], true), (&[2, 3], false)] {
        shown(fleet.process(0), &keys[2], "under way", |link| link.newest > 0).await;
        for victim in victims {
            fleet.process(*victim).kill();
        }
        for victim in victims {
            fleet.kill(*victim).await;
        }
        for victim in victims {
            match empty {
                true => fleet.replace(*victim, Port::Other).await,
                false => fleet.restart(*victim, Port::Same).await,
            }
        }
        fleet.joined().await;
        // What is sent from now on is passed on by all.
        let sent = shown(fleet.process(0), &keys[0], "there", |_| true).await.newest;
        shown(fleet.process(0), &keys[2], "further", |link| link.newest > sent + 50).await;
        fleet.calm().await;
    }
    exact_in_the_end(fleet.process(0), &keys).await;
    let begun = shown(fleet.process(0), &keys[1], "there", |_| true).await.begun;
    assert!(begun >= 3, "it was told {begun} times that it begins anew");
}

fn host_of<'a>(sight: &'a Sight, key: &str) -> Option<&'a standin::id::NodeId> {
    let host = sight.actors.get(key)?.host?;
    sight.status.members.iter().find(|(_, m)| m.incarnation == host).map(|(node, _)| node)
}

/// Freezes a process until the others know that it holds no lease, and lets it go on.
async fn freeze_past_its_lease(frozen: &Process, by: &Process) {
    frozen.freeze().await;
    let down = |s: &Sight| s.status.members.get(frozen.node()).is_some_and(|m| m.standing != Standing::Up);
    by.wait("aware that it is down", down).await;
    frozen.thaw().await;
    frozen.joined().await;
}

/// Whom to freeze in the middle of a hand-back.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    StandIn,
    Home,
}

/// Its actors run elsewhere; the home comes back, and has all of them but one that is at a long message. Then one of
/// the two is frozen. False if that message ended too soon, because its host had lost its lease.
async fn hand_back_with_a_freeze(fleet: &mut Fleet, victim: Victim, walker: &str, links: &[String]) -> bool {
    let at_home = fleet.node(1);
    fleet.kill(1).await;
    let elsewhere = |key: &str, s: &Sight| host_of(s, key).is_some_and(|host| *host != at_home);
    let taken_over = |s: &Sight| s.actors.keys().all(|key| elsewhere(key, s));
    fleet.process(0).wait("taken over", taken_over).await;
    let others: Vec<_> = [0, 2, 3, 4].map(|at| (at, fleet.process(at).pid())).into();
    let steps: Vec<_> = others.iter().map(|(_, pid)| fleet.evidence.steps_of(*pid)).collect();
    let walk = tokio::spawn({
        let (evidence, by, walker) = (fleet.evidence.clone(), fleet.process(0).clone(), walker.to_owned());
        async move { evidence.walk(&by, &walker, 4000, 2 * PATIENCE).await }
    });
    let walks = || {
        let mut all = others.iter().zip(&steps);
        all.find(|((_, pid), steps)| fleet.evidence.steps_of(*pid) > **steps + 5).map(|((at, _), _)| *at)
    };
    until("the walk has begun", || walks().is_some()).await;
    let stand_in = walks().unwrap();
    fleet.replace(1, Port::Other).await;
    fleet.joined().await;
    let by = fleet.process(if stand_in == 2 { 3 } else { 2 }).clone();
    let links_home = |s: &Sight| links.iter().all(|key| host_of(s, key) == Some(&at_home));
    let sight = by.wait("in the middle of its hand-back", links_home).await;
    let is_middle = host_of(&sight, walker) == Some(&fleet.node(stand_in));
    if is_middle {
        let frozen = if victim == Victim::StandIn { stand_in } else { 1 };
        freeze_past_its_lease(&fleet.process(frozen).clone(), &by).await;
    }
    let home = |s: &Sight| s.actors.keys().all(|key| host_of(s, key) == Some(&at_home));
    by.wait("home again", home).await;
    let told = walk.await.unwrap();
    assert!(matches!(&told, Told::Replied) || is_unknown(&told), "{told:?}");
    fleet.calm().await;
    is_middle
}

fn is_unknown(told: &Told) -> bool {
    matches!(told, Told::Error(e) if e.outcome == Outcome::Unknown)
}

async fn exact_although_frozen_in_a_hand_back(victim: Victim) {
    // The new machine may have no vote yet: with one more away, three of five are left.
    let mut fleet = Fleet::start(5).await;
    let walker = fleet.create_with(&[1], Some(0)).await.remove(0);
    // Who sends and who receives are handed back, both.
    let links = chain(&fleet, &[1, 1, 1], true).await;
    run(fleet.process(0), &links[0], ENDLESS, 5).await;
    let mut attempts = 1;
    while !hand_back_with_a_freeze(&mut fleet, victim, &walker, &links).await {
        attempts += 1;
        assert!(attempts < 5, "leases end all the time");
    }
    exact_in_the_end(fleet.process(0), &links).await;
    fleet.check(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_that_is_frozen_in_the_middle_of_a_hand_back_loses_and_doubles_nothing() {
    exact_although_frozen_in_a_hand_back(Victim::StandIn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_frozen_in_the_middle_of_a_hand_back_loses_and_doubles_nothing() {
    exact_although_frozen_in_a_hand_back(Victim::Home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_in_a_session_runs_once_though_its_receivers_process_and_its_own_are_killed() {
    let mut fleet = Fleet::start(4).await;
    let key = chain(&fleet, &[1], false).await.remove(0);
    let client = fleet.process(2).clone();
    let session = number(&client, LinkWant::Open { resume: None }).await.unwrap();
    let add = || LinkWant::Add { session, key: key.clone(), n: 1 };
    let asking = tokio::spawn({
        let (client, key) = (client.clone(), key.clone());
        async move {
            for n in 1..=60 {
                let add = LinkWant::Add { session, key: key.clone(), n: 1 };
                assert_eq!(number(&client, add).await, Ok(n), "each adds once, and says so");
            }
        }
    });
    for empty in [true, false] {
        fleet.kill(1).await;
        match empty {
            true => fleet.replace(1, Port::Other).await,
            false => fleet.restart(1, Port::Same).await,
        }
        fleet.joined().await;
    }
    asking.await.unwrap();
    // The client dies and knows for sure that 59 have ended.
    fleet.kill(2).await;
    fleet.replace(2, Port::Other).await;
    fleet.joined().await;
    let client = fleet.process(3).clone();
    number(&client, LinkWant::Open { resume: Some((session, 60)) }).await.unwrap();
    assert_eq!(number(&client, add()).await, Ok(60), "the same again: known, and the same reply");
    assert_eq!(number(&client, add()).await, Ok(61));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_told_what_becomes_of_one_whose_process_is_killed_and_of_one_that_is_frozen() {
    let mut fleet = Fleet::start(5).await;
    let keys = chain(&fleet, &[1, 2], true).await;
    done(fleet.process(0), LinkWant::Mind { key: keys[1].clone(), of: keys[0].clone() }).await;
    fleet.kill(1).await;
    let by = fleet.process(0).clone();
    let recovered = |link: &Link| matches!(link.told.last(), Some(Change::Recovered { .. }));
    shown(&by, &keys[1], "told of the stand-in", recovered).await;
    fleet.replace(1, Port::Other).await;
    fleet.joined().await;
    let moved = |link: &Link| matches!(link.told.last(), Some(Change::Moved { .. }));
    let told = shown(&by, &keys[1], "told of the hand-back", moved).await.told;
    // That it is away is no news if others took over in the same step.
    let rest: Vec<_> = told.iter().filter(|change| **change != Change::Recovering).collect();
    assert!(matches!(&rest[..], [Change::Recovered { .. }, Change::Moved { .. }]), "{told:?}");
    // The watcher is frozen while that happens again.
    let frozen = fleet.process(2).clone();
    frozen.freeze().await;
    let away = |s: &Sight| host_of(s, &keys[1]).is_some_and(|host| *host != *frozen.node());
    by.wait("taken over", away).await;
    fleet.kill(1).await;
    let Some(Change::Moved { epoch: before, .. }) = told.last().cloned() else { panic!("{told:?}") };
    let again =
        |link: &Link| matches!(link.told.last(), Some(Change::Recovered { epoch, .. }) if *epoch > before);
    shown(&by, &keys[1], "told, wherever it is", again).await;
    frozen.thaw().await;
    let home = |s: &Sight| host_of(s, &keys[1]) == Some(frozen.node());
    by.wait("home again", home).await;
    let seen = shown(&by, &keys[1], "told what it knew", again).await;
    assert!(seen.begun >= 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_receiver_fills_its_senders_outbox_and_nothing_else() {
    const GOAL: u64 = 100_000;
    let fleet = Fleet::start(4).await;
    let keys = chain(&fleet, &[1, 2], false).await;
    let beside = LinkWant::Create {
        key: "beside".into(),
        next: Some("end".into()),
        home: fleet.node(1),
        moves: false,
    };
    done(fleet.process(0), beside).await;
    let end = LinkWant::Create { key: "end".into(), next: None, home: fleet.node(3), moves: false };
    done(fleet.process(0), end).await;
    let by = fleet.process(0).clone();
    let frozen = fleet.process(2).clone();
    frozen.freeze().await;
    run(&by, &keys[0], GOAL, 500).await;
    // From here on it takes in little that makes it send more.
    let heavy = |link: &Link| link.newest >= MAX_OUTBOX_MESSAGES as u64 / 2;
    shown(&by, &keys[0], "held up", heavy).await;
    // Another on the sender's peer, to another receiver.
    run(&by, "beside", 1000, 100).await;
    let beside = shown(&by, "end", "there", |link| link.newest == 1000).await;
    assert_eq!(beside.out_of_order, 0);
    let full = shown(&by, &keys[0], "there", |_| true).await;
    assert!(full.newest <= MAX_OUTBOX_MESSAGES as u64, "what waits is bounded: {full:?}");
    frozen.thaw().await;
    let all = shown(&by, &keys[1], "all there", |link| link.newest == GOAL).await;
    assert_eq!((all.out_of_order, all.undelivered), (0, 0));
}
