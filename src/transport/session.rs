//! One connection that this peer dialed, and its lanes, from the accepted hello to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::counters::bump;
use super::endpoint::Shared;
use super::lane::{self, InFlight};
use super::link::Link;
use super::request::{Item, RequestError};
use super::stream::Hold;
use super::wire::{CLOSE_DONE, Hello, Lane, Refusal};
use crate::id::Incarnation;
use crate::limits::{LINK_IDLE, MAX_QUEUED_FRAMES, STALE_REDIAL};

/// A connection to a peer that welcomed this one.
pub(super) struct Session {
    pub(super) connection: quinn::Connection,
    pub(super) remote: Hello,
    lanes: [LaneEnd; 3],
    streams: Hold,
    touched: AtomicBool,
    born: Instant,
}

struct LaneEnd {
    queue: mpsc::Sender<Item>,
    flight: Arc<InFlight>,
}

/// The far ends of a new session's lanes.
pub(super) struct LaneQueues([mpsc::Receiver<Item>; 3]);

/// Whether a session leads to the life that is expected there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    /// It leads to an older life, or to one that had no incarnation yet; asking again may tell more.
    AskAgain,
    /// The same, and it was asked only just now.
    No,
}

impl Session {
    pub(super) fn new(connection: quinn::Connection, remote: Hello) -> (Arc<Self>, LaneQueues) {
        let lane = |flight: &Arc<InFlight>| {
            let (queue, receiver) = mpsc::channel(MAX_QUEUED_FRAMES);
            (LaneEnd { queue, flight: flight.clone() }, receiver)
        };
        // A long reply to a short call comes on the other lane: the two share their numbers.
        let (urgent, calls) = (Arc::new(InFlight::new()), Arc::new(InFlight::new()));
        let (control, control_queue) = lane(&urgent);
        let ((call, call_queue), (heavy, heavy_queue)) = (lane(&calls), lane(&calls));
        let session = Self {
            connection,
            remote,
            lanes: [control, call, heavy],
            streams: Hold::default(),
            touched: AtomicBool::new(true),
            born: Instant::now(),
        };
        (Arc::new(session), LaneQueues([control_queue, call_queue, heavy_queue]))
    }

    pub(super) fn fit(&self, expected: Option<Incarnation>) -> Fit {
        match (expected, self.remote.incarnation) {
            (None, _) => Fit::Yes,
            (Some(expected), Some(found)) if found >= expected => Fit::Yes,
            _ if self.born.elapsed() < STALE_REDIAL => Fit::No,
            _ => Fit::AskAgain,
        }
    }

    fn lane(&self, lane: Lane) -> &LaneEnd {
        let [control, call, heavy] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Call => call,
            Lane::Heavy => heavy,
        }
    }

    /// Queues the request; gives it back if this session has ended.
    pub(super) fn queue(&self, lane: Lane, item: Item) -> Option<Item> {
        self.touched.store(true, Ordering::Relaxed);
        match self.lane(lane).queue.try_send(item) {
            Ok(()) => None,
            Err(TrySendError::Closed(item)) => Some(item),
            Err(TrySendError::Full(item)) => {
                item.fail(RequestError::NotSent("too many requests are waiting for this peer".into()));
                None
            }
        }
    }

    /// Marks the session as in use by a stream, until the hold is dropped.
    pub(super) fn hold(&self) -> Hold {
        self.touched.store(true, Ordering::Relaxed);
        self.streams.clone()
    }

    /// Whether nothing is under way.
    pub(super) fn is_unused(&self) -> bool {
        let quiet = |end: &LaneEnd| end.flight.is_empty() && end.queue.capacity() == MAX_QUEUED_FRAMES;
        self.streams.is_alone() && self.lanes.iter().all(quiet)
    }

    /// Whether nothing is under way, and nothing was asked since this question was put the last time.
    pub(super) fn is_idle(&self) -> bool {
        !self.touched.swap(false, Ordering::Relaxed) && self.is_unused()
    }

    /// How many datagrams came from the other end.
    fn heard(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    pub(super) fn close(&self) {
        self.connection.close(CLOSE_DONE.into(), b"");
    }
}

/// Starts the tasks of a new session.
pub(super) fn start(shared: &Arc<Shared>, link: &Arc<Link>, session: &Arc<Session>, queues: LaneQueues) {
    for (lane, queue) in Lane::ALL.into_iter().zip(queues.0) {
        let (shared, session) = (shared.clone(), session.clone());
        shared.runtime.clone().spawn(run_lane(shared, session, lane, queue));
    }
    shared.runtime.spawn(watch(shared.clone(), link.clone(), session.clone()));
}

async fn run_lane(shared: Arc<Shared>, session: Arc<Session>, lane: Lane, mut queue: mpsc::Receiver<Item>) {
    let stream = match session.connection.open_bi().await {
        Ok(stream) => stream,
        Err(e) => {
            queue.close();
            while let Some(item) = queue.recv().await {
                item.fail(RequestError::NotSent(e.to_string()));
            }
            return;
        }
    };
    let _ = stream.0.set_priority(lane.priority());
    let flight = session.lane(lane).flight.clone();
    if lane::run(stream, lane, queue, flight).await {
        bump(&shared.counters.bad_frames);
        shared.complain_of(&session.connection, "an answer that makes no sense");
        shared.refuse(&session.connection, &Refusal::Malformed);
    }
    // A lane that ended alone would leave its requests to their deadlines.
    session.close();
}

/// Ticks first after one period, and never twice at once.
fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Closes the connection when it is idle or its other end is silent, and makes the link forget it when it ends.
///
/// QUIC's own idle timer may not end for minutes: a process that was frozen takes the freeze for a round trip, and
/// the timer allows for three. The dialer asks for signs of life, so no news is bad news.
async fn watch(shared: Arc<Shared>, link: Arc<Link>, session: Arc<Session>) {
    let (mut idle, mut silent) = (every(LINK_IDLE), every(shared.idle_timeout));
    let mut heard = session.heard();
    loop {
        tokio::select! {
            ended = session.connection.closed() => {
                link.forget(&session);
                if let Some(refusal) = super::dial::refusal_in(&ended) {
                    shared.handler.on_refused(session.connection.remote_address(), &refusal);
                }
                return;
            }
            _ = idle.tick() => link.close_if_idle(&session),
            _ = silent.tick() => {
                let before = std::mem::replace(&mut heard, session.heard());
                if heard == before {
                    session.close();
                }
            }
        }
    }
}
