//! The power goes out everywhere at once.

use super::evidence::{Load, Told};
use super::fleet::{Fleet, Port, until};
use crate::support::PATIENCE;

/// Cuts the power while a job writes, and lets the job go on when it is back.
async fn cut_power_under_load(fleet: &mut Fleet, keys: &[String], port: Port) {
    let evidence = fleet.evidence.clone();
    let load = Load::start(&evidence, fleet.process(1), keys, PATIENCE);
    let enough = evidence.durable() + 10 * keys.len();
    until("the job gets on", || evidence.durable() >= enough).await;
    fleet.kill_all().await;
    load.stop().await;

    fleet.restart_all(port).await;
    let load = Load::start(&evidence, fleet.process(1), keys, PATIENCE);
    let enough = evidence.durable() + 10 * keys.len();
    until("the job goes on", || evidence.durable() >= enough).await;
    load.stop().await;
    fleet.check(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_everything_committed_is_back_and_the_job_goes_on() {
    let mut fleet = Fleet::start(5).await;
    let keys = fleet.create(&[0, 1, 2, 3, 4]).await;
    for port in [Port::Same, Port::Other, Port::Same] {
        cut_power_under_load(&mut fleet, &keys, port).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_right_after_an_admission_loses_neither_the_newcomer_nor_its_actors() {
    let mut fleet = Fleet::start(3).await;
    let keys = fleet.create(&[2, 2]).await;
    for round in 0..3 {
        for key in &keys {
            let told = fleet.evidence.note(fleet.process(0), key, true, PATIENCE).await;
            assert_eq!(told, Told::Durable, "round {round}: {key}");
        }
        let node = fleet.node(2);
        let before = fleet.process(0).joined().await.status.members[&node].incarnation;
        fleet.kill(2).await;
        fleet.replace(2, Port::Other).await;
        // As soon as anybody knows: the newcomer itself may have written nothing yet.
        fleet
            .process(0)
            .wait_closely("aware of the newcomer", |s| s.status.members[&node].incarnation != before)
            .await;
        fleet.kill_all().await;
        fleet.restart_all(if round == 1 { Port::Other } else { Port::Same }).await;
        fleet.joined().await;
    }
    fleet.check(0).await;
}
