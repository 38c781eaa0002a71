//! An accepted connection at work: its lanes and bulk streams, each up to the handler.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::counters::{Counters, bump};
use super::endpoint::Shared;
use super::frame::{Batch, FrameError, FrameReader};
use super::lane::{ID_BYTES, MAX_BODY_BYTES, STATUS_DROPPED, STATUS_OK, STATUS_REFUSED, STATUS_REPLY_LOST};
use super::request::{Charge, Remote};
use super::stream::{FramedStream, Hold};
use super::wire::{Lane, Refusal, TAG_BULK, encode_refusal};
use crate::limits::{HANDSHAKE_DEADLINE, MAX_FRAME_BYTES, MAX_REQUESTS_IN_FLIGHT, MAX_STREAM_HEADER_BYTES};

/// Serves the connection's streams until it ends.
pub(super) async fn run(shared: &Arc<Shared>, connection: &Connection, remote: &Arc<Remote>) {
    let lanes = Arc::new(Lanes::default());
    while let Ok(stream) = connection.accept_bi().await {
        let (shared, connection) = (shared.clone(), connection.clone());
        let (remote, lanes) = (remote.clone(), lanes.clone());
        shared.runtime.clone().spawn(async move {
            // A lane that ends for another reason, a panic in the handler included, ends its stream too, and the dialer
            // closes the connection then.
            if let Err(e) = serve_stream(&shared, &remote, &lanes, stream).await
                && e.is_malformed()
            {
                bump(&shared.counters.bad_frames);
                shared.complain_of(&connection, &e.to_string());
                shared.refuse(&connection, &Refusal::Malformed);
            }
        });
    }
}

async fn serve_stream(
    shared: &Shared,
    remote: &Arc<Remote>,
    lanes: &Arc<Lanes>,
    (send, mut recv): (SendStream, RecvStream),
) -> Result<(), FrameError> {
    let gone = |e: &dyn std::fmt::Display| FrameError::Io(e.to_string());
    let mut tag = [0; 1];
    let read = timeout(HANDSHAKE_DEADLINE, recv.read_exact(&mut tag)).await;
    read.map_err(|e| gone(&e))?.map_err(|e| gone(&e))?;
    let [tag] = tag;
    if tag == TAG_BULK {
        let mut reader = FrameReader::new(recv, MAX_STREAM_HEADER_BYTES);
        let header = timeout(HANDSHAKE_DEADLINE, reader.next()).await.map_err(|e| gone(&e))??;
        let header = header.ok_or(FrameError::Truncated)?;
        shared.handler.on_stream(remote, header, FramedStream::new(send, reader, Hold::default()));
        return Ok(());
    }
    let lane = Lane::of_tag(tag).ok_or(FrameError::Malformed)?;
    if lanes.taken(lane).swap(true, Ordering::Relaxed) {
        return Err(FrameError::Malformed);
    }
    let _ = send.set_priority(lane.priority());
    serve_lane(shared, remote, lane, lanes, (send, recv)).await
}

/// The lanes that one connection has opened.
#[derive(Debug, Default)]
struct Lanes {
    taken: [AtomicBool; 3],
    /// Where long replies wait, once that lane is open.
    heavy: OnceLock<mpsc::Sender<Answered>>,
}

impl Lanes {
    fn taken(&self, lane: Lane) -> &AtomicBool {
        let [control, call, heavy] = &self.taken;
        match lane {
            Lane::Control => control,
            Lane::Call => call,
            Lane::Heavy => heavy,
        }
    }
}

async fn serve_lane(
    shared: &Shared,
    remote: &Arc<Remote>,
    lane: Lane,
    lanes: &Arc<Lanes>,
    (send, recv): (SendStream, RecvStream),
) -> Result<(), FrameError> {
    // Long replies of two lanes may wait for one.
    let (replies, queue) = mpsc::channel(2 * MAX_REQUESTS_IN_FLIGHT);
    if lane == Lane::Heavy {
        let _ = lanes.heavy.set(replies.clone());
    }
    let lanes = (lane == Lane::Call).then(|| lanes.clone());
    let slots = Arc::new(Semaphore::new(MAX_REQUESTS_IN_FLIGHT));
    let outlet = Outlet { replies, lanes, bytes: Arc::default(), counters: shared.counters.clone() };
    let mut reader = FrameReader::new(recv, MAX_FRAME_BYTES);
    let read = async {
        while let Some(mut frame) = reader.next().await? {
            let id = frame.try_get_u64().map_err(|_| FrameError::Malformed)?;
            // A dialer has at most as many requests in flight as there are slots; another one waits here.
            let Ok(slot) = slots.clone().acquire_owned().await else { break };
            let reply = Reply { id, slot: Some(slot), outlet: outlet.clone() };
            shared.handler.on_request(remote, lane, frame, reply);
        }
        Ok(())
    };
    tokio::select! {
        read = read => read,
        written = write_replies(send, queue) => written.map_err(|e| FrameError::Io(e.to_string())),
    }
}

/// What waits for the writer. It keeps its slot until it is written, so the queue can never be full.
struct Answered {
    head: [u8; ID_BYTES + 1],
    body: Bytes,
    _slot: OwnedSemaphorePermit,
    _charge: Option<Charge>,
}

async fn write_replies(
    mut send: SendStream,
    mut queue: mpsc::Receiver<Answered>,
) -> Result<(), quinn::WriteError> {
    let mut batch = Batch::default();
    while let Some(first) = queue.recv().await {
        let mut written = vec![first];
        while let Some(answered) = written.last() {
            batch.push(&answered.head, answered.body.clone());
            let next = if batch.is_full() { None } else { queue.try_recv().ok() };
            match next {
                Some(next) => written.push(next),
                None => break,
            }
        }
        send.write_all_chunks(&mut batch.take()).await?;
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Outlet {
    replies: mpsc::Sender<Answered>,
    /// Those of a lane whose long replies take another one.
    lanes: Option<Arc<Lanes>>,
    bytes: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answered").field("bytes", &self.body.len()).finish()
    }
}

/// The right to answer one request, once. Dropped unused, it tells the caller that the outcome is unknown.
#[derive(Debug)]
pub struct Reply {
    id: u64,
    slot: Option<OwnedSemaphorePermit>,
    outlet: Outlet,
}

impl Reply {
    /// Answers. Never waits; if the connection is gone nobody hears it. A body that is larger than a
    /// frame may be, or that finds too many bytes waiting, is replaced by an error that leaves the
    /// caller with an unknown outcome.
    pub fn send(mut self, body: Vec<u8>) {
        let charge = Charge::take(&self.outlet.bytes, body.len());
        if charge.is_none() || body.len() > MAX_BODY_BYTES {
            bump(&self.outlet.counters.replies_lost);
            return self.put(STATUS_REPLY_LOST, Bytes::new(), None);
        }
        self.put(STATUS_OK, body.into(), charge);
    }

    /// Says that the request was not handled, and why.
    pub fn refuse(mut self, refusal: &Refusal) {
        self.put(STATUS_REFUSED, encode_refusal(refusal).into(), None);
    }

    fn put(&mut self, status: u8, body: Bytes, charge: Option<Charge>) {
        let Some(slot) = self.slot.take() else { return };
        let mut head = [status; ID_BYTES + 1];
        if let Some(id) = head.first_chunk_mut::<ID_BYTES>() {
            *id = self.id.to_be_bytes();
        }
        let is_heavy = Lane::of_message(body.len()) == Lane::Heavy;
        let heavy = self.outlet.lanes.as_ref().filter(|_| is_heavy).and_then(|lanes| lanes.heavy.get());
        let answered = Answered { head, body, _slot: slot, _charge: charge };
        // It fails only when the connection is gone: then its caller knows already.
        let _ = heavy.unwrap_or(&self.outlet.replies).try_send(answered);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.put(STATUS_DROPPED, Bytes::new(), None);
    }
}
