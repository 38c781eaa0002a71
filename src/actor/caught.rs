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

/// Polls it. After an error, which is what its panic said, it is not to be polled again.
#[inline]
pub(crate) fn poll_caught<F: Future>(
    handling: Pin<&mut F>,
    task: &mut Context<'_>,
) -> Poll<Result<F::Output, String>> {
    match catch_unwind(AssertUnwindSafe(|| handling.poll(task))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
    }
}
