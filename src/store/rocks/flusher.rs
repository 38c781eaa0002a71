//! Group commit: one thread syncs everything that was written meanwhile, then says so, in order.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::limits::{MAX_UNSYNCED_WRITES, SETTLE_AFTER_QUIET, SYNCS_PER_SETTLE};
use crate::store::error::{Failure, backlog_full};
use crate::store::{Durable, lock};

/// What the flusher asks of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make every write up to this number durable, and note that it is promised.
    Sync(u64),
    /// Make the note durable. It comes when writers pause, so that none waits for it.
    Settle,
}

pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    failure: Option<Failure>,
    stopping: bool,
}

/// A write that was made (with its number) or failed, and who waits for it.
struct Waiting {
    written: io::Result<u64>,
    done: Durable,
}

impl Flusher {
    /// Starts the thread, which performs every step by `disk`.
    pub(super) fn start(
        name: &str,
        disk: impl FnMut(Step) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || theirs.run(disk))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether a write may be made now: not after a failure, and not with a full queue.
    pub(super) fn admit(&self) -> io::Result<()> {
        let queue = lock(&self.shared.queue);
        match &queue.failure {
            Some(failure) => Err(failure.error()),
            None if queue.waiting.len() >= MAX_UNSYNCED_WRITES => Err(backlog_full()),
            None => Ok(()),
        }
    }

    /// Stops the store for good: no write is acknowledged from here on.
    pub(super) fn fail(&self, first: &io::Error) {
        self.shared.fail(first);
    }

    /// Does the same, for another thread.
    pub(super) fn stopper(&self) -> impl Fn(&io::Error) + Send + 'static {
        let shared = self.shared.clone();
        move |first| shared.fail(first)
    }

    /// Queues the callback of a write behind those of earlier ones. `order` is the lock under
    /// which the write was made, so that the queue has the order of the writes.
    pub(super) fn queue(&self, order: MutexGuard<'_, ()>, written: io::Result<u64>, done: Durable) {
        let mut queue = lock(&self.shared.queue);
        if written.is_err() && queue.waiting.len() >= MAX_UNSYNCED_WRITES {
            // Refused for want of room, so it cannot wait its turn; and the callback may write.
            drop((queue, order));
            return call(done, written.map(drop));
        }
        queue.waiting.push(Waiting { written, done });
        drop((queue, order));
        self.shared.wake.notify_one();
    }
}

impl Drop for Flusher {
    /// Syncs and answers what waits, then ends the thread.
    fn drop(&mut self) {
        lock(&self.shared.queue).stopping = true;
        self.shared.wake.notify_one();
        // The last owner of the store may be a callback: the thread cannot wait for itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's flusher ended in a panic");
        }
    }
}

impl Shared {
    fn fail(&self, first: &io::Error) {
        lock(&self.queue).failure.get_or_insert_with(|| Failure::new(first));
    }

    fn run(&self, mut disk: impl FnMut(Step) -> io::Result<()>) {
        let mut unsettled = 0;
        while let Some(batch) = self.next_batch(unsettled > 0) {
            let last = batch.iter().filter_map(|w| w.written.as_ref().ok()).max();
            let synced = last.map_or(Ok(()), |last| self.perform(&mut disk, Step::Sync(*last)));
            unsettled += u32::from(last.is_some());
            let quiet = batch.is_empty();
            for Waiting { written, done } in batch {
                call(done, written.and(synced.as_ref().copied().map_err(Failure::error)));
            }
            if unsettled > 0 && (quiet || unsettled >= SYNCS_PER_SETTLE) {
                unsettled = 0;
                // Nobody waits for it; if it fails, the next write is told.
                let _poisoned = self.perform(&mut disk, Step::Settle);
            }
        }
    }

    /// What waits, once anything does; nothing, if `unsettled` and it stays quiet; none at the end.
    fn next_batch(&self, unsettled: bool) -> Option<Vec<Waiting>> {
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.stopping;
        let queue = lock(&self.queue);
        let mut queue = if unsettled {
            let woken = self.wake.wait_timeout_while(queue, SETTLE_AFTER_QUIET, idle);
            woken.unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.wake.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner)
        };
        let batch = std::mem::take(&mut queue.waiting);
        (!batch.is_empty() || unsettled).then_some(batch)
    }

    /// After a failure nothing is synced: a second fsync may succeed without the pages that the
    /// first one lost.
    fn perform(&self, disk: &mut impl FnMut(Step) -> io::Result<()>, step: Step) -> Result<(), Failure> {
        if let Some(failure) = lock(&self.queue).failure.clone() {
            return Err(failure);
        }
        let panicked = |_| Err(io::Error::other("the sync panicked"));
        let done = catch_unwind(AssertUnwindSafe(|| disk(step))).unwrap_or_else(panicked);
        done.map_err(|e| {
            tracing::error!(error = %e, "the store could not be synced and takes no more writes");
            lock(&self.queue).failure.get_or_insert_with(|| Failure::new(&e)).clone()
        })
    }
}

/// A callback that panics must not take the thread, and with it every later one, along.
fn call(done: Durable, outcome: io::Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
        tracing::error!("a callback of the store panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BootClock, Clock};
    use std::sync::mpsc;
    use std::time::Duration;

    fn next<T>(from: &mpsc::Receiver<T>) -> T {
        from.recv_timeout(Duration::from_secs(5)).expect("something within 5 s")
    }

    /// A flusher whose syncs are reported to the test, and end when and how the test says.
    fn held() -> (Flusher, mpsc::Receiver<u64>, mpsc::Sender<io::Result<()>>) {
        let ((asked, asks), (answer, answers)) = (mpsc::channel(), mpsc::channel());
        let flusher = Flusher::start("test", move |step| match step {
            Step::Sync(last) => {
                asked.send(last).unwrap();
                next(&answers)
            }
            Step::Settle => Ok(()),
        });
        (flusher.unwrap(), asks, answer)
    }

    fn write(flusher: &Flusher, number: u64, told: &mpsc::Sender<(u64, bool)>) {
        let (told, order) = (told.clone(), Mutex::new(()));
        let done: Durable = Box::new(move |outcome| told.send((number, outcome.is_ok())).unwrap());
        flusher.queue(lock(&order), flusher.admit().map(|()| number), done);
    }

    #[test]
    fn what_is_written_during_a_sync_shares_the_next_one() {
        let (flusher, asks, answer) = held();
        let (told, answers) = mpsc::channel();
        write(&flusher, 1, &told);
        assert_eq!(next(&asks), 1);
        (2..50).for_each(|n| write(&flusher, n, &told));
        assert!(answers.try_recv().is_err(), "nothing is acknowledged before its sync");
        answer.send(Ok(())).unwrap();
        assert_eq!(next(&asks), 49);
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(1, true)]);
        answer.send(Ok(())).unwrap();
        drop(flusher);
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), (2..50).map(|n| (n, true)).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_failed_sync_nothing_is_acknowledged_or_synced_again() {
        let (flusher, asks, answer) = held();
        let (told, answers) = mpsc::channel();
        write(&flusher, 1, &told);
        assert_eq!(next(&asks), 1);
        write(&flusher, 2, &told);
        answer.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
        assert_eq!([next(&answers), next(&answers)], [(1, false), (2, false)]);
        write(&flusher, 3, &told);
        assert_eq!(next(&answers), (3, false));
        assert_eq!(flusher.admit().unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(flusher);
        assert!(asks.try_recv().is_err(), "a second fsync may succeed without the lost pages");
    }

    #[test]
    fn a_failed_write_fails_what_waits_with_it() {
        let (flusher, asks, answer) = held();
        let (told, answers) = mpsc::channel();
        write(&flusher, 1, &told);
        assert_eq!(next(&asks), 1);
        write(&flusher, 2, &told);
        flusher.fail(&io::Error::other("torn"));
        answer.send(Ok(())).unwrap();
        assert_eq!([next(&answers), next(&answers)], [(1, true), (2, false)]);
        drop(flusher);
        assert!(asks.try_recv().is_err());
    }

    #[test]
    fn the_queue_is_bounded_and_a_panicking_callback_does_not_stop_it() {
        let (flusher, asks, answer) = held();
        let (told, answers) = mpsc::channel();
        let order = Mutex::new(());
        flusher.queue(lock(&order), Ok(1), Box::new(|_| panic!("this panic is part of the test")));
        assert_eq!(next(&asks), 1);
        for number in 0..MAX_UNSYNCED_WRITES as u64 {
            write(&flusher, 2 + number, &told);
        }
        assert_eq!(flusher.admit().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        write(&flusher, 0, &told);
        assert_eq!(answers.try_recv().unwrap(), (0, false), "refused at once");
        answer.send(Ok(())).unwrap();
        answer.send(Ok(())).unwrap();
        drop(flusher);
        let rest: Vec<_> = answers.try_iter().collect();
        assert_eq!(rest.len(), MAX_UNSYNCED_WRITES);
        assert!(rest.iter().all(|(_, ok)| *ok));
    }

    #[test]
    fn a_sync_that_panics_is_a_failure_and_not_a_hang() {
        let flusher = Flusher::start("test", |_| panic!("this panic is part of the test")).unwrap();
        let (told, answers) = mpsc::channel();
        for number in [1, 2] {
            write(&flusher, number, &told);
            assert_eq!(next(&answers), (number, false));
        }
    }

    #[test]
    fn the_note_settles_when_it_is_quiet_and_every_so_many_syncs_and_at_the_end() {
        let (step, steps) = mpsc::channel();
        let flusher =
            Flusher::start("test", move |taken| step.send(taken).map_err(io::Error::other)).unwrap();
        let (told, answers) = mpsc::channel();
        write(&flusher, 1, &told);
        assert_eq!([next(&steps), next(&steps)], [Step::Sync(1), Step::Settle]);
        next(&answers);
        for number in 0..=u64::from(SYNCS_PER_SETTLE) {
            write(&flusher, number, &told);
            next(&answers);
        }
        drop(flusher);
        let taken: Vec<_> = steps.iter().collect();
        let settled = taken.iter().filter(|step| **step == Step::Settle).count();
        assert!(settled >= 2 && taken.last() == Some(&Step::Settle), "{taken:?}");
    }

    #[test]
    fn a_note_that_does_not_settle_stops_the_store() {
        let flusher = Flusher::start("test", |step| match step {
            Step::Sync(_) => Ok(()),
            Step::Settle => Err(io::Error::other("no")),
        });
        let flusher = flusher.unwrap();
        let (told, answers) = mpsc::channel();
        let deadline = BootClock.now() + Duration::from_secs(5);
        write(&flusher, 1, &told);
        assert_eq!(next(&answers), (1, true));
        while flusher.admit().is_ok() {
            assert!(BootClock.now() < deadline, "the failure was passed over");
            thread::yield_now();
        }
    }
}
