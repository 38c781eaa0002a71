//! Nothing is lost, nobody waits for ever, and no more wait than may.

use super::*;
use futures_util::FutureExt;
use std::future::poll_fn;
use std::time::Duration;
use tokio::time::timeout;

use crate::task::Woken;

const SOON: Duration = Duration::from_secs(20);

/// What is there already. Not to be called on a runtime, which lets a task have only so many at once.
fn next<T>(receiver: &mut Receiver<T, ()>) -> Option<T> {
    receiver.next().now_or_never().flatten()
}

fn fill(sender: &Sender<u64, ()>) -> u64 {
    (0..).take_while(|n| sender.try_place().map(|place| place.send(*n)).is_ok()).count() as u64
}

#[tokio::test]
async fn items_come_in_order_and_no_more_wait_than_may() {
    for capacity in [1, 2, 31, 63] {
        let (sender, mut receiver) = channel(capacity, ());
        for _ in 0..3 {
            assert_eq!(fill(&sender), capacity as u64);
            assert_eq!(sender.try_place().err(), Some(NoPlace::Full));
            // What was taken out takes room until its turn has come.
            assert_eq!(receiver.next().await, Some(0));
            sender.try_place().expect("one was received").send(99);
            assert_eq!(sender.try_place().err(), Some(NoPlace::Full));
            for n in 1..capacity as u64 {
                assert_eq!(receiver.next().await, Some(n));
            }
            assert_eq!(receiver.next().await, Some(99));
        }
        assert!(receiver.next().now_or_never().is_none());
    }
}

#[test]
fn of_a_large_one_few_places_are_returned_late() {
    let (sender, mut receiver) = channel(1024, ());
    let mut held = 0;
    for _ in 0..200 {
        sender.try_place().expect("nothing waits").send(1);
        assert!(next(&mut receiver).is_some());
        held = held.max(1024 - fill(&sender));
        while next(&mut receiver).is_some() {}
    }
    assert!((1..PLACES_HELD_BACK as u64).contains(&held), "{held} places were held back");
}

#[tokio::test]
async fn who_waits_for_a_place_gets_it_or_hears_of_the_end() {
    let (sender, mut receiver) = channel(1, ());
    sender.try_place().unwrap().send(1);
    let waiting = |n| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.place().await.map(|place| place.send(n)) })
    };
    let (first, second) = (waiting(2), waiting(3));
    assert_eq!(receiver.next().await, Some(1));
    assert!(receiver.next().await.is_some());
    assert!(receiver.next().await.is_some());
    assert!(first.await.unwrap().is_some() && second.await.unwrap().is_some());
    // A place that is not used is free again.
    drop(sender.try_place().unwrap());
    sender.try_place().unwrap().send(4);
    let third = waiting(5);
    tokio::task::yield_now().await;
    drop(receiver);
    assert!(timeout(SOON, third).await.expect("it waits for ever").unwrap().is_none());
    assert_eq!(sender.try_place().err(), Some(NoPlace::Closed));
}

#[tokio::test]
async fn what_waits_at_the_end_is_received_and_what_comes_after_it_is_dropped() {
    let item = Arc::new(());
    let (sender, receiver) = channel(4, ());
    let late = sender.try_place().unwrap();
    sender.try_place().unwrap().send(Arc::clone(&item));
    assert_eq!(receiver.drain().count(), 1);
    late.send(Arc::clone(&item));
    assert_eq!(Arc::strong_count(&item), 1, "the late one was dropped");
    assert_eq!(sender.try_place().err(), Some(NoPlace::Closed));
    let (sender, receiver) = channel(4, ());
    sender.try_place().unwrap().send(Arc::clone(&item));
    drop(receiver);
    assert_eq!(Arc::strong_count(&item), 1, "it went with the exit");
}

#[tokio::test]
async fn a_closed_one_ends_when_all_that_had_a_place_has_come() {
    let (sender, mut receiver) = channel(4, ());
    let (late, unused) = (sender.try_place().unwrap(), sender.try_place().unwrap());
    receiver.close();
    assert_eq!(sender.try_place().err(), Some(NoPlace::Closed));
    let ended = tokio::spawn(async move { (receiver.next().await, receiver.next().await) });
    tokio::task::yield_now().await;
    late.send(7);
    tokio::task::yield_now().await;
    assert!(!ended.is_finished(), "somebody still has a place");
    drop(unused);
    assert_eq!(timeout(SOON, ended).await.expect("it waits for ever").unwrap(), (Some(7), None));
    // Who waits for a place may have it without knowing, and give up.
    let (sender, mut receiver) = channel(1, ());
    sender.try_place().unwrap().send(7);
    let mut waits = Box::pin(sender.place());
    assert!(waits.as_mut().now_or_never().is_none());
    assert_eq!(receiver.next().await, Some(7));
    receiver.close();
    let ended = tokio::spawn(async move { receiver.next().await });
    tokio::task::yield_now().await;
    drop(waits);
    assert_eq!(timeout(SOON, ended).await.expect("it waits for ever").unwrap(), None);
}

#[tokio::test]
async fn the_last_sender_closes_and_a_weak_one_does_not_keep_open() {
    let (sender, mut receiver) = channel::<u64, ()>(4, ());
    let weak = sender.downgrade();
    let other = weak.upgrade().expect("one is left");
    drop(sender);
    other.try_place().unwrap().send(1);
    let waiting = tokio::spawn(async move { (receiver.next().await, receiver.next().await) });
    tokio::task::yield_now().await;
    drop(other);
    assert!(weak.upgrade().is_none());
    assert_eq!(timeout(SOON, waiting).await.expect("it waits for ever").unwrap(), (Some(1), None));
}

#[test]
fn what_is_given_back_is_filled_again_and_an_idle_channel_keeps_little() {
    let (sender, mut receiver) = channel::<Vec<u8>, ()>(512, ());
    let send = || {
        let mut was_used = false;
        sender.try_place().unwrap().send_with(|used| {
            was_used = used.is_some();
            used.unwrap_or_default()
        });
        was_used
    };
    assert_eq!((0..200).filter(|_| send()).count(), 0);
    for _ in 0..200 {
        let item = next(&mut receiver).unwrap();
        receiver.give_back(item);
    }
    send();
    let last = next(&mut receiver).unwrap();
    assert_eq!((0..300).filter(|_| send()).count(), 200);
    while let Some(item) = next(&mut receiver) {
        receiver.give_back(item);
    }
    receiver.give_back(last);
    assert!(next(&mut receiver).is_none());
    assert_eq!((0..300).filter(|_| send()).count(), IDLE_MAILBOX_KEEPS);
    while next(&mut receiver).is_some() {}
    let inner = sender.shared.lock();
    let rooms = [inner.waiting.capacity(), receiver.taken.capacity(), inner.spares.capacity()];
    assert!(rooms.into_iter().chain([receiver.spares.capacity()]).all(|room| room <= IDLE_MAILBOX_KEEPS));
    // Few are kept.
    drop(inner);
    send();
    let item = next(&mut receiver).unwrap();
    receiver.give_back(item);
    assert!(next(&mut receiver).is_none());
    assert!(send());
}

#[tokio::test]
async fn a_receiver_that_is_never_idle_lets_others_run() {
    let (sender, mut receiver) = channel(1 << 16, ());
    fill(&sender);
    let mut taken = 0;
    poll_fn(|task| {
        while receiver.poll_next(task, NO_POLL).is_ready() {
            taken += 1;
        }
        Poll::Ready(())
    })
    .await;
    assert!((1..1000).contains(&taken), "{taken} in one poll");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_lose_nothing_and_keep_the_order_of_each() {
    const EACH: u64 = 20_000;
    let (sender, mut receiver) = channel(64, ());
    for from in 0..4_u64 {
        let sender = sender.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let place = match sender.try_place() {
                    Ok(place) => place,
                    Err(_) => sender.place().await.expect("it is open"),
                };
                place.send((from, n));
            }
        });
    }
    drop(sender);
    let all = async {
        let mut next = [0; 4];
        while let Some((from, n)) = receiver.next().await {
            assert_eq!(n, std::mem::replace(&mut next[from as usize], n + 1));
        }
        next
    };
    assert_eq!(timeout(SOON, all).await.expect("something was lost"), [EACH; 4]);
}

#[test]
fn no_second_look_in_one_poll_forgets_an_item() {
    let (sender, mut receiver) = channel(8, ());
    let woken = Arc::new(Woken::default());
    let waker = woken.waker();
    let mut poll = |number| match receiver.poll_next(&mut Context::from_waker(&waker), number) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    };
    let leave = |n| sender.try_place().unwrap().leave_with(|_| n);
    assert!(!leave(0), "nobody waits yet");
    // Nobody would wake it, so it looks again, and waits.
    assert_eq!((poll(1), poll(1)), (Some(0), None));
    assert!(leave(1));
    assert_eq!(poll(2), Some(1));
    // What comes between the two looks of one poll wakes the task, whether the second one finds it or not.
    sender.try_place().unwrap().send(2);
    assert_eq!((poll(2), woken.take()), (None, 1));
    assert_eq!((poll(3), poll(3), poll(NO_POLL)), (Some(2), None, None));
    // The poll that it is woken for is another one.
    assert!(leave(3));
    assert_eq!((poll(4), leave(4)), (Some(3), true));
    sender.wake();
    assert_eq!((woken.take(), poll(NO_POLL)), (1, Some(4)));
    assert_eq!((poll(NO_POLL), leave(5)), (None, true));
}
