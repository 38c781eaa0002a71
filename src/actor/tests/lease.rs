//! Without a lease nothing acts, and nothing is lost (ARCHITECTURE.md, leases).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cast::*;
use super::rig::*;
use crate::actor::*;
use crate::clock::Mono;
use crate::error::{CallError, Reason};
use crate::id::Epoch;

#[test]
fn a_gate_only_opens_forward_and_never_after_retirement() {
    let clock = Arc::new(HandClock::default());
    let gate = Gate::new(clock.clone());
    let mut seen = gate.watch();
    assert_eq!(gate.state(), GateState::Shut);
    gate.extend(Mono(100));
    gate.extend(Mono(50));
    clock.advance(Duration::from_nanos(99));
    assert!(gate.is_open());
    assert_eq!(*seen.borrow_and_update(), GateState::Open);
    clock.advance(Duration::from_nanos(1));
    assert!(!gate.is_open());
    assert!(!seen.has_changed().unwrap(), "a lapse wakes nobody");
    gate.note();
    assert_eq!(*seen.borrow_and_update(), GateState::Shut);
    gate.extend(Mono(300));
    gate.close();
    assert_eq!(gate.state(), GateState::Shut);
    gate.extend(Mono(300));
    assert!(gate.is_open());
    gate.retire();
    gate.extend(Mono(u64::MAX));
    gate.close();
    assert_eq!((gate.is_open(), gate.state()), (false, GateState::Retired));
    assert_eq!(*seen.borrow_and_update(), GateState::Retired);
}

#[tokio::test]
async fn a_lapse_pauses_a_handler_in_the_middle_and_a_new_lease_resumes_it() {
    let rig = rig();
    let held = rig.ask(Hold);
    soon(rig.stage.entered.heard()).await;
    rig.shut();
    rig.stage.go.strike();
    settle().await;
    assert_eq!(rig.stage.log.lock().unwrap()[..], ["begun"], "polled without a lease");
    assert!(held.is_pending());
    rig.reopen();
    assert_eq!(reply(held).await, Ok(10));
    assert_eq!(rig.call(All).await.unwrap(), [0], "the state was kept");
}

#[tokio::test]
async fn messages_that_come_without_a_lease_wait_for_it() {
    let rig = rig();
    rig.shut();
    let pending = rig.ask(Push(1));
    settle().await;
    assert!(pending.is_pending());
    assert!(rig.polls.0.lock().unwrap().is_empty());
    rig.reopen();
    assert_eq!(reply(pending).await, Ok(1));
}

#[tokio::test]
async fn a_reply_does_not_leave_when_the_lease_lapsed_during_the_last_poll() {
    let rig = rig();
    let clock = rig.clock.clone();
    rig.stage.on_lapse.lock().unwrap().replace(Box::new(move || clock.advance(Duration::from_secs(7200))));
    rig.start(11, 0, &Slow).unwrap();
    let lapsed = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, false).map_err(|(_, r)| r).unwrap();
    settle().await;
    assert_eq!(rig.polls.0.lock().unwrap().len(), 1, "the handler ran");
    assert!(lapsed.is_pending(), "its reply left without a lease");
    rig.reopen();
    assert_eq!(reply(lapsed).await, Ok(()));
}

#[tokio::test]
async fn no_checkpoint_is_taken_without_a_lease() {
    let rig = rig_by_hand();
    let clock = rig.clock.clone();
    rig.stage.on_lapse.lock().unwrap().replace(Box::new(move || clock.advance(Duration::from_secs(7200))));
    rig.start(11, 0, &Slow).unwrap();
    let durable = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, true).map_err(|(_, r)| r).unwrap();
    settle().await;
    // The next lease lapses while the state is serialized.
    let clock = rig.clock.clone();
    ON_ENCODE.set(Some(Box::new(move || {
        clock.advance(Duration::from_secs(7200));
        Ok(())
    })));
    rig.reopen();
    settle().await;
    assert!(rig.log.next().is_none(), "a checkpoint left without a lease");
    rig.reopen();
    let (checkpoint, answer) = rig.log.await_next().await;
    // The lease lapses between the commit and its news.
    rig.shut();
    answer.send(rig.log.commit(checkpoint)).unwrap();
    settle().await;
    let durable = durable;
    assert!(durable.is_pending(), "the outlet was not checked");
    rig.reopen();
    assert_eq!(reply(durable).await, Ok(()));
    assert_eq!(rig.stage.saved_while_shut.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_state_is_serialized_without_a_lease() {
    let rig = rig();
    rig.start(11, 0, &Slow).unwrap();
    ENCODED.set(0);
    // The lease lapses when the reply has left, before the checkpoint that is due by then.
    let clock = rig.clock.clone();
    rig.deliver_lapse(move || clock.advance(Duration::from_secs(7200)));
    settle().await;
    assert_eq!((rig.polls.0.lock().unwrap().len(), ENCODED.get()), (1, 0));
    rig.reopen();
    settle().await;
    assert_eq!(ENCODED.get(), 1);
}

#[tokio::test]
async fn retirement_ends_what_waits_for_the_lease() {
    let rig = rig();
    let begun = rig.ask(Hold);
    soon(rig.stage.entered.heard()).await;
    let waiting = rig.ask(Push(1));
    rig.shut();
    rig.stage.go.strike();
    settle().await;
    rig.gate.retire();
    assert_eq!(reply(begun).await, Err(CallError::unknown(Reason::HostGone)));
    assert_eq!(reply(waiting).await, Err(CallError::not_executed(Reason::Retired)));
    assert_eq!(rig.stage.log.lock().unwrap()[..], ["begun"]);
    assert_eq!(rig.host.running(&id::<Tally>()), None);
    assert_eq!(rig.start(11, 0, &Tally::default()), Err(StartError::Retired));
}

#[tokio::test]
async fn after_a_stop_not_one_more_message_is_begun() {
    // The stop comes in the middle of a poll of the loop, with more messages in the mailbox: the
    // task is aborted only after that poll, so the halt has to be seen inside it.
    for in_handler in [true, false] {
        let rig = Arc::new(rig());
        rig.start(11, 0, &Slow).unwrap();
        let peer = Arc::downgrade(&rig);
        let stop = move || peer.upgrade().unwrap().host.stop(&id::<Slow>(), Epoch(99));
        if in_handler {
            rig.stage.on_lapse.lock().unwrap().replace(Box::new(stop));
            rig.deliver_lapse(|| ());
        } else {
            // Encoding that succeeds would look at the outlet on its way; a failure goes straight on.
            rig.deliver_lapse(|| {
                ON_ENCODE.set(Some(Box::new(move || {
                    stop();
                    Err(CodecError::new("too strange"))
                })))
            });
        }
        let second = rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, false);
        let second = reply(second.map_err(|(_, r)| r).unwrap()).await;
        assert_eq!(second, Err(CallError::not_executed(Reason::HostGone)));
        assert_eq!(rig.polls.0.lock().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_begins_only_when_the_old_ones_last_poll_has_returned() {
    let rig = rig();
    let (begun, wait_begun) = std::sync::mpsc::channel();
    let (end, wait_end) = std::sync::mpsc::channel();
    // One poll that takes as long as the test wants, on one of the two workers.
    rig.stage.on_lapse.lock().unwrap().replace(Box::new(move || {
        begun.send(()).unwrap();
        wait_end.recv_timeout(PATIENCE).unwrap();
    }));
    rig.start(11, 0, &Slow).unwrap();
    let ask = || rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, false).map_err(|(_, r)| r).unwrap();
    let old = ask();
    wait_begun.recv_timeout(PATIENCE).unwrap();
    rig.start(12, 0, &Slow).unwrap();
    let new = ask();
    // The other worker has nothing else to do, so it would have begun by then.
    tokio::spawn(settle()).await.unwrap();
    assert_eq!(*rig.polls.0.lock().unwrap(), [11], "two epochs at once");
    end.send(()).unwrap();
    assert_eq!(reply(old).await, Err(CallError::unknown(Reason::HostGone)));
    assert_eq!(reply(new).await, Ok(()));
    assert_eq!(*rig.polls.0.lock().unwrap(), [11, 12]);
}
