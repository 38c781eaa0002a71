//! The loop of one activation: messages one at a time, and a checkpoint between two when it is due.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::sync::oneshot;

use super::alarm::Alarm;
use super::api::Actor;
use super::bundle::{Bundle, Opened};
use super::codec::encode_state;
use super::context::Context;
use super::courier::{Follow, Returned};
use super::gate::Retired;
use super::ledger::Ledger;
use super::life::{Life, Turn};
use super::mail::Admit;
use super::mailbox::{After, BoxEnvelope, Envelope, Item, Mailbox, Opening, telling};
use super::policy::Outbox;
use super::post::Undelivered;
use super::queue::Queue;
use super::restored::Restored;
use super::saver::{NewCheckpoint, SaveError, Saver};
use super::table::Table;
use crate::clock::Mono;
use crate::core::session::{Parcel, Sender};
use crate::error::{CallError, Reason};
use crate::limits::{
    DEFAULT_CHECKPOINT_INTERVAL, EAGER_CHECKPOINT_DELAY, FINISH_DEADLINE, LOOK_AROUND,
    MAX_PANICS_PER_MESSAGE, MESSAGES_TAKEN_AT_ONCE, STOP_DRAIN_DEADLINE,
};

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
    Item(Item<A>),
    /// One more message of the bundle at hand.
    Parcel,
    /// The time of a message to itself has come.
    Timer(String, Vec<u8>),
    /// An actor that is watched may have changed.
    Rung,
    Returned(Returned),
    Saved(Result<(), SaveError>),
    Finish(Finished),
    Tick,
    Gone,
}

/// Until when, and for how many messages, an actor goes on without a look at what else there is. Whatever it does that
/// may matter ends this.
#[derive(Default)]
struct Brisk {
    until: Mono,
    left: usize,
}

/// What a loop begins with.
pub(super) struct Beginning<A: Actor> {
    pub(super) actor: A,
    pub(super) ctx: Context<A>,
    pub(super) table: Arc<Table<A>>,
    /// The number of the checkpoint that was restored.
    pub(super) seq: u64,
    pub(super) restored: Option<Restored>,
}

pub(super) struct Running<A: Actor> {
    actor: A,
    ctx: Context<A>,
    /// How messages to itself are read.
    table: Arc<Table<A>>,
    restored: Option<Restored>,
    life: Arc<Life>,
    queue: Queue<A>,
    /// The time, if it was read since a handler returned, or since anything else was done that may take long.
    now: Option<Mono>,
    brisk: Brisk,
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
        Beginning { actor, ctx, table, seq, restored }: Beginning<A>,
        life: Arc<Life>,
        queue: Queue<A>,
        finish: oneshot::Receiver<Finished>,
        saver: Arc<dyn Saver>,
    ) -> Self {
        let ledger = Ledger::new(life.policy.checkpoint, seq);
        let finish = Some(finish);
        Self {
            actor,
            ctx,
            table,
            restored,
            life,
            queue,
            now: None,
            brisk: Brisk::default(),
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
    pub(super) fn into_queue(mut self, waiting: &CallError) -> Queue<A> {
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
            self.play(Box::new(Restored { resends, ..restored }), false, false).await?;
        }
        loop {
            if self.is_due() {
                self.take().await?;
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
            match poll_fn(|task| self.poll_next(task)).await {
                Next::Item(Item::Letter(letter)) => self.open(letter, false).await?,
                Next::Item(Item::Bundle(bundle)) => self.begin(*bundle),
                Next::Parcel => self.parcel().await?,
                Next::Rung => {
                    for change in self.ctx.watches().changes(self.life.gate.now()) {
                        self.open(Box::new(change), false).await?;
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

    /// No more messages: this activation ends, with a last checkpoint if that was asked for.
    async fn finish(&mut self) -> Result<(), End> {
        let Some((finished, _)) = self.finishing.take() else { return Err(End::Superseded) };
        self.flush().await?;
        Err(End::Finished(finished, self.ledger.durable_seq()))
    }

    fn is_due(&mut self) -> bool {
        let due = self.ledger.due_at();
        due.is_some_and(|at| at == Mono(0) || at <= self.now())
    }

    /// Messages first: what else there is, is looked at when none waits, or when the last look is a while ago.
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Next<A>> {
        let is_brisk =
            self.brisk.left > 0 && self.now() < self.brisk.until && !self.life.is_to_end() && !self.rings();
        if is_brisk && let Poll::Ready(item) = self.queue.poll_next(task) {
            self.brisk.left -= 1;
            return Poll::Ready(item.map_or(Next::Gone, Next::Item));
        }
        // A queue that was found empty wakes this task by itself.
        let next = self.look_around(task, is_brisk);
        if next.is_pending() {
            self.now = None;
        }
        next
    }

    /// Whether the time of a message to itself has come.
    fn rings(&mut self) -> bool {
        let at = self.ctx.timers().fires_at();
        at.is_some_and(|at| at <= self.now())
    }

    fn look_around(&mut self, task: &mut Task<'_>, is_empty: bool) -> Poll<Next<A>> {
        self.brisk = Brisk::default();
        // An error means that the host let go of this activation, and that it is being aborted.
        if let Some(Ok(finished)) = poll_once(&mut self.finish, task) {
            return Poll::Ready(Next::Finish(finished));
        }
        if let Some(result) = poll_once(&mut self.saving, task) {
            return Poll::Ready(Next::Saved(result.unwrap_or_else(|_| Err(unanswered()))));
        }
        if let Poll::Ready(returned) = self.ctx.mail().poll_returned(task) {
            return Poll::Ready(Next::Returned(returned));
        }
        let stalled = self.ctx.mail().stalls_until(|| self.life.gate.now());
        // Replies that wait are bounded like the mailbox: past that, messages wait there.
        let is_full = self.ledger.waiting() >= Mailbox::<A>::capacity();
        let is_closed = is_full || stalled.is_some() || self.draining.is_some();
        // One that is to end here finds its durable timers where it goes on.
        let rings_at = self.ctx.timers().fires_at().filter(|_| !is_closed && self.finishing.is_none());
        if self.poll_timer(task, stalled, rings_at).is_ready() {
            return Poll::Ready(Next::Tick);
        }
        if is_closed {
            return Poll::Pending;
        }
        // After one to itself it is the turn of others, if there are any: a timer that is set anew each time must not
        // keep them out.
        let rings_last = std::mem::take(&mut self.has_rung);
        if !rings_last && let Some(timer) = self.ring_due(rings_at) {
            return Poll::Ready(timer);
        }
        if self.ctx.watches().poll_rings(task).is_ready() {
            return Poll::Ready(Next::Rung);
        }
        if self.bundle.is_some() {
            return Poll::Ready(Next::Parcel);
        }
        self.brisk = Brisk { until: self.now() + LOOK_AROUND, left: MESSAGES_TAKEN_AT_ONCE };
        let item = if is_empty { Poll::Pending } else { self.queue.poll_next(task) };
        match item {
            Poll::Ready(item) => Poll::Ready(item.map_or(Next::Gone, Next::Item)),
            Poll::Pending => {
                self.ring_due(rings_at.filter(|_| rings_last)).map_or(Poll::Pending, Poll::Ready)
            }
        }
    }

    fn ring_due(&mut self, rings_at: Option<Mono>) -> Option<Next<A>> {
        let now = self.now();
        let (name, payload) = rings_at.filter(|at| *at <= now).and_then(|_| self.ctx.timers().fire(now))?;
        self.has_rung = true;
        Some(Next::Timer(name, payload))
    }

    fn poll_timer(&mut self, task: &mut Task<'_>, stalled: Option<Mono>, rings_at: Option<Mono>) -> Poll<()> {
        let finishing = self.finishing.as_ref().map(|(_, until)| *until);
        let alarms =
            [self.ledger.due_at(), self.ctx.mail().wakes_at(), stalled, self.draining, finishing, rings_at];
        let Some(at) = alarms.into_iter().flatten().min() else { return Poll::Pending };
        let now = self.now();
        self.alarm.poll(at, now, task)
    }

    async fn open(&mut self, letter: BoxEnvelope<A>, is_parcel: bool) -> Result<(), End> {
        self.play(letter, is_parcel, true).await
    }

    /// A message that does not count is not worth a checkpoint by itself.
    async fn play(&mut self, mut letter: BoxEnvelope<A>, is_parcel: bool, counts: bool) -> Result<(), End> {
        self.ctx.begin(self.ledger.next_number(), is_parcel, self.ledger.is_unsettled());
        let now = self.now.take();
        let after = {
            let opened = pin!(letter.open(&mut self.actor, &mut self.ctx));
            Turn::new(&self.life, now, opened).await?
        };
        self.now = self.ctx.take_cleared();
        let asked = self.ctx.take_requests();
        if counts || asked.checkpoint || asked.sent {
            self.ledger.handled(|| self.now.unwrap_or_else(|| self.life.gate.now()));
        }
        if asked.checkpoint || asked.sent || asked.stop || !matches!(after, After::Done) {
            self.brisk = Brisk::default();
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
        let read = self.table.get(name).map(|readers| readers.read(payload));
        match read {
            Some(Ok(letter)) => self.open(letter, false).await,
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

    /// The last message came, or sent others, reliably: a checkpoint is to hold that soon.
    fn note_reliable(&mut self) {
        self.ledger.note_reliable();
        let by = self.soon();
        self.ledger.want_by(by);
    }

    /// The last message sent others reliably. What left at once needs no checkpoint to arrive: after a failure it is
    /// sent again.
    fn note_sent(&mut self) {
        match self.ctx.mail().mode() {
            Outbox::Held => self.note_reliable(),
            Outbox::Eager => {
                self.ledger.note_reliable();
                self.ledger.want_by(self.life.gate.now() + DEFAULT_CHECKPOINT_INTERVAL);
            }
        }
    }

    fn soon(&mut self) -> Mono {
        match self.ctx.mail().mode() {
            Outbox::Held => Mono(0),
            Outbox::Eager => self.life.gate.now() + EAGER_CHECKPOINT_DELAY,
        }
    }

    fn begin(&mut self, bundle: Bundle<A>) {
        self.ctx.mail().answered(&bundle.from, bundle.answered);
        // Without checkpoints it can remember nothing, and the sender is not told that it does.
        self.bundle = self.life.keeps_checkpoints().then_some(bundle);
        self.brisk = Brisk::default();
    }

    /// The next message of the bundle at hand; after the last, its sender waits for a checkpoint.
    async fn parcel(&mut self) -> Result<(), End> {
        // A bundle is handled at one go otherwise, whoever else waits for the thread.
        tokio::task::coop::consume_budget().await;
        self.now = None;
        let Some(mut bundle) = self.bundle.take() else { return Ok(()) };
        let Some(opened) = bundle.items.pop_front() else {
            let by = self.soon();
            let replies = self.ctx.mail().replies(&bundle.from, bundle.first);
            self.ledger.withhold(Box::new(bundle.ack.with(replies)), by);
            return self.release().await;
        };
        match self.ctx.mail().admit(&bundle.from, &opened.parcel) {
            Admit::Refuse => return Ok(()),
            Admit::Skip => {}
            Admit::Handle => self.handle_parcel(&bundle.from, opened).await?,
        }
        self.bundle = Some(bundle);
        Ok(())
    }

    async fn handle_parcel(&mut self, from: &Sender, opened: Opened<A>) -> Result<(), End> {
        let Opened { parcel, letter, reply } = opened;
        let seq = parcel.seq;
        let poison = self.life.restarts().is_poison(from, seq);
        match letter {
            Ok(_) if poison => {
                let why = format!("{MAX_PANICS_PER_MESSAGE} times");
                self.put_aside(from, parcel, CallError::executed(Reason::Panicked(why)));
            }
            Err(why) => self.put_aside(from, parcel, why),
            Ok(letter) => match self.open(letter, true).await {
                Err(End::Panicked(text)) => {
                    self.life.restarts().suspect(from, seq);
                    return Err(End::Panicked(text));
                }
                handled => handled?,
            },
        }
        if let Some(reply) = reply.and_then(|slot| slot.take()) {
            self.ctx.mail().remember(from, seq, reply);
        }
        self.note_reliable();
        Ok(())
    }

    fn put_aside(&mut self, from: &Sender, parcel: Parcel, why: CallError) {
        self.ctx.mail().put_aside(from, parcel, why);
        self.ledger.changed(|| self.life.gate.now());
    }

    /// A job of the outbox has ended.
    async fn returned(&mut self, returned: Returned) -> Result<(), End> {
        let (now, number) = (self.life.gate.now(), self.ledger.next_number());
        match self.ctx.mail().returned(returned, now, number) {
            Follow::Nothing => {}
            Follow::Arrived(..) => {
                self.ledger.changed(|| now);
                self.ledger.want_by(now + DEFAULT_CHECKPOINT_INTERVAL);
            }
            Follow::Bound => {
                self.ledger.changed(|| now);
                self.note_reliable();
            }
            Follow::Over { to, messages, .. } => {
                self.open(Box::new(Undelivered { to, messages }), false).await?
            }
        }
        Ok(())
    }

    /// Takes a checkpoint. Whoever waits for one that cannot be encoded is told; whether it was.
    async fn take(&mut self) -> Result<bool, End> {
        // Without a lease nothing is written, so nothing is serialized either.
        self.life.clear().await?;
        self.now = None;
        let encoded = encode_state(&self.actor).and_then(|state| Ok((state, self.ctx.save()?)));
        let (bytes, sessions) = match encoded {
            Ok(encoded) => encoded,
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
            sessions,
            copies: self.life.policy.copies,
        }));
        Ok(true)
    }

    async fn saved(&mut self, result: Result<(), SaveError>) -> Result<(), End> {
        match result {
            Ok(()) => {
                self.ledger.saved();
                self.life.restarts().progressed();
                self.ctx.mail().stir();
            }
            Err(SaveError::Fenced) => return Err(End::Superseded),
            Err(SaveError::Failed(error)) => {
                tracing::warn!(actor = %self.life.id, %error, "a checkpoint failed; another follows");
                self.ledger.failed(self.life.gate.now());
            }
        }
        self.release().await
    }

    /// Lets out what a durable checkpoint holds.
    async fn release(&mut self) -> Result<(), End> {
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

/// What the actor is told of messages that did not arrive is a message too.
impl<A: Actor> Envelope<A> for Undelivered {
    fn open<'a>(&mut self, actor: &'a mut A, ctx: &'a mut Context<A>) -> Opening<'a> {
        let what = self.clone();
        telling(async move { actor.on_undelivered(what, ctx).await })
    }

    fn refuse(&mut self, _: CallError) {}
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
