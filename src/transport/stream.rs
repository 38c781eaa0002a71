//! Bulk streams: frames in both directions, for as long as there is progress.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;

use super::frame::{Batch, FrameError, FrameReader};
use super::wire::{Lane, RESET_ABANDONED};
use crate::limits::{MAX_FRAME_BYTES, STREAM_IDLE_DEADLINE};

/// Why a bulk stream ended early. What was received before it is whole; what was sent may have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Nothing moved for the idle deadline.
    #[error("no progress within the idle deadline")]
    Idle,
    /// A frame is larger than frames may be.
    #[error("a frame is larger than frames may be")]
    TooLarge,
    /// The other end, or the connection, went away before the stream's proper end.
    #[error("the stream broke: {0}")]
    Broken(String),
    /// An earlier send was cancelled halfway, so nothing can follow it.
    #[error("an earlier send was cut short")]
    CutShort,
}

/// Counts who uses a session, so that it is not closed as idle.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<()>);

impl Hold {
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A stream of frames in both directions.
#[derive(Debug)]
pub struct FramedStream {
    send: FramedSend,
    recv: FramedRecv,
}

/// The sending half. Dropped before [`FramedSend::finish`] it resets the stream, so that the other end does not take
/// the part for the whole.
#[derive(Debug)]
pub struct FramedSend {
    stream: SendStream,
    idle: Duration,
    clean: bool,
    finished: bool,
    _hold: Hold,
}

/// The receiving half.
#[derive(Debug)]
pub struct FramedRecv {
    reader: FrameReader<RecvStream>,
    idle: Duration,
    _hold: Hold,
}

impl FramedStream {
    pub(super) fn new(stream: SendStream, mut reader: FrameReader<RecvStream>, hold: Hold) -> Self {
        reader.set_limit(MAX_FRAME_BYTES);
        let idle = STREAM_IDLE_DEADLINE;
        let send = FramedSend { stream, idle, clean: true, finished: false, _hold: hold.clone() };
        Self { send, recv: FramedRecv { reader, idle, _hold: hold } }
    }

    /// Gives up after so long without progress, instead of [`STREAM_IDLE_DEADLINE`].
    pub fn with_idle_deadline(mut self, idle: Duration) -> Self {
        self.send.idle = idle;
        self.recv.idle = idle;
        self
    }

    /// What is sent on it comes before and behind the same as what is sent on a lane.
    pub fn beside(self, lane: Lane) -> Self {
        let _ = self.send.stream.set_priority(lane.priority());
        self
    }

    /// See [`FramedSend::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), StreamError> {
        self.send.send(frame).await
    }

    /// See [`FramedSend::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.send.finish()
    }

    /// See [`FramedRecv::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.recv.recv().await
    }

    /// Two halves that live on their own.
    pub fn split(self) -> (FramedSend, FramedRecv) {
        (self.send, self.recv)
    }
}

impl FramedSend {
    /// Sends one frame; returns when the connection has taken it, which says nothing about the other end.
    ///
    /// # Errors
    /// If it is too large (nothing was sent then), the stream is broken, or nothing moves. If this future is
    /// dropped halfway, the stream takes no more frames.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), StreamError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(StreamError::TooLarge);
        }
        self.send_all([frame]).await
    }

    /// Sends frames, many small ones in one write; returns as [`FramedSend::send`] does.
    ///
    /// # Errors
    /// As there, but that an unknown part of them may have been sent: the stream takes no more frames.
    pub async fn send_all(&mut self, frames: impl IntoIterator<Item = Bytes>) -> Result<(), StreamError> {
        if !std::mem::replace(&mut self.clean, false) {
            return Err(StreamError::CutShort);
        }
        let mut batch = Batch::default();
        for frame in frames {
            if frame.len() > MAX_FRAME_BYTES {
                return Err(StreamError::TooLarge);
            }
            drop(batch.push_own(&[], frame));
            if batch.is_full() {
                self.write(batch.take()).await?;
            }
        }
        self.write(batch.take()).await?;
        self.clean = true;
        Ok(())
    }

    async fn write(&mut self, mut chunks: Vec<Bytes>) -> Result<(), StreamError> {
        let mut rest = chunks.as_mut_slice();
        while !rest.is_empty() {
            let written = timeout(self.idle, self.stream.write_chunks(rest)).await;
            let written = written.map_err(|_| StreamError::Idle)?;
            let written = written.map_err(|e| StreamError::Broken(e.to_string()))?;
            rest = rest.get_mut(written.chunks..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the stream properly: the other end reads to the last frame, and then none.
    ///
    /// # Errors
    /// If a send was cut short or the stream is broken.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if !self.clean {
            return Err(StreamError::CutShort);
        }
        self.finished = true;
        self.stream.finish().map_err(|e| StreamError::Broken(e.to_string()))
    }
}

impl Drop for FramedSend {
    fn drop(&mut self) {
        if !self.finished {
            // quinn would finish it, and a part would look like the whole.
            let _ = self.stream.reset(RESET_ABANDONED.into());
        }
    }
}

impl FramedRecv {
    /// The next frame, or none after the other end finished. Dropping this future loses nothing.
    ///
    /// # Errors
    /// If a frame is too large, the stream broke or was abandoned, or nothing came within the idle deadline.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        let frame = match self.reader.take_frame() {
            // It has come with others: nobody needs a clock to see it.
            Ok(Some(frame)) => return Ok(Some(frame)),
            Ok(None) => timeout(self.idle, self.reader.next()).await.map_err(|_| StreamError::Idle)?,
            Err(e) => Err(e),
        };
        frame.map_err(|e| match e {
            FrameError::TooLarge(_) => StreamError::TooLarge,
            e => StreamError::Broken(e.to_string()),
        })
    }
}
