//! The way to one peer: dialed when somebody wants something, forgotten when nobody does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::dial;
use super::endpoint::Shared;
use super::lock;
use super::request::{Item, Quota, RequestError};
use super::session::{Fit, Session};
use super::wire::Lane;
use crate::id::{Incarnation, NodeId};
use crate::limits::MAX_QUEUED_FRAMES;

/// Two expectations of one address are two links: who answers must not depend on who asked first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkKey {
    pub(super) addr: SocketAddr,
    pub(super) node_id: Option<NodeId>,
}

/// The way to one peer.
pub(super) struct Link {
    pub(super) key: LinkKey,
    inner: Mutex<Inner>,
    /// The peer was heard of: a pause between two attempts can end.
    wake: Notify,
    queued_bytes: Arc<Quota>,
}

struct Inner {
    state: State,
    failures: u32,
    not_before: Option<Instant>,
}

enum State {
    Idle,
    Dialing(Vec<Job>),
    Up(Arc<Session>),
}

/// What waits for a session.
pub(super) enum Job {
    Request(Lane, Item),
    Stream(Option<Incarnation>, oneshot::Sender<Result<Arc<Session>, RequestError>>),
}

impl Job {
    fn expects(&self) -> Option<Incarnation> {
        match self {
            Job::Request(_, item) => item.expects,
            Job::Stream(expects, _) => *expects,
        }
    }

    pub(super) fn fail(self, error: RequestError) {
        match self {
            Job::Request(_, item) => item.fail(error),
            Job::Stream(_, waiting) => drop(waiting.send(Err(error))),
        }
    }

    /// Gives the job back if the session has ended.
    fn hand_to(self, session: &Arc<Session>) -> Option<Job> {
        match self {
            Job::Request(lane, item) => session.queue(lane, item).map(|item| Job::Request(lane, item)),
            Job::Stream(..) if session.connection.close_reason().is_some() => Some(self),
            Job::Stream(_, waiting) => {
                let _ = waiting.send(Ok(session.clone()));
                None
            }
        }
    }
}

fn older() -> RequestError {
    RequestError::NotSent("an older life of that node answers there".into())
}

impl Link {
    pub(super) fn new(key: LinkKey) -> Self {
        let inner = Inner { state: State::Idle, failures: 0, not_before: None };
        Self { key, inner: Mutex::new(inner), wake: Notify::new(), queued_bytes: Arc::default() }
    }

    /// Hands the job to the session, or keeps it for the next one. Never waits, so jobs keep the callers' order.
    pub(super) fn submit(self: &Arc<Self>, shared: &Arc<Shared>, mut job: Job) {
        if let Job::Request(_, item) = &mut job
            && !item.charge(&self.queued_bytes)
        {
            return job.fail(RequestError::NotSent("too many bytes are waiting for this peer".into()));
        }
        let inner = &mut *lock(&self.inner);
        if let State::Up(session) = &inner.state {
            match session.fit(job.expects()) {
                Fit::No => return job.fail(older()),
                Fit::Yes => match job.hand_to(session) {
                    None => return,
                    Some(returned) => job = returned,
                },
                // What is under way on the old session ends there; without that it would only pile up.
                Fit::AskAgain if session.is_unused() => session.close(),
                Fit::AskAgain => {}
            }
            inner.state = State::Idle;
        }
        match &mut inner.state {
            State::Dialing(waiting) if waiting.len() >= MAX_QUEUED_FRAMES => {
                job.fail(RequestError::NotSent("too many requests are waiting for this peer".into()));
            }
            State::Dialing(waiting) => waiting.push(job),
            State::Idle | State::Up(_) => {
                inner.state = State::Dialing(vec![job]);
                shared.runtime.spawn(dial::run(shared.clone(), self.clone()));
            }
        }
    }

    /// Waits for as long as the last failures ask for.
    pub(super) async fn pause(&self) {
        let not_before = lock(&self.inner).not_before;
        if let Some(not_before) = not_before.filter(|&t| t > Instant::now()) {
            tokio::select! {
                () = sleep_until(not_before) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Its peer was heard of at this address: it is worth trying now.
    pub(super) fn hope(&self) {
        let inner = &mut *lock(&self.inner);
        inner.failures = 0;
        inner.not_before = None;
        if matches!(inner.state, State::Dialing(_)) {
            self.wake.notify_waiters();
        }
    }

    /// Dialing succeeded. Gives the session back if it was made with a hello that is out of date.
    pub(super) fn up(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        session: Arc<Session>,
        hello_version: u64,
    ) -> Result<(), Arc<Session>> {
        let inner = &mut *lock(&self.inner);
        // Under the lock: `set_hello` changes the version first and then visits every link.
        if shared.hello_version() != hello_version {
            return Err(session);
        }
        inner.failures = 0;
        inner.not_before = None;
        let before = std::mem::replace(&mut inner.state, State::Up(session.clone()));
        super::session::start(shared, self, &session);
        let State::Dialing(waiting) = before else { return Ok(()) };
        for job in waiting {
            if session.fit(job.expects()) == Fit::Yes {
                let gone = || RequestError::NotSent("the connection is gone".into());
                if let Some(job) = job.hand_to(&session) {
                    job.fail(gone());
                }
            } else {
                job.fail(older());
            }
        }
        Ok(())
    }

    /// Dialing failed: so did everything that waited for it.
    pub(super) fn down(&self, shared: &Shared, error: &RequestError) {
        let waiting = {
            let inner = &mut *lock(&self.inner);
            let pause = backoff(inner.failures, shared.first_backoff, shared.longest_backoff);
            inner.failures = inner.failures.saturating_add(1);
            inner.not_before = Some(Instant::now() + pause);
            std::mem::replace(&mut inner.state, State::Idle)
        };
        if let State::Dialing(waiting) = waiting {
            waiting.into_iter().for_each(|job| job.fail(error.clone()));
        }
    }

    /// Nothing new goes to the present session; what is under way on it ends there.
    pub(super) fn retire_session(&self) -> Option<Arc<Session>> {
        let inner = &mut *lock(&self.inner);
        match std::mem::replace(&mut inner.state, State::Idle) {
            State::Up(session) => Some(session),
            other => {
                inner.state = other;
                None
            }
        }
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        match &lock(&self.inner).state {
            State::Up(session) => Some(session.clone()),
            State::Idle | State::Dialing(_) => None,
        }
    }

    pub(super) fn forget(&self, session: &Arc<Session>) {
        Self::forget_in(&mut lock(&self.inner), session);
    }

    fn forget_in(inner: &mut Inner, session: &Arc<Session>) {
        if matches!(&inner.state, State::Up(current) if Arc::ptr_eq(current, session)) {
            inner.state = State::Idle;
        }
    }

    /// Under the lock, so that no request can slip in between the question and the close.
    pub(super) fn close_if_idle(&self, session: &Arc<Session>) {
        let inner = &mut *lock(&self.inner);
        if session.is_idle() {
            Self::forget_in(inner, session);
            session.close();
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        matches!(lock(&self.inner).state, State::Idle)
    }
}

/// The pause after so many failures before the latest.
fn backoff(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_bound_and_never_overflows() {
        let pause = |n| backoff(n, Duration::from_millis(20), Duration::from_millis(500)).as_millis();
        assert_eq!([0, 1, 2, 4, 5, 31, 32, u32::MAX].map(pause), [20, 40, 80, 320, 500, 500, 500, 500]);
    }
}
