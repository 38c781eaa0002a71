//! The loop of one activation: messages one at a time, and a checkpoint between two when it is due.

mod look;
mod parcels;
mod saving;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;

use self::look::{Calm, Next};
use super::alarm::Alarm;
use super::api::Actor;
use super::aside::Aside;
use super::bundle::Bundle;
use super::context::Context;
use super::gate::Retired;
use super::ledger::Ledger;
use super::life::{Life, Turn};
use super::mailbox::{After, Envelope, Inbox, Item};
use super::restored::Restored;
use super::saver::{SaveError, Saver};
use crate::clock::Mono;
use crate::error::CallError;
use crate::limits::{FINISH_DEADLINE, STOP_DRAIN_DEADLINE};

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

/// What a loop begins with.
pub(super) struct Beginning<A: Actor> {
    pub(super) actor: A,
    pub(super) ctx: Context<A>,
    /// The number of the checkpoint that was restored.
    pub(super) seq: u64,
    pub(super) restored: Option<Restored>,
}

pub(super) struct Running<A: Actor> {
    actor: A,
    ctx: Context<A>,
    restored: Option<Restored>,
    life: Arc<Life>,
    queue: Inbox<A>,
    /// The time, if it was read since a handler returned, or since anything else was done that may take long.
    now: Option<Mono>,
    calm: Calm,
    /// Whom all but the mailbox wakes.
    aside: Option<Aside>,
    /// What is left of the reliable messages that came last.
    bundle: Option<Bundle<A>>,
    /// Until when an actor that ends waits for what it sent to arrive.
    draining: Option<Mono>,
    finish: Option<oneshot::Receiver<Finished>>,
    /// Who waits for the end, and until when messages that wait are handled before it.
    finishing: Option<(Finished, Mono)>,
    saver: Arc<dyn Saver>,
    saving: Option<oneshot::Receiver<Result<(), SaveError>>>,
    ledger: Ledger,
    alarm: Alarm,
    /// The last message was one to itself.
    has_rung: bool,
}

impl<A: Actor> Running<A> {
    pub(super) fn new(
        Beginning { actor, ctx, seq, restored }: Beginning<A>,
        life: Arc<Life>,
        queue: Inbox<A>,
        finish: oneshot::Receiver<Finished>,
        saver: Arc<dyn Saver>,
    ) -> Self {
        let ledger = Ledger::new(life.policy.checkpoint, seq);
        let finish = Some(finish);
        Self {
            actor,
            ctx,
            restored,
            life,
            queue,
            now: None,
            calm: Calm::default(),
            aside: None,
            bundle: None,
            draining: None,
            finish,
            finishing: None,
            saver,
            saving: None,
            ledger,
            alarm: Alarm::default(),
            has_rung: false,
        }
    }

    pub(super) async fn run(&mut self) -> End {
        let Err(end) = self.turns().await;
        end
    }

    /// Drops the state, and returns the messages that wait.
    pub(super) fn into_queue(mut self, waiting: &CallError) -> Inbox<A> {
        self.ledger.fail_waiting(waiting);
        self.queue
    }

    /// The time, read at most once between two handlers.
    fn now(&mut self) -> Mono {
        *self.now.get_or_insert_with(|| self.life.gate.now())
    }

    async fn turns(&mut self) -> Result<Infallible, End> {
        if let Some(restored) = self.restored.take() {
            let resends = self.ctx.mail().unsettled();
            self.play(&mut Restored { resends, ..restored }, false, false).await?;
        }
        loop {
            if !self.is_calm() {
                self.life.visits.end().await;
                self.before_next().await?;
            }
            match poll_fn(|task| self.poll_next(task)).await {
                Next::Item(Item::Letter(mut letter)) => {
                    self.open(&mut *letter, false).await?;
                    if letter.as_any().is_some() {
                        self.queue.give_back(Item::Letter(letter));
                    }
                }
                Next::Item(Item::Bundle(bundle)) => self.begin(*bundle),
                Next::Parcel => self.parcel().await?,
                Next::Rung => {
                    for mut change in self.ctx.watches().changes(self.life.gate.now()) {
                        self.open(&mut change, false).await?;
                    }
                }
                Next::Timer(name, payload) => self.ring(&name, &payload).await?,
                Next::Returned(returned) => self.returned(returned).await?,
                Next::Saved(result) => self.saved(result).await?,
                Next::Tick => {
                    self.alarm.clear();
                    self.ctx.mail().wake(self.life.gate.now());
                }
                Next::Gone => self.finish().await?,
                Next::Finish(finished) => {
                    // Who calls from now on waits until the actor runs again, wherever that will be.
                    self.queue.close();
                    self.finishing = Some((finished, self.life.gate.now() + FINISH_DEADLINE));
                }
            }
        }
    }

    /// What is due between two messages.
    async fn before_next(&mut self) -> Result<(), End> {
        if self.is_due() {
            self.take(self.ledger.is_urgent()).await?;
        }
        if self.ctx.mail().is_stirred() {
            self.life.clear().await?;
            self.ctx.mail().run_jobs(self.ledger.durable());
        }
        self.end_if_drained().await?;
        let until = self.finishing.as_ref().map(|(_, until)| *until);
        if until.is_some_and(|until| until <= self.now()) {
            self.finish().await?;
        }
        Ok(())
    }

    /// No more messages: this activation ends, with a last checkpoint if that was asked for.
    async fn finish(&mut self) -> Result<(), End> {
        let Some((finished, _)) = self.finishing.take() else { return Err(End::Superseded) };
        self.flush().await?;
        Err(End::Finished(finished, self.ledger.durable_seq()))
    }

    fn open(
        &mut self,
        letter: &mut dyn Envelope<A>,
        is_parcel: bool,
    ) -> impl Future<Output = Result<(), End>> + Send {
        self.play(letter, is_parcel, true)
    }

    /// A message that does not count is not worth a checkpoint by itself.
    async fn play(&mut self, letter: &mut dyn Envelope<A>, is_parcel: bool, counts: bool) -> Result<(), End> {
        self.ctx.begin(self.ledger.next_number(), is_parcel, self.ledger.is_unsettled());
        let begun = self.now();
        let after = {
            let opened = pin!(letter.open(&mut self.actor, &mut self.ctx));
            Turn::new(&self.life, begun, opened).await?
        };
        self.now = self.ctx.take_cleared();
        if let Some(now) = self.now {
            self.life.visits.note(now.since(begun));
        }
        let asked = self.ctx.take_requests();
        let mut is_calm = !asked.any && matches!(after, After::Done);
        if counts || asked.checkpoint || asked.sent {
            is_calm &= !self.ledger.handled(|| self.now.unwrap_or_else(|| self.life.gate.now()));
        }
        if !is_calm {
            self.calm = Calm::default();
        }
        match after {
            After::Done => {}
            After::Withheld(reply) => self.ledger.withhold(reply, Mono(0)),
            After::Unsettled(reply) => self.ledger.withhold_until_settled(reply),
            After::Panicked(text) => return Err(End::Panicked(text)),
            After::Retired => return Err(End::Retired),
        }
        if asked.checkpoint {
            self.ledger.want();
        }
        if asked.sent {
            self.note_sent();
        }
        if asked.stop {
            self.draining = Some(self.life.gate.now() + STOP_DRAIN_DEADLINE);
        }
        Ok(())
    }

    /// A message that the actor has sent to itself.
    async fn ring(&mut self, name: &str, payload: &[u8]) -> Result<(), End> {
        // One that is set anew each time is always due, whoever else waits for the thread.
        tokio::task::coop::consume_budget().await;
        self.now = None;
        let read = self.queue.beside().get(name).map(|readers| readers.read(payload));
        match read {
            Some(Ok(mut letter)) => self.open(&mut *letter, false).await,
            unread => {
                let error = unread.and_then(Result::err).map(|error| error.to_string());
                tracing::error!(actor = %self.life.id, name, error, "a timer's message cannot be read, and is dropped");
                self.ledger.changed(|| self.life.gate.now());
                Ok(())
            }
        }
    }

    /// An actor that is to end does so when what it owes has left.
    async fn end_if_drained(&mut self) -> Result<(), End> {
        let Some(until) = self.draining else { return Ok(()) };
        if !self.ctx.mail().is_drained() && self.life.gate.now() < until {
            return Ok(());
        }
        if self.ledger.waiting() > 0 {
            self.flush().await?;
        }
        Err(End::Stopped)
    }
}
