//! A process that is stopped for a while, and does not know it.

use standin::{Event, MemberStatus, Outcome, PhaseStatus, Standing};
use std::time::Duration;

use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port, read, until};
use super::process::Process;
use super::words::Sight;
use crate::support::PATIENCE;

/// More steps than a test can last.
const ENDLESS: u32 = 1_000_000;

/// Freezes a busy peer past its lease, replaces it, and thaws it again.
async fn freeze_replace_and_thaw(fleet: &mut Fleet, victim: usize, keys: &[String]) {
    let (evidence, by, frozen) =
        (fleet.evidence.clone(), fleet.other_than(victim), fleet.process(victim).clone());
    let (walker, others) = keys.split_first().unwrap();
    // In the middle of a handler, of checkpoints, and of calls from both sides.
    let walk = walk(fleet, &by, walker, ENDLESS);
    let outside = Load::start(&evidence, &by, others, PATIENCE);
    let inside = Load::start(&evidence, &frozen, others, PATIENCE);
    let before = evidence.durable();
    until("the peer is busy", || evidence.durable() > before + 20 && evidence.steps_of(frozen.pid()) > 50)
        .await;
    frozen.freeze().await;
    let steps = evidence.steps_of(frozen.pid());

    assert_eq!(fleet.let_go(victim).pid(), frozen.pid());
    fleet.replace(victim, Port::Other).await;
    fleet.joined().await;
    for key in keys {
        assert_eq!(evidence.note(&by, key, true, PATIENCE).await, Told::Durable);
    }
    let Told::Error(lost) = walk.await.unwrap() else { panic!("nobody can have ended that walk") };
    assert_eq!(lost.outcome, Outcome::Unknown, "{lost}");
    let epochs = by.look().await.unwrap().actors;

    frozen.thaw().await;
    frozen.wait_event("its retirement", |e| matches!(e, Event::Retired { .. })).await;
    let status = frozen.wait("retired", |s| s.status.phase == PhaseStatus::Retired).await.status;
    assert!(!status.holds_lease && status.actors_here == 0, "{status:?}");
    outside.stop().await;
    inside.stop().await;
    // A poll that was under way may have ended; one for each actor at most.
    let more = evidence.steps_of(frozen.pid()) - steps;
    assert!(more <= keys.len(), "{more} more steps after its lease had ended");
    let now = by.look().await.unwrap().actors;
    for key in keys {
        let ((epoch, _), home) = (now[key].checkpoint.unwrap(), &epochs[key]);
        assert!(
            now[key].epoch == home.epoch && epoch == home.epoch,
            "{key}: {:?}, then {:?}",
            home,
            now[key]
        );
    }
    frozen.kill();
    frozen.wait_dead().await;
}

fn walk(fleet: &Fleet, by: &Process, key: &str, steps: u32) -> tokio::task::JoinHandle<Told> {
    let (evidence, by, key) = (fleet.evidence.clone(), by.clone(), key.to_owned());
    tokio::spawn(async move { evidence.walk(&by, &key, steps, 2 * PATIENCE).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_frozen_and_replaced_executes_nothing_more_and_learns_why() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[0, 0, 0, 1, 1, 1, 2, 2, 2]).await;
    let leader = fleet.leader().await;
    for victim in [(leader + 1) % 3, leader] {
        freeze_replace_and_thaw(&mut fleet, victim, &keys[3 * victim..3 * victim + 3]).await;
    }
    fleet.check(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_frozen_and_not_replaced_goes_on_where_it_paused() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[0, 0, 1, 1, 2, 2]).await;
    let leader = fleet.leader().await;
    for victim in [(leader + 1) % 3, leader] {
        let (unsaved, walker) = (&keys[2 * victim], &keys[2 * victim + 1]);
        let (evidence, by, frozen) =
            (fleet.evidence.clone(), fleet.other_than(victim), fleet.process(victim).clone());
        // State that exists there alone, in an actor and in the middle of a handler.
        assert_eq!(evidence.note(&by, unsaved, false, PATIENCE).await, Told::Replied);
        let kept = read(&by, unsaved).await;
        let epochs = by.look().await.unwrap().actors;
        let steps = evidence.steps_of(frozen.pid());
        let walk = walk(&fleet, &frozen, walker, 500);
        until("the walk has begun", || evidence.steps_of(frozen.pid()) > steps + 20).await;

        frozen.freeze().await;
        let down =
            |s: &Sight| s.status.members.get(frozen.node()).is_some_and(|m| m.standing != Standing::Up);
        by.wait("aware that it is down", down).await;
        let steps = evidence.steps_of(frozen.pid());
        frozen.thaw().await;
        frozen.joined().await;
        assert_eq!(walk.await.unwrap(), Told::Replied);
        assert!(evidence.steps_of(frozen.pid()) > steps + 100, "the walk ended after the thaw");
        assert_eq!(read(&by, unsaved).await, kept);
        let now = fleet.calm().await.actors;
        assert!(now.iter().all(|(key, line)| line.epoch == epochs[key].epoch), "{epochs:?}, then {now:?}");
        let noticed = |e: &Event| matches!(e, Event::LeasePaused);
        frozen.wait_event("its pause", noticed).await;
    }
    fleet.check(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_shorter_than_a_lease_cost_nothing_but_time() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[0, 1, 2]).await;
    let incarnations = fleet.calm().await.status.members;
    let load = Load::start(&fleet.evidence, fleet.process(0), &keys, PATIENCE);
    for at in [1, 2, 1, 2] {
        let frozen = fleet.process(at).clone();
        frozen.freeze().await;
        tokio::time::sleep(Duration::from_millis(400)).await; // the freeze itself
        frozen.thaw().await;
        frozen.joined().await;
    }
    load.stop().await;
    assert_eq!(fleet.evidence.failures(), vec![]);
    let same = |(node, m): (_, &MemberStatus)| incarnations[node].incarnation == m.incarnation;
    assert!(fleet.calm().await.status.members.iter().all(same));
    fleet.check(0).await;
}
