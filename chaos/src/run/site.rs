//! A client's way to a peer's process.

use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

use super::process::{NoAnswer, Process};
use super::words::{Answer, Want};
use crate::work::{End, Request, Site};

/// How much later than its deadline a call may end, on a machine with much to do.
const GRACE: Duration = Duration::from_secs(20);

impl Site for Process {
    async fn ask(&self, request: Request) -> End {
        let late = request.deadline() + GRACE;
        let mut answer = pin!(Process::ask(self, Want::Request(request)));
        let end = loop {
            match timeout(late, &mut answer).await {
                Ok(Ok(Answer::End(end))) => break end,
                Ok(Err(NoAnswer::NotSent)) => break End::Not,
                Ok(_) => break End::Unknown,
                // The time that it is frozen does not count.
                Err(_) if self.was_frozen_within(late) => {}
                Err(_) => {
                    let what = format!("{:?} has not ended {request:?}", self.name());
                    self.recorder().violated("calls_end_at_their_deadline", what);
                    break End::Unknown;
                }
            }
        };
        self.recorder().call_ended(end);
        end
    }
}
