//! Reliable messages: those that come, and what became of those that left.

use super::look::Calm;
use super::{End, Running};
use crate::actor::api::Actor;
use crate::actor::bundle::{Bundle, Opened};
use crate::actor::context::Context;
use crate::actor::courier::{Follow, Returned};
use crate::actor::mail::Admit;
use crate::actor::mailbox::{Envelope, Opening, telling};
use crate::actor::post::Undelivered;
use crate::core::session::{Parcel, Sender};
use crate::error::{CallError, Reason};
use crate::limits::{DEFAULT_CHECKPOINT_INTERVAL, MAX_PANICS_PER_MESSAGE};

impl<A: Actor> Running<A> {
    pub(super) fn begin(&mut self, bundle: Bundle<A>) {
        self.ctx.mail().answered(&bundle.from, bundle.answered);
        // Without checkpoints it can remember nothing, and the sender is not told that it does.
        self.bundle = self.life.keeps_checkpoints().then_some(bundle);
        self.calm = Calm::default();
    }

    /// The next message of the bundle at hand; after the last, its sender waits for a checkpoint.
    pub(super) async fn parcel(&mut self) -> Result<(), End> {
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
            Ok(mut letter) => match self.open(&mut *letter, true).await {
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
    pub(super) async fn returned(&mut self, returned: Returned) -> Result<(), End> {
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
            Follow::Over { to, messages, .. } => self.open(&mut Undelivered { to, messages }, false).await?,
        }
        Ok(())
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
