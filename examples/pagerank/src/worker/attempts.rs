//! Who leads a job of segments: begins it, and has all go back where one has failed.

use std::time::Duration;

use futures_util::future::try_join_all;
use standin::CallError;
use standin::actor::ActorRef;
use tokio::time::Instant;

use super::Worker;
use super::segments::{GoBack, Start, Where, segment_ref};
use crate::job::{Attempt, Segment, common_cut, next_attempt};
use crate::wire::Report;

/// Between two looks at how far the segments are.
const PAUSE: Duration = Duration::from_millis(20);
/// A job that gets no further for so long has lost a message: all go back. A superstep must not take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until all segments are further than they were. The first time, this begins the job.
pub async fn advance(worker: &Worker, partitions: usize, beyond: Option<u64>) -> Result<Report, CallError> {
    let all = (0..partitions).map(segment_ref).collect::<Result<Vec<_>, _>>()?;
    let (mut furthest, mut since) = (0, Instant::now());
    loop {
        let standings = try_join_all(all.iter().map(|segment| worker.peer.ask(segment, Where))).await?;
        let attempt = standings.iter().map(|standing| standing.attempt).max().unwrap_or_default();
        let iteration = standings.iter().map(|standing| standing.iteration).min().unwrap_or(0);
        if iteration > furthest {
            (furthest, since) = (iteration, Instant::now());
        }
        let are_together = standings.iter().all(|s| s.attempt == attempt && s.has_started);
        if !are_together || since.elapsed() > PATIENCE {
            go_back(worker, &all, next_attempt(&standings), common_cut(&standings)).await?;
            (furthest, since) = (0, Instant::now());
        } else if beyond.is_none_or(|beyond| iteration > beyond) {
            return Ok(Report::Reached { iteration });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Nobody starts before all are back: what one that is not would be sent, it would not take.
async fn go_back(
    worker: &Worker,
    all: &[ActorRef<Segment>],
    attempt: Attempt,
    to: u64,
) -> Result<(), CallError> {
    let back = all.iter().map(|segment| worker.peer.ask(segment, GoBack { attempt, to }));
    if try_join_all(back).await?.into_iter().all(|is_back| is_back) {
        try_join_all(all.iter().map(|segment| worker.peer.ask(segment, Start { attempt }))).await?;
    }
    Ok(())
}
