//! What wakes an actor's loop besides its mailbox, told apart from that: while nothing but messages comes, the loop
//! need not look at anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Wakes the task, and says that it was not a message.
struct Nudge {
    has_come: AtomicBool,
    task: Waker,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken: it finds this whenever it was woken for this.
        self.has_come.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// The waker of everything but the mailbox.
pub(super) struct Aside {
    nudge: Arc<Nudge>,
    waker: Waker,
}

impl Aside {
    /// The same as before, if it still wakes the right task.
    pub(super) fn of(before: Option<Self>, task: &Waker) -> Self {
        before.filter(|aside| aside.wakes(task)).unwrap_or_else(|| {
            let nudge = Arc::new(Nudge { has_come: AtomicBool::new(true), task: task.clone() });
            Self { waker: Waker::from(Arc::clone(&nudge)), nudge }
        })
    }

    #[inline]
    pub(super) fn wakes(&self, task: &Waker) -> bool {
        self.nudge.task.will_wake(task)
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it has woken the task since that last looked around.
    #[inline]
    pub(super) fn has_come(&self) -> bool {
        self.nudge.has_come.load(Ordering::Acquire)
    }

    /// The task looks around now: what comes from here on counts anew.
    pub(super) fn clear(&self) {
        // Read as well, so that what was done before the wake is seen by who looks after this.
        self.nudge.has_come.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Woken;

    #[test]
    fn it_wakes_the_task_and_says_so_until_that_looks_around() {
        let task = Arc::new(Woken::default());
        let waker = task.waker();
        let aside = Aside::of(None, &waker);
        assert!(aside.has_come(), "nobody has looked around yet");
        aside.clear();
        assert!(!aside.has_come());
        aside.waker().wake_by_ref();
        assert!(aside.has_come() && task.take() == 1);
        let aside = Aside::of(Some(aside), &waker);
        assert!(aside.has_come(), "it is the same");
        aside.clear();
        let other = Arc::new(Woken::default()).waker();
        assert!(!aside.wakes(&other) && Aside::of(Some(aside), &other).has_come());
    }
}
