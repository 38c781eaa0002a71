//! Gets a command into the log, wherever the leader is.
//!
//! Every command that comes this way may be proposed twice: an epoch, a life or a nonce in it makes
//! the second one change nothing. So an unknown outcome is tried again until the deadline.

use std::time::Duration;
use tokio::time::Instant;

use super::shared::Shared;
use crate::clock::moment;
use crate::core::command::{Command, Response};
use crate::core::proposal::Proposal;
use crate::raft::ProposeError;
use crate::transport::RequestError;
use crate::wire::{Answer, Request};

/// A command that was not seen to be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecided {
    /// It is in no log. Trying again is safe.
    #[error("not done: {0}")]
    NotDone(String),
    /// It may be applied yet, or not.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

enum Attempt {
    Done(Response),
    NotDone(String),
    Unknown(String),
    Final(String),
}

impl Shared {
    /// Proposes until the command is applied or the deadline passes.
    pub(crate) async fn propose(&self, command: Command, deadline: Duration) -> Result<Response, Undecided> {
        let command = Proposal::from(command);
        let end = moment(deadline);
        let mut maybe_done = false;
        loop {
            let why = match tokio::time::timeout_at(end, self.propose_once(&command, end)).await {
                Ok(Attempt::Done(response)) => return Ok(response),
                Ok(Attempt::NotDone(why)) => why,
                Ok(Attempt::Unknown(why)) => {
                    maybe_done = true;
                    why
                }
                Ok(Attempt::Final(why)) if maybe_done => return Err(Undecided::Unknown(why)),
                Ok(Attempt::Final(why)) => return Err(Undecided::NotDone(why)),
                Err(_) => {
                    maybe_done = true;
                    "the deadline passed".into()
                }
            };
            let again = Instant::now() + self.timing.heartbeat / 4;
            if again >= end || self.is_stopped() {
                return Err(if maybe_done { Undecided::Unknown(why) } else { Undecided::NotDone(why) });
            }
            tokio::time::sleep_until(again).await;
        }
    }

    async fn propose_once(&self, command: &Proposal, end: Instant) -> Attempt {
        let Some(consensus) = self.consensus() else { return Attempt::NotDone("not a member yet".into()) };
        let view = consensus.view();
        if view.leads() {
            return match consensus.propose(command.clone()).await {
                Ok((_, response)) => Attempt::Done(response),
                Err(ProposeError::NotLeader) => Attempt::NotDone("leadership was lost".into()),
                Err(e @ ProposeError::TooLong) => Attempt::Final(e.to_string()),
                Err(e @ ProposeError::Unknown) => Attempt::Unknown(e.to_string()),
                Err(e @ ProposeError::Stopped(_)) => Attempt::Unknown(e.to_string()),
            };
        }
        let Some(leader) = view.leader else { return Attempt::NotDone("no leader is known".into()) };
        // A leader that hangs must not eat the whole deadline.
        let left = end.saturating_duration_since(Instant::now()).min(self.timing.lease * 2);
        match self.ask_disk(leader, Request::Propose(command.clone()), left).await {
            Ok(Answer::Proposed(response)) => Attempt::Done(response),
            Ok(Answer::NotLeader) => Attempt::NotDone("the leader has changed".into()),
            Ok(Answer::Refused(why)) => Attempt::Final(why),
            Ok(_) => Attempt::Unknown("the leader changed meanwhile".into()),
            Err(e @ RequestError::Unknown(_)) | Err(e @ RequestError::Deadline { sent: true }) => {
                Attempt::Unknown(e.to_string())
            }
            Err(e) => Attempt::NotDone(e.to_string()),
        }
    }
}
