//! The one timer of an actor's loop.

use std::pin::Pin;
use std::task::{Context as Task, Poll, Waker};
use tokio::task::coop::has_budget_remaining;
use tokio::time::Sleep;

use crate::clock::Mono;

/// A timer that stays where it is while nothing about it changes: an actor looks at it far more often than it fires.
#[derive(Default)]
pub(super) struct Alarm(Option<Set>);

struct Set {
    at: Mono,
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes; nobody yet if its task had used up what one poll may do.
    waker: Option<Waker>,
}

impl Set {
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<()> {
        // Without budget the sleep only has the task polled once more, and does not remember it.
        self.waker = has_budget_remaining().then(|| task.waker().clone());
        self.sleep.as_mut().poll(task)
    }

    fn wakes(&self, waker: &Waker) -> bool {
        !self.sleep.is_elapsed() && self.waker.as_ref().is_some_and(|set| set.will_wake(waker))
    }
}

impl Alarm {
    /// Whether that moment has come; wakes the task when it does.
    pub(super) fn poll(&mut self, at: Mono, now: Mono, task: &mut Task<'_>) -> Poll<()> {
        if let Some(set) = self.0.as_mut().filter(|set| set.at == at) {
            return if set.wakes(task.waker()) { Poll::Pending } else { set.poll(task) };
        }
        let sleep = Box::pin(tokio::time::sleep(at.since(now)));
        self.0.insert(Set { at, sleep, waker: None }).poll(task)
    }

    /// It has been heard.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio::task::coop::consume_budget;
    use tokio::time::{Instant, advance, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    fn at(after: Duration) -> Mono {
        Mono(0) + after
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_at_its_moment_however_often_it_was_looked_at() {
        let (mut alarm, begin) = (Alarm::default(), Instant::now());
        for _ in 0..3 {
            let now = at(begin.elapsed());
            let looked = poll_fn(|task| Poll::Ready(alarm.poll(at(SECOND), now, task)));
            assert!(looked.await.is_pending());
            advance(SECOND / 10).await;
        }
        poll_fn(|task| alarm.poll(at(SECOND), at(begin.elapsed()), task)).await;
        assert_eq!(begin.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn another_moment_counts_from_now_and_another_task_is_woken() {
        let (mut alarm, begin) = (Alarm::default(), Instant::now());
        let looked = poll_fn(|task| Poll::Ready(alarm.poll(at(SECOND * 9), at(Duration::ZERO), task)));
        assert!(looked.await.is_pending());
        let looked = poll_fn(|task| Poll::Ready(alarm.poll(at(SECOND), at(Duration::ZERO), task)));
        assert!(looked.await.is_pending());
        let (rang, mut rings) = mpsc::channel(1);
        tokio::spawn(async move {
            poll_fn(|task| alarm.poll(at(SECOND), at(Duration::ZERO), task)).await;
            rang.send(begin.elapsed()).await.unwrap();
        });
        assert_eq!(timeout(SECOND * 5, rings.recv()).await.unwrap(), Some(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_although_its_task_had_used_up_its_budget_when_it_was_set() {
        let (mut alarm, begin, mut is_set) = (Alarm::default(), Instant::now(), false);
        let ring = poll_fn(|task| {
            while !is_set && pin!(consume_budget()).poll(task).is_ready() {}
            is_set = true;
            alarm.poll(at(SECOND), at(begin.elapsed()), task)
        });
        timeout(SECOND * 5, ring).await.unwrap();
        assert_eq!(begin.elapsed(), SECOND);
    }
}
