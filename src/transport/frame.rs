//! Frames on a stream: a big-endian u32 length, then so many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{READ_AHEAD_BYTES, WRITE_COALESCE_BYTES, ZERO_COPY_BYTES};

const LENGTH_BYTES: usize = 4;
/// So much at least is read at once.
const READ_BYTES: usize = 16 << 10;

/// Why no further frame can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    #[error("the stream ended inside a frame")]
    Truncated,
    #[error("a frame makes no sense")]
    Malformed,
    #[error("{0}")]
    Io(String),
}

impl FrameError {
    /// Whether the other end broke the rules, as opposed to having gone away.
    pub(crate) fn is_malformed(&self) -> bool {
        !matches!(self, FrameError::Io(_))
    }
}

/// Reads frames of at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    inner: R,
    buffer: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(inner: R, limit: usize) -> Self {
        Self { inner, buffer: BytesMut::new(), limit }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next frame, or none if the stream ended between two. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            // The buffer grows with what has arrived, not with what a length claims will.
            self.buffer.reserve(self.missing().clamp(READ_BYTES, READ_AHEAD_BYTES));
            let read = self.inner.read_buf(&mut self.buffer).await;
            match read.map_err(|e| FrameError::Io(e.to_string()))? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(FrameError::Truncated),
                _ => {}
            }
        }
    }

    /// What is still to come of the frame that has begun.
    fn missing(&self) -> usize {
        let length =
            self.buffer.first_chunk::<LENGTH_BYTES>().map_or(0, |length| u32::from_be_bytes(*length));
        (length as usize).saturating_add(LENGTH_BYTES).saturating_sub(self.buffer.len())
    }

    /// The next frame, if all of it has been read already.
    pub(crate) fn take_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.limit {
            return Err(FrameError::TooLarge(length));
        }
        if self.buffer.len() - LENGTH_BYTES < length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Frames that leave in one write. Small ones are copied together, large ones may be passed on as they are.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    done: Vec<Bytes>,
    tail: BytesMut,
    size: usize,
}

impl Batch {
    /// Adds one frame that consists of `head` and `body`, and copies it. The caller has checked its size.
    pub(crate) fn push(&mut self, head: &[u8], body: &[u8]) {
        self.begin(head, body.len());
        self.tail.put_slice(body);
    }

    /// The same, but a long body is passed on as it is. Returns what was copied, to be dropped where that is best.
    pub(crate) fn push_own<B: AsRef<[u8]> + Into<Bytes>>(&mut self, head: &[u8], body: B) -> Option<B> {
        let length = body.as_ref().len();
        if length < ZERO_COPY_BYTES {
            self.push(head, body.as_ref());
            return Some(body);
        }
        self.begin(head, length);
        self.done.push(self.tail.split().freeze());
        self.done.push(body.into());
        None
    }

    fn begin(&mut self, head: &[u8], body: usize) {
        let length = head.len() + body;
        self.tail.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.tail.put_slice(head);
        self.size += LENGTH_BYTES + length;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.size >= WRITE_COALESCE_BYTES
    }

    /// Everything pushed so far, in order.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        if !self.tail.is_empty() {
            self.done.push(self.tail.split().freeze());
        }
        self.size = 0;
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(wire: &[u8], limit: usize) -> (Vec<Bytes>, Result<(), FrameError>) {
        let (mut reader, mut frames) = (FrameReader::new(wire, limit), Vec::new());
        loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ok(())),
                Err(e) => return (frames, Err(e)),
            }
        }
    }

    fn wire(bodies: &[Bytes]) -> Vec<u8> {
        let mut batch = Batch::default();
        bodies.iter().for_each(|body| drop(batch.push_own(b"head", body.clone())));
        batch.take().concat()
    }

    #[tokio::test]
    async fn what_a_batch_writes_a_reader_reads_whatever_the_sizes() {
        let bodies: Vec<Bytes> = [0, 1, 5, ZERO_COPY_BYTES - 1, ZERO_COPY_BYTES, 3 * READ_BYTES, 2]
            .map(|n| Bytes::from(vec![n as u8; n]))
            .to_vec();
        let (frames, end) = read_all(&wire(&bodies), 1 << 20).await;
        assert_eq!(end, Ok(()));
        let heads = frames.iter().map(|f| &f[..4]).collect::<Vec<_>>();
        assert_eq!(heads, vec![b"head"; bodies.len()]);
        assert_eq!(frames.iter().map(|f| f.slice(4..)).collect::<Vec<_>>(), bodies);
    }

    #[tokio::test]
    async fn a_cut_stream_is_truncated_and_an_oversized_length_is_refused_before_its_bytes_come() {
        let whole = wire(&[Bytes::from_static(b"abc"), Bytes::from_static(b"def")]);
        for cut in 1..whole.len() {
            let (frames, end) = read_all(&whole[..cut], 1 << 20).await;
            let clean = cut == whole.len() / 2;
            assert_eq!(end, if clean { Ok(()) } else { Err(FrameError::Truncated) }, "{cut}");
            assert_eq!(frames.len(), usize::from(cut >= whole.len() / 2));
        }
        let (_, end) = read_all(&u32::MAX.to_be_bytes(), 1 << 20).await;
        assert_eq!(end, Err(FrameError::TooLarge(u32::MAX as usize)));
        assert!(end.is_err_and(|e| e.is_malformed()));
    }
}
