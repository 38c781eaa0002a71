//! Wall clocks decide nothing.

use standin::Event;
use std::path::Path;
use std::time::Duration;

use super::child::wall_clock;
use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port};
use super::words::Sight;
use crate::support::PATIENCE;

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const FAST: &[(&str, &str)] =
    &[("LD_PRELOAD", FAKETIME), ("FAKETIME", "+5h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
const SLOW: &[(&str, &str)] =
    &[("LD_PRELOAD", FAKETIME), ("FAKETIME", "-5h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn peers_whose_wall_clocks_are_hours_off_are_no_different() {
    if !Path::new(FAKETIME).exists() {
        println!("skipped: {FAKETIME} is not installed (package libfaketime)");
        return;
    }
    // The founder and another are off, in opposite directions.
    let mut fleet = Fleet::start_with(3, &[(0, FAST), (2, SLOW)]).await;
    for (at, off) in [(0, 5 * 3600), (1, 0), (2, -5 * 3600)] {
        let shown = fleet.process(at).look().await.unwrap().wall_clock;
        let difference = shown.cast_signed() - wall_clock().cast_signed();
        assert!((difference - off).abs() < 60, "peer {at} is {difference} s off");
    }
    let keys = fleet.create(&[0, 1, 2]).await;
    for victim in [2, 0] {
        let by = fleet.other_than(victim);
        let load = Load::start(&fleet.evidence, &by, &keys, PATIENCE);
        fleet.kill(victim).await;
        fleet.replace(victim, Port::Other).await;
        fleet.joined().await;
        let recovered = |e: &Event| matches!(e, Event::ActorRecovered { .. });
        let event = fleet.process(victim).wait_event("a recovery", recovered).await;
        let Event::ActorRecovered { downtime_ms, .. } = event else { unreachable!("waited for") };
        assert!(Duration::from_millis(downtime_ms) < PATIENCE, "down for {downtime_ms} ms");
        load.stop().await;
        // Of three voters the next one may die only when this one votes.
        let all_vote = |s: &Sight| !s.status.joint && s.status.members.values().all(|m| m.votes);
        by.wait_closely("done with the voters", all_vote).await;
        assert_eq!(fleet.evidence.note(&by, &keys[victim], true, PATIENCE).await, Told::Durable);
    }
    fleet.check(0).await;
}
