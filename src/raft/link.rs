//! How consensus reaches another peer: implemented where transport and member table meet.

use futures_util::future::BoxFuture;
use std::time::Duration;

use crate::id::RaftId;

/// Nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// The peer is down, cut off, or is not that disk any more: do not retry hot.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The exchange broke on the way.
    #[error("broken: {0}")]
    Broken(String),
}

/// Sends one frame after another.
pub(crate) trait FrameSink: Send {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>>;
    /// Says that no frame follows.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>>;
}

/// Receives one frame after another; `None` at the end.
pub(crate) trait FrameSource: Send {
    fn recv(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>>;
}

/// The way to the process that runs a given disk.
pub(crate) trait RaftLink: Send + Sync + 'static {
    /// One request, one reply.
    fn call(
        &self,
        to: RaftId,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, LinkError>>;

    /// Whether calls to a disk go through a third peer for now, which streams cannot.
    fn is_detoured(&self, to: RaftId) -> bool;

    /// Completes once they do.
    fn until_detoured(&self, to: RaftId) -> BoxFuture<'static, ()>;

    /// A stream of its own, opened with a header. What is urgent comes before all that users send.
    #[allow(clippy::type_complexity)]
    fn open(
        &self,
        to: RaftId,
        header: Vec<u8>,
        urgent: bool,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), LinkError>>;
}
