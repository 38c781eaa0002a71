//! An accepted connection at work: its lanes and bulk streams, each up to the handler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Buf;
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use super::counters::bump;
use super::endpoint::Shared;
use super::frame::{FrameError, FrameReader};
use super::outlet::Outlet;
use super::request::Remote;
use super::stream::{FramedStream, Hold};
use super::wire::{Lane, Refusal, TAG_BULK};
use crate::limits::{HANDSHAKE_DEADLINE, MAX_FRAME_BYTES, MAX_STREAM_HEADER_BYTES};

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
        bump(&shared.counters.streams);
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
#[derive(Default)]
pub(super) struct Lanes {
    taken: [AtomicBool; 3],
    /// Where long replies wait, once that lane is open.
    pub(super) heavy: OnceLock<Arc<Outlet>>,
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
    let with_others = (lane == Lane::Call).then(|| lanes.clone());
    let outlet = Outlet::new(with_others, shared.counters.clone());
    if lane == Lane::Heavy {
        let _ = lanes.heavy.set(outlet.clone());
    }
    let _closed_at_the_end = outlet.closing();
    let mut reader = FrameReader::new(recv, MAX_FRAME_BYTES);
    let read = async {
        while let Some(mut frame) = reader.next().await? {
            let id = frame.try_get_u64().map_err(|_| FrameError::Malformed)?;
            let Some(reply) = outlet.admit(id).await else { break };
            shared.handler.on_request(remote, lane, frame, reply);
        }
        Ok(())
    };
    tokio::select! {
        read = read => read,
        error = outlet.write_to(send) => Err(FrameError::Io(error.to_string())),
    }
}
