//! The dialer's end of one lane: requests out, answers in, matched by number.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use hashbrown::HashMap;
use quinn::{RecvStream, SendStream};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::Instant;

use super::frame::{Batch, FrameError, FrameReader};
use super::lock;
use super::queue::{Load, Queue};
use super::request::{Answer, RequestError};
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

/// The requests of one lane that have left, or of two that share their numbers. Each keeps its slot until the answer
/// comes or the connection ends, also when its caller has given up: the other end is still busy with it.
pub(super) struct InFlight {
    pending: Mutex<Pending>,
    next: AtomicU64,
    slots: Semaphore,
}

#[derive(Default)]
struct Pending {
    callers: HashMap<u64, oneshot::Sender<Answer>>,
    /// A lane has ended, and with it all that was pending: answers that are still read are to nobody.
    is_over: bool,
}

impl Pending {
    /// False if the frame is no answer to anything that was asked.
    fn settle(&mut self, mut frame: Bytes, answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>) -> bool {
        if frame.len() <= ID_BYTES {
            return false;
        }
        let (id, status) = (frame.get_u64(), frame.get_u8());
        let Some(caller) = self.callers.remove(&id) else { return self.is_over };
        let unknown = |why: &str| Err(RequestError::Unknown(why.into()));
        let refused = |frame: &[u8]| decode_refusal(frame).map(|refusal| Err(RequestError::Refused(refusal)));
        let answer = match status {
            STATUS_OK => Some(Ok(frame)),
            STATUS_DROPPED => Some(unknown("the other end dropped the request")),
            STATUS_REPLY_LOST => Some(unknown("the reply was larger than could be sent")),
            STATUS_REFUSED => refused(&frame),
            _ => None,
        };
        let makes_sense = answer.is_some();
        answers.push((caller, answer.unwrap_or_else(|| unknown("an answer that makes no sense"))));
        makes_sense
    }
}

impl InFlight {
    pub(super) fn new() -> Self {
        let slots = Semaphore::new(MAX_REQUESTS_IN_FLIGHT);
        Self { pending: Mutex::default(), next: AtomicU64::new(0), slots }
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.pending).callers.is_empty()
    }

    /// Puts into the batch what has a slot and fits. The first slot may be there already. Whoever writes the batch does
    /// so later: an answer must find its caller.
    fn launch<'a>(&'a self, mut slot: Option<SemaphorePermit<'a>>, load: &mut Load, batch: &mut Batch) {
        let (now, mut launched) = (Instant::now(), Vec::new());
        let number = || self.next.fetch_add(1, Ordering::Relaxed);
        while !load.is_empty() && !batch.is_full() {
            let Some(taken) = slot.take().or_else(|| self.slots.try_acquire().ok()) else { break };
            match load.launch_first(now, number, batch) {
                Some(request) => {
                    taken.forget();
                    launched.push(request);
                }
                None => slot = Some(taken),
            }
        }
        lock(&self.pending).callers.extend(launched);
    }

    /// Waits for a slot. Who is woken has it: two lanes would otherwise hand one to and fro.
    async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // A closed semaphore does not happen.
        self.slots.acquire().await.ok()
    }

    /// Hands out answers that came at once. Returns whether all of them make sense; what comes after one that does not
    /// is left.
    fn settle(&self, frames: &mut Vec<Bytes>) -> bool {
        let mut answers = Vec::with_capacity(frames.len());
        let make_sense = {
            let mut pending = lock(&self.pending);
            frames.drain(..).all(|frame| pending.settle(frame, &mut answers))
        };
        self.slots.add_permits(answers.len());
        for (caller, answer) in answers {
            let _ = caller.send(answer);
        }
        make_sense
    }

    pub(super) fn fail_all(&self, why: &str) {
        let over = Pending { is_over: true, ..Pending::default() };
        let pending = std::mem::replace(&mut *lock(&self.pending), over).callers;
        self.slots.add_permits(pending.len());
        // In their order, so that a simulation goes the same way every time.
        for (_, caller) in pending.into_iter().collect::<BTreeMap<_, _>>() {
            let _ = caller.send(Err(RequestError::Unknown(why.into())));
        }
    }
}

/// Runs the lane until its connection ends. Why it did, and whether the other end broke the rules.
pub(super) async fn run(
    (send, recv): (SendStream, RecvStream),
    lane: Lane,
    queue: &Queue,
    flight: &InFlight,
) -> (String, bool) {
    tokio::select! {
        error = write_requests(send, lane, queue, flight) => (error.to_string(), false),
        ended = read_answers(recv, flight) => (ended.to_string(), ended.is_malformed()),
    }
}

/// Returns why it cannot go on.
async fn write_requests(
    mut send: SendStream,
    lane: Lane,
    queue: &Queue,
    flight: &InFlight,
) -> quinn::WriteError {
    // At once: the other end sees a stream as soon as it sees a later one, and takes a stream that names
    // no lane for a stranger's.
    if let Err(e) = send.write_all(&[lane.tag()]).await {
        return e;
    }
    let (mut load, mut batch) = (Load::default(), Batch::default());
    loop {
        queue.next(&mut load).await;
        let mut slot = None;
        while !load.is_empty() {
            flight.launch(slot.take(), &mut load, &mut batch);
            queue.still_has(&load);
            if batch.is_empty() && !load.is_empty() {
                slot = flight.slot().await;
            } else if let Err(e) = send.write_all_chunks(&mut batch.take()).await {
                return e;
            }
        }
    }
}

async fn read_answers(recv: RecvStream, flight: &InFlight) -> FrameError {
    let (mut reader, mut frames) = (FrameReader::new(recv, MAX_FRAME_BYTES), Vec::new());
    loop {
        match reader.next().await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return FrameError::Io("the other end closed the lane".into()),
            Err(e) => return e,
        }
        // All that has been read: as many as what is read at once can hold.
        let end = loop {
            match reader.take_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        if !flight.settle(&mut frames) {
            return FrameError::Malformed;
        }
        if let Some(e) = end {
            return e;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::moment;
    use crate::transport::request::{Item, Waiting};
    use std::time::Duration;

    /// Requests that have left, by their callers' holds.
    async fn sent(flight: &InFlight, many: usize) -> Vec<Waiting> {
        let queue = Queue::default();
        let made: Vec<_> =
            (0..many).map(|_| Item::new(vec![1], None, moment(Duration::from_secs(5)))).collect();
        let waiting = made.into_iter().map(|(item, waiting)| {
            assert!(queue.push(item).is_ok());
            waiting
        });
        let waiting = waiting.collect();
        let (mut load, mut batch) = (Load::default(), Batch::default());
        queue.next(&mut load).await;
        flight.launch(None, &mut load, &mut batch);
        assert!(load.is_empty() && !batch.is_empty());
        waiting
    }

    fn answer(id: u64) -> Bytes {
        [&id.to_be_bytes()[..], &[STATUS_OK, 9]].concat().into()
    }

    fn slots_taken(flight: &InFlight) -> usize {
        MAX_REQUESTS_IN_FLIGHT - flight.slots.available_permits()
    }

    #[tokio::test]
    async fn an_answer_gives_its_slot_back_and_one_to_nothing_breaks_the_rules() {
        let flight = InFlight::new();
        let mut waiting = sent(&flight, 3).await;
        assert_eq!(slots_taken(&flight), 3);
        let settle = |ids: &[u64]| flight.settle(&mut ids.iter().map(|id| answer(*id)).collect());
        assert!(settle(&[1]) && !settle(&[1]) && !settle(&[3]));
        assert_eq!(waiting.remove(1).in_time().await, Ok(Bytes::from_static(&[9])));
        assert_eq!(slots_taken(&flight), 2);
        // What came before the one to nothing counts.
        assert!(!settle(&[0, 0, 2]));
        assert_eq!(waiting.remove(0).in_time().await, Ok(Bytes::from_static(&[9])));
        assert_eq!(slots_taken(&flight), 1);
    }

    #[tokio::test]
    async fn an_answer_that_comes_after_the_other_lane_has_ended_breaks_no_rule() {
        let flight = InFlight::new();
        let waiting = sent(&flight, 2).await;
        flight.fail_all("gone");
        assert!(flight.settle(&mut vec![answer(0)]), "it was asked for");
        assert!(flight.is_empty() && slots_taken(&flight) == 0);
        for waiting in waiting {
            assert_eq!(waiting.in_time().await, Err(RequestError::Unknown("gone".into())));
        }
    }
}
