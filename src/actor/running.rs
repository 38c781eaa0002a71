//! The loop of one activation: messages one at a time, and a checkpoint between two when it is due.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::api::Actor;
use super::codec::encode_state;
use super::context::Context;
use super::gate::{Gated, Retired};
use super::ledger::Ledger;
use super::life::{Life, Turn};
use super::mailbox::{After, BoxEnvelope, Mailbox};
use super::saver::{NewCheckpoint, SaveError, Saver};
use crate::clock::Mono;
use crate::error::{CallError, Reason};

/// Told the number of the newest durable checkpoint once the activation has ended.
pub(super) type Finished = oneshot::Sender<u64>;

/// Why an activation ended by itself.
pub(super) enum End {
    Panicked(String),
    Stopped,
    Finished(Finished, u64),
    /// A newer epoch exists, or the host let go of it.
    Superseded,
    Retired,
}

impl From<Retired> for End {
    fn from(Retired: Retired) -> Self {
        End::Retired
    }
}

enum Next<A: Actor> {
    Letter(BoxEnvelope<A>),
    Saved(Result<(), SaveError>),
    Finish(Finished),
    Tick,
    Gone,
}

pub(super) struct Running<A: Actor> {
    actor: A,
    ctx: Context<A>,
    life: Arc<Life>,
    inbox: mpsc::Receiver<BoxEnvelope<A>>,
    finish: Option<oneshot::Receiver<Finished>>,
    saver: Arc<dyn Saver>,
    saving: Option<oneshot::Receiver<Result<(), SaveError>>>,
    ledger: Ledger,
    timer: Option<(Mono, Pin<Box<Sleep>>)>,
}

impl<A: Actor> Running<A> {
    pub(super) fn new(
        (actor, ctx, seq): (A, Context<A>, u64),
        life: Arc<Life>,
        inbox: mpsc::Receiver<BoxEnvelope<A>>,
        finish: oneshot::Receiver<Finished>,
        saver: Arc<dyn Saver>,
    ) -> Self {
        let ledger = Ledger::new(life.policy.checkpoint, seq);
        let finish = Some(finish);
        Self { actor, ctx, life, inbox, finish, saver, saving: None, ledger, timer: None }
    }

    pub(super) async fn run(&mut self) -> End {
        let Err(end) = self.turns().await;
        end
    }

    /// Drops the state, and returns the mailbox.
    pub(super) fn into_inbox(mut self, waiting: &CallError) -> mpsc::Receiver<BoxEnvelope<A>> {
        self.ledger.fail_waiting(waiting);
        self.inbox
    }

    async fn turns(&mut self) -> Result<Infallible, End> {
        loop {
            if self.is_due() {
                self.take().await?;
            }
            match poll_fn(|task| self.poll_next(task)).await {
                Next::Letter(letter) => self.open(letter).await?,
                Next::Saved(result) => self.saved(result).await?,
                Next::Tick => self.timer = None,
                Next::Gone => return Err(End::Superseded),
                Next::Finish(finished) => {
                    self.flush().await?;
                    return Err(End::Finished(finished, self.ledger.durable_seq()));
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let due = self.ledger.due_at();
        due.is_some_and(|at| at == Mono(0) || at <= self.life.gate.now())
    }

    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next<A>> {
        // An error means that the host let go of this activation, and that it is being aborted.
        if let Some(Ok(finished)) = poll_once(&mut self.finish, task) {
            return Poll::Ready(Next::Finish(finished));
        }
        if let Some(result) = poll_once(&mut self.saving, task) {
            return Poll::Ready(Next::Saved(result.unwrap_or_else(|_| Err(unanswered()))));
        }
        if self.poll_timer(task).is_ready() {
            return Poll::Ready(Next::Tick);
        }
        // Replies that wait are bounded like the mailbox: past that, messages wait there.
        if self.ledger.waiting() >= Mailbox::<A>::capacity() {
            return Poll::Pending;
        }
        self.inbox.poll_recv(task).map(|letter| letter.map_or(Next::Gone, Next::Letter))
    }

    fn poll_timer(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let Some(at) = self.ledger.due_at() else { return Poll::Pending };
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            let wait = at.since(self.life.gate.now());
            self.timer = Some((at, Box::pin(tokio::time::sleep(wait))));
        }
        match &mut self.timer {
            Some((_, timer)) => timer.as_mut().poll(task),
            None => Poll::Pending,
        }
    }

    async fn open(&mut self, letter: BoxEnvelope<A>) -> Result<(), End> {
        let turn = Turn::new(&self.life, letter.open(&mut self.actor, &mut self.ctx));
        let after = Gated::new(&self.life.gate, turn).await?;
        let (checkpoint, stop) = self.ctx.take_requests();
        self.ledger.handled(|| self.life.gate.now());
        match after {
            After::Done => {}
            After::Withheld(reply) => self.ledger.withhold(reply),
            After::Panicked(text) => return Err(End::Panicked(text)),
            After::Retired => return Err(End::Retired),
        }
        if checkpoint {
            self.ledger.want();
        }
        if !stop {
            return Ok(());
        }
        if self.ledger.waiting() > 0 {
            self.flush().await?;
        }
        Err(End::Stopped)
    }

    /// Takes a checkpoint. Whoever waits for one that cannot be encoded is told; whether it was.
    async fn take(&mut self) -> Result<bool, End> {
        // Without a lease nothing is written, so nothing is serialized either.
        self.life.clear().await?;
        let bytes = match encode_state(&self.actor) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(actor = %self.life.id, %error, "the state cannot be encoded");
                self.ledger.failed(self.life.gate.now());
                let reason = Reason::Codec(format!("checkpoint: {error}"));
                self.ledger.fail_waiting(&CallError::executed(reason));
                return Ok(false);
            }
        };
        self.life.clear().await?;
        self.saving = Some(self.saver.save(NewCheckpoint {
            actor: self.life.id.clone(),
            epoch: self.life.epoch,
            seq: self.ledger.take(),
            kind_version: A::VERSION,
            bytes,
            copies: self.life.policy.copies,
        }));
        Ok(true)
    }

    async fn saved(&mut self, result: Result<(), SaveError>) -> Result<(), End> {
        match result {
            Ok(()) => self.ledger.saved(),
            Err(SaveError::Fenced) => return Err(End::Superseded),
            Err(SaveError::Failed(error)) => {
                tracing::warn!(actor = %self.life.id, %error, "a checkpoint failed; another follows");
                self.ledger.failed(self.life.gate.now());
            }
        }
        while let Some(reply) = self.ledger.pop_durable() {
            self.life.clear().await?;
            reply.release();
        }
        Ok(())
    }

    /// Saves until all is durable. It tries for as long as the host lets it: give the wait for it a
    /// deadline, and stop the activation then.
    async fn flush(&mut self) -> Result<(), End> {
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
            if !self.take().await? {
                return Ok(());
            }
        }
    }
}

fn unanswered() -> SaveError {
    SaveError::Failed("no answer".to_owned())
}

/// The answer, if it is there; the receiver is used up then.
fn poll_once<T>(
    receiver: &mut Option<oneshot::Receiver<T>>,
    task: &mut Task<'_>,
) -> Option<Result<T, oneshot::error::RecvError>> {
    let Poll::Ready(answer) = Pin::new(receiver.as_mut()?).poll(task) else { return None };
    *receiver = None;
    Some(answer)
}
