//! When checkpoints are taken, and who waits for them.

use std::time::Duration;

use super::cast::*;
use super::rig::*;
use crate::actor::*;
use crate::error::{CallError, Outcome, Reason};
use crate::id::Epoch;
use crate::limits::FINISH_DEADLINE;

fn failed() -> Result<(), SaveError> {
    Err(SaveError::Failed("no quorum".to_owned()))
}

#[tokio::test]
async fn a_durable_reply_waits_for_a_checkpoint_that_holds_it() {
    let rig = rig_by_hand();
    let durable = rig.ask_durable(Push(5));
    let (checkpoint, answer) = rig.log.await_next().await;
    assert_eq!(Tally::decode(&checkpoint.bytes).unwrap().seen, [5]);
    assert_eq!((checkpoint.epoch, checkpoint.seq, checkpoint.copies), (Epoch(10), 1, 3));
    assert!(checkpoint.is_urgent);
    assert_eq!(rig.call(Push(6)).await.unwrap(), 2, "messages go on meanwhile");
    settle().await;
    assert!(durable.is_pending());
    answer.send(rig.log.commit(checkpoint)).unwrap();
    assert_eq!(reply(durable).await, Ok(1));
}

#[tokio::test]
async fn a_reply_waits_for_the_next_checkpoint_if_the_one_on_its_way_is_older() {
    let rig = rig_by_hand();
    let first = rig.ask_durable(Push(1));
    let (checkpoint, answer) = rig.log.await_next().await;
    let (second, third) = (rig.ask_durable(Push(2)), rig.ask_durable(Push(3)));
    settle().await;
    assert!(rig.log.next().is_none(), "two checkpoints of one actor on their way");
    answer.send(rig.log.commit(checkpoint)).unwrap();
    assert_eq!(reply(first).await, Ok(1));
    let (checkpoint, answer) = rig.log.await_next().await;
    assert!(second.is_pending(), "the older checkpoint does not hold it");
    assert_eq!(checkpoint.seq, 2);
    assert_eq!(Tally::decode(&checkpoint.bytes).unwrap().seen, [1, 2, 3]);
    answer.send(rig.log.commit(checkpoint)).unwrap();
    assert_eq!((reply(second).await, reply(third).await), (Ok(2), Ok(3)));
    settle().await;
    assert!(rig.log.next().is_none(), "nothing changed since");
}

#[tokio::test]
async fn a_checkpoint_asked_for_in_a_handler_holds_all_that_the_handler_did() {
    let rig = rig_by_hand();
    let saved = rig.ask(Save);
    let (checkpoint, answer) = rig.log.await_next().await;
    assert_eq!(Tally::decode(&checkpoint.bytes).unwrap().seen, [1], "half a message");
    settle().await;
    assert!(saved.is_pending());
    answer.send(rig.log.commit(checkpoint)).unwrap();
    assert_eq!(reply(saved).await, Ok(1));
    rig.host.tell_local::<Tally, _>(&at::<Tally>(), Save).map_err(|(_, r)| r).unwrap();
    assert_eq!(rig.log.await_next().await.0.seq, 2, "also for a tell");
}

#[tokio::test]
async fn a_failed_checkpoint_is_taken_again_under_a_higher_number() {
    let rig = rig_by_hand();
    let durable = rig.ask_durable(Push(1));
    let (checkpoint, answer) = rig.log.await_next().await;
    answer.send(failed()).unwrap();
    assert_eq!(rig.call(Push(2)).await, Ok(2), "it goes on");
    settle().await;
    assert!(rig.log.next().is_none(), "no back-off");
    assert!(durable.is_pending());
    rig.clock.advance(Duration::from_millis(100));
    let (again, dropped) = rig.log.await_next().await;
    assert!(again.seq > checkpoint.seq, "the failed one may still commit");
    drop(dropped);
    settle().await;
    rig.clock.advance(Duration::from_millis(200));
    let (third, answer) = rig.log.await_next().await;
    answer.send(rig.log.commit(third)).unwrap();
    assert_eq!(reply(durable).await, Ok(1));
}

#[tokio::test]
async fn a_fenced_activation_ends_and_its_durable_replies_are_unknown() {
    let rig = rig_by_hand();
    let durable = rig.ask_durable(Push(1));
    let (checkpoint, answer) = rig.log.await_next().await;
    rig.log.activate(&id::<Tally>(), Epoch(50));
    answer.send(rig.log.commit(checkpoint)).unwrap();
    assert_eq!(reply(durable).await, Err(CallError::unknown(Reason::HostGone)));
    assert_eq!(rig.host.running(&id::<Tally>()), None);
    let late = rig.host.tell_local::<Tally, _>(&at::<Tally>(), Push(2)).unwrap_err();
    assert_eq!(late.1, Refused::NotHere);
}

#[tokio::test]
async fn every_n_messages_means_every_n_messages() {
    let rig = rig_by_hand();
    rig.start(11, 40, &EveryTwo(0)).unwrap();
    let push = || rig.host.tell_local::<EveryTwo, _>(&at::<EveryTwo>(), Push(1)).unwrap();
    push();
    settle().await;
    assert!(rig.log.next().is_none());
    push();
    let (checkpoint, answer) = rig.log.await_next().await;
    assert_eq!(checkpoint.seq, 41, "goes on from what was restored");
    assert!(checkpoint.is_urgent, "the policy counts");
    (0..5).for_each(|_| push());
    settle().await;
    answer.send(rig.log.commit(checkpoint)).unwrap();
    let (checkpoint, _answer) = rig.log.await_next().await;
    assert_eq!(EveryTwo::decode(&checkpoint.bytes).unwrap().0, 7);
}

#[tokio::test]
async fn an_interval_begins_with_a_change() {
    let rig = rig_by_hand();
    rig.start(11, 0, &EveryTick(0)).unwrap();
    settle().await;
    rig.clock.advance(Duration::from_secs(60));
    settle().await;
    assert!(rig.log.next().is_none(), "nothing changed");
    rig.host.tell_local::<EveryTick, _>(&at::<EveryTick>(), Push(1)).unwrap();
    settle().await;
    assert!(rig.log.next().is_none(), "the interval has not passed");
    rig.clock.advance(Duration::from_millis(20));
    let (checkpoint, answer) = rig.log.await_next().await;
    answer.send(rig.log.commit(checkpoint)).unwrap();
    rig.clock.advance(Duration::from_secs(60));
    settle().await;
    assert!(rig.log.next().is_none());
}

#[tokio::test]
async fn a_kind_without_checkpoints_says_so() {
    let rig = rig();
    rig.start(11, 0, &Forgetful(0)).unwrap();
    let it = at::<Forgetful>();
    let durable = rig.host.ask_local(&it, Push(1), true).map_err(|(_, r)| r).unwrap();
    assert_eq!(reply(durable).await.unwrap_err().outcome, Outcome::NotExecuted);
    let saved = rig.host.ask_local(&it, Save, false).map_err(|(_, r)| r).unwrap();
    assert_eq!(reply(saved).await.unwrap_err().outcome, Outcome::Executed);
    let plain = rig.host.ask_local(&it, Push(1), false).map_err(|(_, r)| r).unwrap();
    assert_eq!(reply(plain).await, Ok(1));
    let last = rig.host.finish(it.id(), Epoch(11)).unwrap();
    assert_eq!(soon(last).await, Ok(0));
    assert!(rig.log.committed(it.id()).is_none());
}

#[tokio::test]
async fn state_that_cannot_be_encoded_is_told_to_who_waits_and_the_actor_goes_on() {
    let rig = rig();
    rig.start(11, 0, &Slow).unwrap();
    let trouble: [fn() -> Result<(), CodecError>; 2] =
        [|| Err(CodecError::new("too strange")), || panic!("too strange")];
    for trouble in trouble {
        ON_ENCODE.set(Some(Box::new(trouble)));
        let durable = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, true);
        let error = reply(durable.map_err(|(_, r)| r).unwrap()).await.unwrap_err();
        assert_eq!(error.outcome, Outcome::Executed);
        assert!(matches!(error.reason, Reason::Codec(what) if what.contains("too strange")));
        rig.clock.advance(Duration::from_secs(5));
    }
    let durable = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, true);
    reply(durable.map_err(|(_, r)| r).unwrap()).await.unwrap();
    assert_eq!(rig.log.committed(&id::<Slow>()).unwrap().seq, 1);
}

#[tokio::test]
async fn replies_that_wait_are_bounded_like_the_mailbox() {
    let rig = rig_by_hand();
    let mut durable = vec![];
    for n in 0..2 * Tally::MAILBOX as u64 {
        durable.push(rig.ask_durable(Push(n)));
        settle().await;
    }
    let full = rig.host.tell_local::<Tally, _>(&at::<Tally>(), Push(9)).unwrap_err();
    assert_eq!(full.1, Refused::Full);
    while durable.iter_mut().any(|d| d.is_pending()) {
        let (checkpoint, answer) = rig.log.await_next().await;
        answer.send(rig.log.commit(checkpoint)).unwrap();
        settle().await;
    }
    for (n, durable) in durable.into_iter().enumerate() {
        assert_eq!(reply(durable).await, Ok(n + 1));
    }
}

#[tokio::test]
async fn one_that_ends_takes_nothing_new_and_gives_back_what_it_has_no_time_for() {
    let rig = rig();
    let (first, second, third) = (rig.ask(Hold), rig.ask(Hold), rig.ask(Push(1)));
    soon(rig.stage.entered.heard()).await;
    let finished = rig.host.finish(&id::<Tally>(), Epoch(10)).unwrap();
    rig.stage.go.strike();
    reply(first).await.unwrap();
    soon(rig.stage.entered.heard()).await;
    let refused = rig.host.ask_local::<Tally, _>(&at::<Tally>(), Push(2), false).map(drop);
    assert_eq!(refused, Err((Push(2), Refused::NotHere)), "its caller tries again, here or elsewhere");
    rig.clock.advance(FINISH_DEADLINE);
    rig.stage.go.strike();
    assert_eq!(reply(second).await, Ok(10), "what was begun is finished");
    let back = soon(third).await;
    assert_eq!(back, Err(Box::new((CallError::not_executed(Reason::HostGone), Some(Push(1))))));
    soon(finished).await.unwrap();
    let last = rig.log.committed(&id::<Tally>()).unwrap();
    assert_eq!(Tally::decode(&last.bytes).unwrap().seen, [0, 0]);
}

#[tokio::test]
async fn a_leaving_peer_writes_everyones_last_checkpoint_and_runs_them_no_more() {
    let rig = rig();
    rig.start(11, 4, &EveryTwo(0)).unwrap();
    rig.start(12, 6, &EveryTick(0)).unwrap();
    rig.host.tell_local::<EveryTwo, _>(&at::<EveryTwo>(), Push(3)).unwrap();
    let busy = rig.ask(Hold);
    soon(rig.stage.entered.heard()).await;
    let late = rig.ask(Push(1));
    assert!(rig.host.finish(&id::<Tally>(), Epoch(9)).is_none());
    let leave = rig.host.final_checkpoints();
    let release = async { rig.stage.go.strike() };
    let (mut left, ()) = soon(async { tokio::join!(leave, release) }).await;
    left.sort_by_key(|(_, epoch, _)| *epoch);
    let of = |n: usize| (left[n].1.0, left[n].2);
    assert_eq!([of(0), of(1), of(2)], [(10, Some(1)), (11, Some(5)), (12, Some(6))]);
    assert_eq!(reply(busy).await, Ok(10), "the message under way is finished");
    assert_eq!(reply(late).await, Ok(2), "and so is what waited");
    let last = rig.log.committed(&id::<Tally>()).unwrap();
    assert_eq!(Tally::decode(&last.bytes).unwrap().seen, [0, 1]);
    assert!(rig.host.list().is_empty());
    assert_eq!(rig.start(10, 1, &Tally::default()), Err(StartError::Stale(Epoch(10))));
}
