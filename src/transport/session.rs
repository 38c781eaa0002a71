//! One connection that this peer dialed, and its lanes, from the accepted hello to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::counters::bump;
use super::endpoint::Shared;
use super::lane::{self, InFlight};
use super::link::Link;
use super::queue::{NoRoom, Queue};
use super::request::{Item, RequestError};
use super::stream::Hold;
use super::wire::{CLOSE_DONE, Hello, Lane, Refusal};
use crate::id::Incarnation;
use crate::limits::{LINK_IDLE, STALE_REDIAL};

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
    queue: Queue,
    flight: Arc<InFlight>,
}

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
    pub(super) fn new(connection: quinn::Connection, remote: Hello) -> Arc<Self> {
        let lane = |flight: &Arc<InFlight>| LaneEnd { queue: Queue::default(), flight: flight.clone() };
        // A long reply to a short call comes on the other lane: the two share their numbers.
        let (urgent, calls) = (Arc::new(InFlight::new()), Arc::new(InFlight::new()));
        Arc::new(Self {
            connection,
            remote,
            lanes: [lane(&urgent), lane(&calls), lane(&calls)],
            streams: Hold::default(),
            touched: AtomicBool::new(true),
            born: Instant::now(),
        })
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
        match self.lane(lane).queue.push(item) {
            Ok(()) => None,
            Err(NoRoom::Closed(item)) => Some(item),
            Err(NoRoom::Full(item)) => {
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
        // In this order: a request leaves the queue once it is in flight.
        let quiet = |end: &LaneEnd| end.queue.is_empty() && end.flight.is_empty();
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
pub(super) fn start(shared: &Arc<Shared>, link: &Arc<Link>, session: &Arc<Session>) {
    for lane in Lane::ALL {
        let ending = Ending { session: session.clone(), lane, why: "the connection is gone".into() };
        shared.runtime.spawn(run_lane(shared.clone(), ending));
    }
    shared.runtime.spawn(watch(shared.clone(), link.clone(), session.clone()));
}

/// Ends a lane's requests and its session when dropped, a panic or the end of the runtime included: what ended alone
/// would leave its requests to their deadlines.
struct Ending {
    session: Arc<Session>,
    lane: Lane,
    why: String,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let LaneEnd { queue, flight } = self.session.lane(self.lane);
        flight.fail_all(&self.why);
        queue.close(&self.why);
        self.session.close();
    }
}

async fn run_lane(shared: Arc<Shared>, mut ending: Ending) {
    let (session, lane) = (ending.session.clone(), ending.lane);
    let LaneEnd { queue, flight } = session.lane(lane);
    let stream = match session.connection.open_bi().await {
        Ok(stream) => stream,
        Err(e) => {
            ending.why = e.to_string();
            return;
        }
    };
    let _ = stream.0.set_priority(lane.priority());
    let (why, is_malformed) = lane::run(stream, lane, queue, flight).await;
    ending.why = why;
    if is_malformed {
        bump(&shared.counters.bad_frames);
        shared.complain_of(&session.connection, "an answer that makes no sense");
        shared.refuse(&session.connection, &Refusal::Malformed);
    }
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
