//! An actor's checkpoints: when one is due, what it holds, and what leaves once it is durable.

use std::sync::Arc;
use tokio::sync::oneshot;

use super::{End, Running};
use crate::actor::api::{Actor, Snapshot};
use crate::actor::codec::{encode_snapshot, encode_state, snapshot_of};
use crate::actor::policy::Outbox;
use crate::actor::saver::{NewCheckpoint, SaveError, Saver};
use crate::clock::Mono;
use crate::error::{CallError, Reason};
use crate::limits::{DEFAULT_CHECKPOINT_INTERVAL, EAGER_CHECKPOINT_DELAY};
use crate::task::{self, apart};

/// What a checkpoint is to hold.
enum State {
    Written(Vec<u8>),
    Kept(Snapshot),
}

/// Writes a snapshot on a thread where that may take long, and saves it then. If its activation has ended meanwhile,
/// the log refuses it.
fn save_later(
    saver: Arc<dyn Saver>,
    snapshot: Snapshot,
    checkpoint: NewCheckpoint,
) -> oneshot::Receiver<Result<(), SaveError>> {
    let (done, wait) = oneshot::channel();
    task::spawn(async move {
        let written = apart(|| encode_snapshot(snapshot)).await;
        let result = match written {
            Ok(Ok(bytes)) => {
                let saved = saver.save(NewCheckpoint { bytes, ..checkpoint }).await;
                saved.unwrap_or_else(|_| Err(unanswered()))
            }
            Ok(Err(error)) => Err(SaveError::Codec(error.to_string())),
            Err(error) => Err(SaveError::Failed(error.to_string())),
        };
        drop(done.send(result));
    });
    wait
}

impl<A: Actor> Running<A> {
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.ledger.due_at();
        due.is_some_and(|at| at == Mono(0) || at <= self.now())
    }

    /// The last message came, or sent others, reliably: a checkpoint is to hold that soon.
    pub(super) fn note_reliable(&mut self) {
        self.ledger.note_reliable();
        let by = self.soon();
        self.ledger.want_by(by);
    }

    /// The last message sent others reliably. What left at once needs no checkpoint to arrive: after a failure it is
    /// sent again.
    pub(super) fn note_sent(&mut self) {
        match self.ctx.mail().mode() {
            Outbox::Held => self.note_reliable(),
            Outbox::Eager => {
                self.ledger.note_reliable();
                self.ledger.want_by(self.life.gate.now() + DEFAULT_CHECKPOINT_INTERVAL);
            }
        }
    }

    pub(super) fn soon(&mut self) -> Mono {
        match self.ctx.mail().mode() {
            Outbox::Held => Mono(0),
            Outbox::Eager => self.life.gate.now() + EAGER_CHECKPOINT_DELAY,
        }
    }

    /// Takes a checkpoint. Whoever waits for one that cannot be encoded is told; whether it was.
    pub(super) async fn take(&mut self, is_urgent: bool) -> Result<bool, End> {
        // Without a lease nothing is written, so nothing is serialized either.
        self.life.clear().await?;
        self.now = None;
        let snapshot = snapshot_of(&self.actor);
        let taken = snapshot.and_then(|snapshot| {
            let state = match snapshot {
                Some(snapshot) => State::Kept(snapshot),
                None => State::Written(encode_state(&self.actor)?),
            };
            Ok((state, self.ctx.save()?))
        });
        let (state, sessions) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.cannot_encode(&error.to_string());
                return Ok(false);
            }
        };
        self.life.clear().await?;
        let checkpoint = NewCheckpoint {
            actor: self.life.id.clone(),
            epoch: self.life.epoch,
            seq: self.ledger.take(),
            kind_version: A::VERSION,
            bytes: vec![],
            sessions,
            copies: self.life.policy.copies,
            is_urgent,
        };
        self.saving = Some(match state {
            State::Written(bytes) => self.saver.save(NewCheckpoint { bytes, ..checkpoint }),
            State::Kept(snapshot) => save_later(self.saver.clone(), snapshot, checkpoint),
        });
        Ok(true)
    }

    fn cannot_encode(&mut self, error: &str) {
        tracing::warn!(actor = %self.life.id, %error, "the state cannot be encoded");
        self.ledger.failed(self.life.gate.now());
        self.ledger.fail_waiting(&CallError::executed(Reason::Codec(format!("checkpoint: {error}"))));
    }

    pub(super) async fn saved(&mut self, result: Result<(), SaveError>) -> Result<(), End> {
        match result {
            Ok(()) => {
                self.ledger.saved();
                self.life.restarts().progressed();
                self.ctx.mail().stir();
            }
            Err(SaveError::Fenced) => return Err(End::Superseded),
            Err(SaveError::Codec(error)) => self.cannot_encode(&error),
            Err(SaveError::Failed(error)) => {
                tracing::warn!(actor = %self.life.id, %error, "a checkpoint failed; another follows");
                self.ledger.failed(self.life.gate.now());
            }
        }
        self.release().await
    }

    /// Lets out what a durable checkpoint holds.
    pub(super) async fn release(&mut self) -> Result<(), End> {
        while let Some(reply) = self.ledger.pop_durable() {
            self.life.clear().await?;
            reply.release();
        }
        Ok(())
    }

    /// Saves until all is durable. It tries for as long as the host lets it: give the wait for it a
    /// deadline, and stop the activation then.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        loop {
            if let Some(saving) = self.saving.take() {
                let result = saving.await.unwrap_or_else(|_| Err(unanswered()));
                self.saved(result).await?;
            }
            if !self.ledger.is_dirty() {
                return Ok(());
            }
            if let Some(at) = self.ledger.retry_at() {
                tokio::time::sleep(at.since(self.life.gate.now())).await;
            }
            if !self.take(true).await? {
                return Ok(());
            }
        }
    }
}

pub(super) fn unanswered() -> SaveError {
    SaveError::Failed("no answer".to_owned())
}
