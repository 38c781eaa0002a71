//! Group commit: one thread syncs everything that was written meanwhile, then says so, in order.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use crate::limits::MAX_UNSYNCED_WRITES;
use crate::store::error::{Failure, backlog_full};
use crate::store::{Durable, lock};

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
    /// Starts the thread. `sync` must make every write up to the given number durable.
    pub(super) fn start(sync: impl FnMut(u64) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("standin-flush".into()).spawn(move || theirs.run(sync))?;
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
        lock(&self.shared.queue).failure.get_or_insert_with(|| Failure::new(first));
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
    fn run(&self, mut sync: impl FnMut(u64) -> io::Result<()>) {
        while let Some(batch) = self.next_batch() {
            let synced = self.commit(&batch, &mut sync);
            for Waiting { written, done } in batch {
                let outcome = written.and(synced.as_ref().copied().map_err(Failure::error));
                call(done, outcome);
            }
        }
    }

    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let queue = lock(&self.queue);
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.stopping;
        let mut queue = self.wake.wait_while(queue, idle).unwrap_or_else(|e| e.into_inner());
        let batch = std::mem::take(&mut queue.waiting);
        (!batch.is_empty()).then_some(batch)
    }

    /// After a failure nothing is synced: a second fsync may succeed without the pages that the
    /// first one lost.
    fn commit(&self, batch: &[Waiting], sync: &mut impl FnMut(u64) -> io::Result<()>) -> Result<(), Failure> {
        if let Some(failure) = lock(&self.queue).failure.clone() {
            return Err(failure);
        }
        let Some(last) = batch.iter().filter_map(|w| w.written.as_ref().ok()).max() else { return Ok(()) };
        let panicked = |_| Err(io::Error::other("the sync panicked"));
        let synced = catch_unwind(AssertUnwindSafe(|| sync(*last))).unwrap_or_else(panicked);
        synced.map_err(|e| {
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
    use std::sync::mpsc;
    use std::time::Duration;

    fn next<T>(from: &mpsc::Receiver<T>) -> T {
        from.recv_timeout(Duration::from_secs(5)).expect("something within 5 s")
    }

    /// A flusher whose syncs are reported to the test, and end when and how the test says.
    fn held() -> (Flusher, mpsc::Receiver<u64>, mpsc::Sender<io::Result<()>>) {
        let ((asked, asks), (answer, answers)) = (mpsc::channel(), mpsc::channel());
        let flusher = Flusher::start(move |last| {
            asked.send(last).unwrap();
            next(&answers)
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
        let flusher = Flusher::start(|_| panic!("this panic is part of the test")).unwrap();
        let (told, answers) = mpsc::channel();
        for number in [1, 2] {
            write(&flusher, number, &told);
            assert_eq!(next(&answers), (number, false));
        }
    }
}
