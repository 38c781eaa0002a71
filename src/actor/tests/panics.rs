//! A handler that panics costs what the last checkpoint does not hold, and nothing else.

use super::cast::*;
use super::rig::*;
use crate::actor::*;
use crate::error::{CallError, Reason};
use crate::id::Epoch;

fn boom(n: u64) -> Reason {
    Reason::Panicked(format!("boom after {n}"))
}

async fn restarted(rig: &mut Rig) -> Epoch {
    match soon(rig.asked.recv()).await {
        Some(Asked::Restart(_, epoch, _)) => epoch,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panic_is_told_and_the_actor_restarts_from_its_checkpoint_under_a_new_epoch() {
    let mut rig = rig();
    reply(rig.ask_durable(Push(1))).await.unwrap();
    rig.call(Push(2)).await.unwrap();
    let (panicked, queued) = (rig.ask(Boom), rig.ask(Push(3)));
    assert_eq!(reply(panicked).await, Err(CallError::executed(boom(3))));
    assert_eq!(restarted(&mut rig).await, Epoch(10));
    assert_eq!(rig.host.running(&id::<Tally>()), None);
    let while_away = rig.ask_later(All).await;
    assert_eq!(rig.start(10, 1, &Tally::default()), Err(StartError::Stale(Epoch(10))));
    assert_eq!(rig.restore(20).seen, [1]);
    assert_eq!(reply(queued).await, Ok(2), "the mailbox outlives the panic");
    assert_eq!(reply(while_away).await.unwrap(), [1, 3]);
    reply(rig.ask_durable(Push(4))).await.unwrap();
    let newest = rig.log.committed(&id::<Tally>()).unwrap();
    assert_eq!((newest.epoch, newest.seq), (Epoch(20), 2));
}

/// The checkpoint under way when a handler panics either commits before the new epoch, and is what
/// is restored, or never.
#[tokio::test]
async fn a_panic_while_a_checkpoint_is_in_flight_leaves_no_two_histories() {
    for commits_first in [true, false] {
        let mut rig = rig_by_hand();
        let durable = rig.ask_durable(Push(1));
        let (checkpoint, answer) = rig.log.await_next().await;
        let panicked = rig.ask(Boom);
        assert!(reply(panicked).await.is_err());
        assert_eq!(reply(durable).await, Err(CallError::unknown(boom(2))));
        restarted(&mut rig).await;
        if commits_first {
            rig.log.commit(checkpoint.clone()).unwrap();
        }
        let restored = rig.restore(20);
        let late = rig.log.commit(checkpoint);
        assert_eq!(late, Err(SaveError::Fenced), "an old epoch's checkpoint commits after the restore");
        assert!(answer.send(late).is_err(), "nobody of the old epoch acts on it");
        assert_eq!(restored.seen, if commits_first { vec![1] } else { vec![] });
        assert_eq!(rig.call(All).await.unwrap(), restored.seen);
        let next = rig.ask_durable(Push(2));
        let (checkpoint, answer) = rig.log.await_next().await;
        let newest = Tally::decode(&checkpoint.bytes).unwrap().seen;
        assert_eq!(newest[..restored.seen.len()], restored.seen);
        assert_eq!(checkpoint.epoch, Epoch(20));
        answer.send(rig.log.commit(checkpoint)).unwrap();
        reply(next).await.unwrap();
    }
}

#[tokio::test]
async fn the_back_off_outlives_the_activations_and_a_stop_ends_it() {
    let mut rig = rig();
    for epoch in [20, 30, 40] {
        assert!(rig.call(Boom).await.is_err());
        restarted(&mut rig).await;
        rig.restore(epoch);
    }
    assert!(rig.call(Boom).await.is_err());
    let waits = rig.ask_later(Push(1)).await;
    rig.host.stop(&id::<Tally>(), Epoch(41));
    let back = soon(waits).await;
    assert_eq!(back, Err(Box::new((CallError::not_executed(Reason::HostGone), Some(Push(1))))));
    // Whoever could still ask holds the other end.
    let Rig { host, mut asked, .. } = rig;
    drop(host);
    assert_eq!(soon(asked.recv()).await, None, "a stopped activation asked for its restart");
}

#[tokio::test]
async fn a_panic_without_a_lease_is_told_under_the_next_one() {
    let mut rig = rig();
    let clock = rig.clock.clone();
    let lapse_and_panic = move || {
        clock.advance(std::time::Duration::from_secs(7200));
        panic!("in the dark");
    };
    rig.stage.on_lapse.lock().unwrap().replace(Box::new(lapse_and_panic));
    rig.start(11, 0, &Slow).unwrap();
    let panicked = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, false).map_err(|(_, r)| r).unwrap();
    settle().await;
    assert!(panicked.is_pending());
    rig.reopen();
    let told = CallError::executed(Reason::Panicked("in the dark".to_owned()));
    assert_eq!(reply(panicked).await, Err(told));
    assert_eq!(restarted(&mut rig).await, Epoch(11));
}
