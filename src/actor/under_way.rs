//! What an activation waits for on the side.

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::{Mutex, PoisonError};
use std::task::{Context as Task, Poll};

/// Futures, each polled when it is woken. Nobody ever waits for the lock: it is there so that a handler may lend its
/// `Context` to other async functions, which asks of what is in it that threads could share it.
pub(super) struct UnderWay<T>(Mutex<FuturesUnordered<BoxFuture<'static, T>>>);

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self(Mutex::new(FuturesUnordered::new()))
    }
}

impl<T> UnderWay<T> {
    pub(super) fn push(&mut self, future: BoxFuture<'static, T>) {
        self.inner().push(future);
    }

    /// The next that is done. Pending while there is none: then there is nobody to wake for.
    pub(super) fn poll(&mut self, task: &mut Task<'_>) -> Poll<T> {
        let inner = self.inner();
        if inner.is_empty() {
            return Poll::Pending;
        }
        match inner.poll_next_unpin(task) {
            Poll::Ready(Some(done)) => Poll::Ready(done),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn inner(&mut self) -> &mut FuturesUnordered<BoxFuture<'static, T>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
