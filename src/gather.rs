//! When to wait for company.

use futures_util::future::join;
use std::future::pending;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// So many in one batch are a crowd.
pub(crate) const CROWD: usize = 16;
/// How many waits after the last batch the next one may still expect as many.
const BURST: u32 = 10;

/// Lets the first of a batch wait for the rest where that saves work: after a crowd, for as long as there may be
/// more; and while an earlier batch is under way, until it has ended. What comes alone goes at once, however soon
/// after the last one: who waits for one thing before it asks for the next must not pay for others that never come.
#[derive(Debug)]
pub(crate) struct Gather {
    wait: Duration,
    /// How many the last batch had, and when it left.
    last: Option<(usize, Instant)>,
    under_way: watch::Sender<usize>,
}

/// A batch that has left. It has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|batches| *batches = batches.saturating_sub(1));
    }
}

impl Gather {
    /// Nobody waits for longer than this.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, last: None, under_way: watch::Sender::new(0) }
    }

    /// To be called between the first of a batch and the look for others.
    pub(crate) async fn company(&self) {
        self.company_or(pending()).await;
    }

    /// The same where it can be told that the crowd is here again: who is answered and writes the next thing at once
    /// has all company there will be when the last one has come back. Before an earlier batch has ended they are not
    /// all back, however many have come.
    pub(crate) async fn company_or(&self, is_here: impl Future<Output = ()>) {
        let mut under_way = self.under_way.subscribe();
        // What it returns is a lock that the end of a batch would wait for.
        let alone = async { drop(under_way.wait_for(|batches| *batches == 0).await) };
        let crowded =
            self.last.is_some_and(|(many, left)| many >= CROWD && left.elapsed() < self.wait * BURST);
        // Past the time it goes all the same.
        if crowded {
            drop(timeout(self.wait, join(is_here, alone)).await);
        } else {
            drop(timeout(self.wait, alone).await);
        }
    }

    /// To be called when a batch of so many leaves.
    pub(crate) fn leave(&mut self, many: usize) -> UnderWay {
        self.last = Some((many, Instant::now()));
        self.under_way.send_modify(|batches| *batches += 1);
        UnderWay(self.under_way.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const WAIT: Duration = Duration::from_millis(10);

    /// How long the next one waits.
    async fn waits(gather: &Gather) -> Duration {
        let begin = Instant::now();
        gather.company().await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_one_by_one_goes_at_once() {
        let mut gather = Gather::new(WAIT);
        for _ in 0..5 {
            assert_eq!(waits(&gather).await, Duration::ZERO);
            let batch = gather.leave(1);
            sleep(WAIT / 5).await;
            drop(batch);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_others_are_under_way_waits_until_they_have_ended_but_not_for_long() {
        let mut gather = Gather::new(WAIT);
        let (one, other) = (gather.leave(1), gather.leave(1));
        assert!(waits(&gather).await >= WAIT, "they take too long");
        drop(one);
        let ends = tokio::spawn(async move {
            sleep(WAIT / 2).await;
            drop(other);
        });
        let waited = waits(&gather).await;
        assert!(waited >= WAIT / 2 && waited < WAIT, "{waited:?}");
        ends.await.unwrap();
        assert_eq!(waits(&gather).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_crowd_the_first_waits_for_the_rest_until_it_is_quiet() {
        let mut gather = Gather::new(WAIT);
        drop(gather.leave(CROWD));
        assert!(waits(&gather).await >= WAIT);
        drop(gather.leave(CROWD));
        sleep(WAIT * BURST).await;
        assert_eq!(waits(&gather).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_is_here_again_goes_once_the_earlier_batch_has_ended() {
        let mut gather = Gather::new(WAIT);
        let waits = async |gather: &Gather, comes: Duration| {
            let begin = Instant::now();
            gather.company_or(sleep(comes)).await;
            begin.elapsed()
        };
        drop(gather.leave(CROWD));
        let waited = waits(&gather, WAIT / 2).await;
        assert!(waited >= WAIT / 2 && waited < WAIT, "all have come: {waited:?}");
        let waited = waits(&gather, WAIT * 2).await;
        assert!(waited >= WAIT && waited < WAIT * 2, "some stay away: {waited:?}");
        let batch = gather.leave(CROWD);
        assert!(waits(&gather, WAIT / 2).await >= WAIT, "some are still under way");
        let ends = tokio::spawn(async move {
            sleep(WAIT / 2).await;
            drop(batch);
        });
        let waited = waits(&gather, Duration::ZERO).await;
        assert!(waited >= WAIT / 2 && waited < WAIT, "they are not any more: {waited:?}");
        ends.await.unwrap();
        sleep(WAIT * BURST).await;
        assert_eq!(waits(&gather, WAIT / 2).await, Duration::ZERO, "the crowd has gone");
    }
}
