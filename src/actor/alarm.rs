//! The one timer of an actor's loop.

use std::pin::Pin;
use std::task::{Context as Task, Poll, Waker};
use tokio::time::Sleep;

use crate::clock::Mono;

/// A timer that stays where it is while nothing about it changes: an actor looks at it far more often than it fires.
#[derive(Default)]
pub(super) struct Alarm(Option<Set>);

struct Set {
    at: Mono,
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes.
    waker: Waker,
}

impl Alarm {
    /// Whether that moment has come; wakes the task when it does.
    pub(super) fn poll(&mut self, at: Mono, now: Mono, task: &mut Task<'_>) -> Poll<()> {
        if let Some(set) = self.0.as_mut().filter(|set| set.at == at) {
            if !set.sleep.is_elapsed() && set.waker.will_wake(task.waker()) {
                return Poll::Pending;
            }
            set.waker.clone_from(task.waker());
            return set.sleep.as_mut().poll(task);
        }
        let sleep = Box::pin(tokio::time::sleep(at.since(now)));
        let set = self.0.insert(Set { at, sleep, waker: task.waker().clone() });
        set.sleep.as_mut().poll(task)
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
    use std::time::Duration;
    use tokio::sync::mpsc;
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
}
