//! A process of a simulation: all tasks that were started by its tasks.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

/// Finished tasks are forgotten when there are more than this, and then at twice as many as were left.
const FIRST_SWEEP: usize = 64;

thread_local! {
    /// Whose task is being polled on this thread.
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
}

/// Tasks that stand for one operating system's process. Clones are the same one.
///
/// A frozen process is as one that was sent SIGSTOP: none of its tasks is polled, time passes, packets wait
/// in its socket. A killed one is as after SIGKILL: none of its tasks is ever polled again.
#[derive(Clone, Default)]
pub struct Process(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    frozen: bool,
    killed: bool,
    /// Who wanted to be polled meanwhile.
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    next_sweep: usize,
}

impl Process {
    /// A process without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose task the caller is, if it is one of a simulated process.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task of this process on the runtime that the caller runs on.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(&Handle::current(), task)
    }

    pub(super) fn spawn_on<F>(&self, runtime: &Handle, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = runtime.spawn(Member { process: self.clone(), task: Box::pin(task) });
        let mut inner = self.lock();
        if inner.killed {
            task.abort();
            return task;
        }
        if inner.tasks.len() >= inner.next_sweep.max(FIRST_SWEEP) {
            inner.tasks.retain(|task| !task.is_finished());
            inner.next_sweep = inner.tasks.len() * 2;
        }
        inner.tasks.push(task.abort_handle());
        task
    }

    /// Polls none of its tasks from now on.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    /// Goes on where it was frozen.
    pub fn thaw(&self) {
        let mut inner = self.lock();
        inner.frozen = false;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.lock().frozen
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.lock().killed
    }

    /// Ends all of its tasks where they stand.
    pub fn kill(&self) {
        let mut inner = self.lock();
        inner.killed = true;
        let tasks = std::mem::take(&mut inner.tasks);
        drop(inner);
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Whether the task behind `waker` must wait.
    fn holds(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if inner.frozen && !inner.killed {
            inner.waiting.push(waker.clone());
        }
        inner.frozen || inner.killed
    }
}

/// A task that is polled only while its process runs.
struct Member<F> {
    process: Process,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.process.holds(cx.waker()) {
            return Poll::Pending;
        }
        let before = CURRENT.replace(Some(self.process.clone()));
        let polled = self.task.as_mut().poll(cx);
        CURRENT.set(before);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tokio::time::sleep;

    const TICK: Duration = Duration::from_millis(10);

    fn ticking(process: &Process) -> Arc<AtomicU32> {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = ticks.clone();
        // A task of a task is of the same process.
        process.spawn(async move {
            crate::task::spawn(async move {
                loop {
                    sleep(TICK).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        ticks
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_process_does_nothing_until_it_goes_on_and_a_killed_one_never() {
        let (one, other) = (Process::new(), Process::new());
        let (ticks, others) = (ticking(&one), ticking(&other));
        sleep(TICK * 5).await;
        one.freeze();
        let before = ticks.load(Ordering::Relaxed);
        assert!(before >= 3);
        sleep(TICK * 5).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before);
        assert!(others.load(Ordering::Relaxed) >= 8);
        one.thaw();
        sleep(TICK * 5).await;
        let before = ticks.load(Ordering::Relaxed);
        assert!(before >= 6);
        one.kill();
        sleep(TICK * 5).await;
        assert_eq!(ticks.load(Ordering::Relaxed), before);
        assert_eq!(Arc::strong_count(&ticks), 1, "its tasks are gone");
        drop(ticking(&one));
        assert!(Process::current().is_none());
    }
}
