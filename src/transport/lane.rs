//! The dialer's end of one lane: requests out, answers in, matched by number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use quinn::{RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::frame::{Batch, FrameError, FrameReader};
use super::lock;
use super::request::{Answer, Item, RequestError};
use super::wire::{Lane, decode_refusal};
use crate::limits::{MAX_FRAME_BYTES, MAX_REQUESTS_IN_FLIGHT};

/// The number in front of every request and reply.
pub(super) const ID_BYTES: usize = 8;
/// How a reply begins after its number.
pub(super) const STATUS_OK: u8 = 0;
/// The handler dropped its [`super::Reply`].
pub(super) const STATUS_DROPPED: u8 = 1;
/// The handler answered with more than could be sent.
pub(super) const STATUS_REPLY_LOST: u8 = 2;
/// The handler refused the request unhandled; a [`super::Refusal`] follows.
pub(super) const STATUS_REFUSED: u8 = 3;
/// Largest body of a request or reply.
pub(super) const MAX_BODY_BYTES: usize = MAX_FRAME_BYTES - ID_BYTES - 1;

/// A sent request keeps its slot until the answer comes or the connection ends, also when its caller has given
/// up: the other end is still busy with it, and both ends count the same.
struct Pending {
    answer: oneshot::Sender<Answer>,
    _slot: OwnedSemaphorePermit,
}

/// The requests of one lane that have left.
pub(super) struct InFlight {
    pending: Mutex<(u64, BTreeMap<u64, Pending>)>,
    slots: Arc<Semaphore>,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { pending: Mutex::default(), slots: Arc::new(Semaphore::new(MAX_REQUESTS_IN_FLIGHT)) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.available_permits() == MAX_REQUESTS_IN_FLIGHT
    }

    fn launch(&self, item: Item, slot: OwnedSemaphorePermit, batch: &mut Batch) {
        let Some((body, answer)) = item.launch() else { return };
        let (next, pending) = &mut *lock(&self.pending);
        let id = *next;
        *next += 1;
        pending.insert(id, Pending { answer, _slot: slot });
        batch.push(&id.to_be_bytes(), body);
    }

    /// False if the frame is no answer to anything that was asked.
    fn settle(&self, mut frame: Bytes) -> bool {
        if frame.len() <= ID_BYTES {
            return false;
        }
        let (id, status) = (frame.get_u64(), frame.get_u8());
        let Some(pending) = lock(&self.pending).1.remove(&id) else { return false };
        let unknown = |why: &str| Err(RequestError::Unknown(why.into()));
        let answer = match status {
            STATUS_OK => Ok(frame),
            STATUS_DROPPED => unknown("the other end dropped the request"),
            STATUS_REPLY_LOST => unknown("the reply was larger than could be sent"),
            STATUS_REFUSED => match decode_refusal(&frame) {
                Some(refusal) => Err(RequestError::Refused(refusal)),
                None => return false,
            },
            _ => return false,
        };
        let _ = pending.answer.send(answer);
        true
    }

    fn fail_all(&self, why: &str) {
        let pending = std::mem::take(&mut lock(&self.pending).1);
        for pending in pending.into_values() {
            let _ = pending.answer.send(Err(RequestError::Unknown(why.into())));
        }
    }
}

/// Runs the lane until its connection ends or its queue does; then every request that is left has its answer. True if
/// the other end broke the rules.
pub(super) async fn run(
    (send, recv): (SendStream, RecvStream),
    lane: Lane,
    mut queue: mpsc::Receiver<Item>,
    flight: Arc<InFlight>,
) -> bool {
    let (why, malformed) = tokio::select! {
        written = write_requests(send, lane, &mut queue, &flight) => match written {
            Ok(()) => ("the link was closed".into(), false),
            Err(e) => (e.to_string(), false),
        },
        ended = read_answers(recv, &flight) => (ended.to_string(), ended.is_malformed()),
    };
    flight.fail_all(&why);
    queue.close();
    while let Some(item) = queue.recv().await {
        item.fail(RequestError::NotSent(why.clone()));
    }
    malformed
}

async fn write_requests(
    mut send: SendStream,
    lane: Lane,
    queue: &mut mpsc::Receiver<Item>,
    flight: &InFlight,
) -> Result<(), quinn::WriteError> {
    // At once: the other end sees a stream as soon as it sees a later one, and takes a stream that names
    // no lane for a stranger's.
    send.write_all(&[lane.tag()]).await?;
    let mut batch = Batch::default();
    while let Some(item) = queue.recv().await {
        // A closed semaphore does not happen; without a slot the item is dropped, that is, not sent.
        let Ok(slot) = flight.slots.clone().acquire_owned().await else { continue };
        flight.launch(item, slot, &mut batch);
        while !batch.is_full() {
            let Ok(slot) = flight.slots.clone().try_acquire_owned() else { break };
            let Ok(item) = queue.try_recv() else { break };
            flight.launch(item, slot, &mut batch);
        }
        send.write_all_chunks(&mut batch.take()).await?;
    }
    Ok(())
}

async fn read_answers(recv: RecvStream, flight: &InFlight) -> FrameError {
    let mut reader = FrameReader::new(recv, MAX_FRAME_BYTES);
    loop {
        match reader.next().await {
            Ok(Some(frame)) if flight.settle(frame.clone()) => {}
            Ok(Some(_)) => return FrameError::Malformed,
            Ok(None) => return FrameError::Io("the other end closed the lane".into()),
            Err(e) => return e,
        }
    }
}
