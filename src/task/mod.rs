//! Where tasks begin. In a simulation each belongs to a [`Process`], which is frozen or killed as a whole.

#[cfg(feature = "testing")]
mod process;
#[cfg(test)]
mod woken;

#[cfg(feature = "testing")]
pub use process::Process;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{self, Handle};
use tokio::task::JoinHandle;
#[cfg(test)]
pub(crate) use woken::Woken;

/// Starts tasks on one runtime, as parts of the process that it was made in.
#[derive(Clone)]
pub struct Spawner {
    runtime: Handle,
    #[cfg(feature = "testing")]
    process: Option<Process>,
}

impl Spawner {
    /// Starts tasks on a runtime.
    pub fn on(runtime: Handle) -> Self {
        Self {
            runtime,
            #[cfg(feature = "testing")]
            process: Process::current(),
        }
    }

    /// The runtime.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The runtime whose threads may poll these tasks on the way. None in a simulation, whose processes are frozen and
    /// killed task by task.
    pub(crate) fn home(&self) -> Option<runtime::Id> {
        #[cfg(feature = "testing")]
        if self.process.is_some() {
            return None;
        }
        Some(self.runtime.id())
    }

    /// Starts a task.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        #[cfg(feature = "testing")]
        if let Some(process) = &self.process {
            return process.spawn_on(&self.runtime, task);
        }
        self.runtime.spawn(task)
    }
}

/// Starts a task where the caller runs, as a part of the caller's process.
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Spawner::on(Handle::current()).spawn(task)
}

/// Does what may take long on a thread of its own, so that nothing else waits for it. In a simulation, where only the
/// clock says how long something takes, at once.
///
/// # Errors
/// If it panicked, or the runtime ends first.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    #[cfg(feature = "testing")]
    if Process::current().is_some() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// A number of this thread's own, to choose among things that threads should not share.
pub(crate) fn own_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        OWN.set(Some(own));
        own
    })
}
