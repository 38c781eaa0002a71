//! Brings reliable messages to their receivers, and tells what became of them.

use futures_util::future::{BoxFuture, FutureExt};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::carry::host_elsewhere;
use super::shared::Shared;
use crate::actor::{Post, Resolved, WireReceipt};
use crate::core::event::Event;
use crate::core::session::{Parcels, Receipt, Sender, Standing};
use crate::core::watching::Seen;
use crate::id::ActorId;
use crate::limits::{DELIVERY_DEADLINE, MAX_PARCELS};
use crate::transport::{Dest, Lane, Refusal, Reply};
use crate::wire::{Rare, decode, encode};

/// What the actor runtime sees of this module.
pub(crate) struct PostOffice(pub(crate) Weak<Shared>);

impl Post for PostOffice {
    fn life_of(&self, actor: &ActorId) -> Option<u64> {
        self.0.upgrade()?.life_of(actor)
    }

    fn standing(&self, sender: &Sender) -> Standing {
        self.0.upgrade().map_or(Standing::NotYet, |shared| shared.standing(sender))
    }

    fn resolve(&self, actor: ActorId) -> BoxFuture<'static, Resolved> {
        let shared = self.0.upgrade();
        async move {
            match shared {
                Some(shared) => shared.resolve(&actor).await,
                None => Resolved::Later,
            }
        }
        .boxed()
    }

    fn look(&self, actor: &ActorId) -> Option<Seen> {
        self.0.upgrade()?.look(actor)
    }

    fn watch(&self, actor: &ActorId, bell: mpsc::Sender<()>) {
        if let Some(shared) = self.0.upgrade() {
            shared.bells.hang(actor, bell);
        }
    }

    fn deliver(&self, parcels: Parcels) -> BoxFuture<'static, Receipt> {
        let shared = self.0.upgrade();
        async move {
            match shared {
                Some(shared) => shared.deliver(parcels).await,
                None => Receipt::Later,
            }
        }
        .boxed()
    }

    fn emit(&self, event: Event) {
        let Some(shared) = self.0.upgrade() else { return };
        match &event {
            Event::DeadLetter { actor, from, message, why } => {
                tracing::error!(%actor, %from, message, why, "a reliable message was put aside");
            }
            Event::Undelivered { from, to, messages } => {
                tracing::warn!(%from, %to, messages, "reliable messages did not arrive; their receiver has ended");
            }
            _ => {}
        }
        shared.emit(event);
    }
}

/// Where the receiver of reliable messages is.
enum Receiver {
    Here,
    There(Dest),
    /// Its home is away, or this peer is behind.
    Away,
    Over,
}

impl Shared {
    pub(super) fn life_of(&self, actor: &ActorId) -> Option<u64> {
        self.state(|s| s.actors.line(actor).map(|a| a.life)).flatten()
    }

    fn standing(&self, sender: &Sender) -> Standing {
        let Some(consensus) = self.consensus() else { return Standing::NotYet };
        consensus.applied().read_at(|s, applied, _| {
            let (begun, lives) = match sender {
                Sender::Actor { id, life } => (*life, s.actors.line(id).is_some_and(|a| a.life == *life)),
                Sender::Client(session) => (*session, s.sessions.contains_key(session)),
            };
            match lives {
                true => Standing::Current,
                false if begun > applied => Standing::NotYet,
                false => Standing::Over,
            }
        })
    }

    async fn resolve(self: &Arc<Self>, actor: &ActorId) -> Resolved {
        if self.catch_up(Instant::now() + DELIVERY_DEADLINE).await.is_err() {
            return Resolved::Later;
        }
        self.life_of(actor).map_or(Resolved::NoSuchActor, Resolved::Life)
    }

    /// Brings messages to their receiver, once it is somewhere: one attempt, within the deadline.
    pub(super) async fn deliver(self: &Arc<Self>, parcels: Parcels) -> Receipt {
        let end = Instant::now() + DELIVERY_DEADLINE;
        loop {
            match self.receiver(&parcels) {
                Receiver::Over => return Receipt::Over,
                Receiver::Here => return self.deliver_here(parcels, end).await,
                Receiver::There(dest) => return self.deliver_there(&dest, parcels, end).await,
                Receiver::Away => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.phase.borrow().is_over() {
                return Receipt::Later;
            }
            self.wait_for_change(left).await;
        }
    }

    fn receiver(&self, parcels: &Parcels) -> Receiver {
        let Some(consensus) = self.consensus() else { return Receiver::Away };
        if self.host().is_some_and(|host| host.running(&parcels.to).is_some()) {
            return Receiver::Here;
        }
        let me = self.incarnation();
        consensus.applied().read_at(|s, applied, _| {
            let line = s.actors.line(&parcels.to);
            match line {
                Some(line) if line.life > parcels.life => Receiver::Over,
                None if applied >= parcels.life => Receiver::Over,
                Some(line) if line.life == parcels.life => {
                    host_elsewhere(s, &line, me).map_or(Receiver::Away, Receiver::There)
                }
                _ => Receiver::Away,
            }
        })
    }

    async fn deliver_here(&self, parcels: Parcels, end: Instant) -> Receipt {
        let Some(host) = self.host() else { return Receipt::Later };
        let (done, wait) = oneshot::channel();
        let receipt: WireReceipt = Box::new(move |receipt| {
            // Nobody waits any more: it is brought again.
            let _ = done.send(receipt);
        });
        if host.deliver_parcels(parcels, receipt).is_err() {
            return Receipt::Later;
        }
        match tokio::time::timeout_at(end, wait).await {
            Ok(Ok(receipt)) => receipt,
            _ => Receipt::Later,
        }
    }

    async fn deliver_there(&self, dest: &Dest, parcels: Parcels, end: Instant) -> Receipt {
        let to = parcels.to.clone();
        let Some(host) = dest.incarnation else { return Receipt::Later };
        let Some(_credit) = self.credit(&self.credits.to(host), &to, end).await else {
            return Receipt::Later;
        };
        let left = end.saturating_duration_since(Instant::now());
        // Long batches of short messages among them: one batch must not overtake another.
        let longest = parcels.items.iter().map(|parcel| parcel.payload.len()).max();
        let lane = Lane::of_message(longest.unwrap_or(0));
        let sent = self.send(dest, lane, Rare::Parcels(parcels).frame(), left);
        let reply = tokio::select! {
            reply = sent => reply,
            // The answer of a host that is gone for good can never come.
            () = self.until_line(&to, |_, a| a.host != dest.incarnation) => return Receipt::Later,
        };
        reply.ok().and_then(|frame| decode(&frame).ok()).unwrap_or(Receipt::Later)
    }

    /// Reliable messages from another peer.
    pub(super) fn on_parcels(&self, parcels: Parcels, reply: Reply) {
        if parcels.items.len() > MAX_PARCELS {
            return reply.refuse(&Refusal::Malformed);
        }
        let receipt: WireReceipt = Box::new(move |receipt| reply.send(encode(&receipt)));
        self.hurry(&parcels.to);
        let taken = match self.host() {
            Some(host) => host.deliver_parcels(parcels, receipt).map_err(|(_, receipt)| receipt),
            None => Err(receipt),
        };
        if let Err(receipt) = taken {
            receipt(Receipt::Later);
        }
    }
}
