//! Handlers whose panics are caught. By hand: `FutureExt::catch_unwind` wants the future moved into it, and one that
//! awaits that keeps room for both; there may be many, and each message pays for the way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::codec::panic_text;

/// Begins a handler. An error is what its panic said, in one that does something before it is first polled.
#[inline]
pub(crate) fn begin_caught<F>(begin: impl FnOnce() -> F) -> Result<F, String> {
    catch_unwind(AssertUnwindSafe(begin)).map_err(|panic| panic_text(&*panic))
}

/// Polls it, and drops it when it is done. After an error, which is what its panic said, it is not to be polled again.
#[inline]
pub(crate) fn poll_caught<F: Future>(
    mut handling: Pin<&mut Option<F>>,
    task: &mut Context<'_>,
) -> Poll<Result<F::Output, String>> {
    let poll = || {
        let Some(running) = handling.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = running.poll(task);
        if polled.is_ready() {
            handling.set(None);
        }
        polled
    };
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
    }
}
