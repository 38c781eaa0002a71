//! Hands actors of this peer over to others, and calls those home that others run in this peer's place.
//!
//! Whoever runs an actor ends its activation for good, after the message at hand and with a last checkpoint; only
//! then it asks the log to let another go on. So nothing is undone, and callers see a pause. It is the home that
//! asks, for a few at a time: it knows how fast it can restore them.

use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

use super::shared::Shared;
use crate::canary::{Mistake, made};
use crate::core::command::{Command, HandOver};
use crate::core::lines::Line;
use crate::core::state::State;
use crate::id::{ActorId, Epoch, Incarnation};
use crate::limits::{HAND_OVER_PATIENCE, MAX_HAND_OVERS};
use crate::wire::{Answer, HandOverOrder, Request};

/// An actor whose home is up and does not run it: under which activation, and by whom, it runs.
struct Homesick {
    actor: ActorId,
    epoch: Epoch,
    host: Incarnation,
}

impl Shared {
    /// Lets other peers go on with some of the actors here. Completes when the log has decided on each, or its
    /// activation has ended otherwise; one that is at a long message delays only that.
    pub(super) async fn hand_over(self: &Arc<Self>, moves: Vec<HandOver>) {
        let (Some(host), Some(by)) = (self.host(), self.incarnation()) else { return };
        if made(Mistake::GivenAwayWhileItRuns) {
            return self.propose_until_moot(Command::HandOver { by, items: moves }).await;
        }
        let ended = moves.into_iter().filter_map(|one| {
            let finished = host.finish(&one.actor, one.epoch)?;
            Some(finished.map(|seq| seq.ok().map(|_| one)))
        });
        let mut ended: FuturesUnordered<_> = ended.collect();
        while let Some(first) = ended.next().await {
            let mut items = Vec::from_iter(first);
            while let Some(Some(next)) = ended.next().now_or_never() {
                items.extend(next);
            }
            // Their activations are over: they run nowhere until the log has decided.
            self.propose_until_moot(Command::HandOver { by, items }).await;
        }
    }

    /// Another peer, or a user there, wants actors to run elsewhere.
    pub(super) fn on_hand_over(self: &Arc<Self>, order: HandOverOrder) -> Answer {
        let HandOverOrder { actors, to, by_hand } = order;
        if actors.len() > MAX_HAND_OVERS {
            return Answer::Refused("too many actors".into());
        }
        let shared = self.clone();
        self.spawn(async move {
            // This peer may be the last to learn that the other one is up.
            let end = Instant::now() + HAND_OVER_PATIENCE;
            let able = |s: &State, id: &ActorId| s.able_host(id, &to).is_some();
            while shared.state(|s| actors.iter().any(|id| able(s, id))) == Some(false) && Instant::now() < end
            {
                shared.wait_for_change(shared.timing.heartbeat).await;
            }
            let moves = actors.into_iter().filter_map(|actor| {
                let fits = shared.state(|s| able(s, &actor)) == Some(true);
                let epoch = shared.host()?.running(&actor).filter(|_| fits)?;
                Some(HandOver { actor, epoch, to: to.clone(), by_hand })
            });
            shared.hand_over(moves.collect()).await;
        });
        Answer::Ordered
    }

    /// Asks a process to hand actors over, if it is not this one that runs them. Whether that was heard.
    pub(super) async fn order_hand_over(self: &Arc<Self>, host: Incarnation, order: HandOverOrder) -> bool {
        if self.incarnation() == Some(host) {
            return matches!(self.on_hand_over(order), Answer::Ordered);
        }
        let node = self.state(|s| s.member_of(host).map(|(node, _)| node.clone())).flatten();
        let Some(dest) = node.and_then(|node| self.dest_of(&node)) else { return false };
        let answer = self.ask_around(&dest, Request::HandOver(order), self.timing.lease * 2).await;
        matches!(answer, Ok(Answer::Ordered))
    }

    /// Calls this peer's actors home for as long as it runs.
    pub(super) async fn call_home(self: Arc<Self>) {
        let mut told = false;
        while self.gate.wait_open().await.is_ok() {
            let away = self.homesick();
            if away.is_empty() {
                told = false;
                self.homesick.notified().await;
                continue;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(node = %self.node, actors = away.len(), "calling home the actors that others run");
            }
            for some in away.chunks(MAX_HAND_OVERS) {
                self.call_some_home(some).await;
            }
            // Those that are at a long message come when they are done.
            if !self.homesick().is_empty() && !self.pause(HAND_OVER_PATIENCE).await {
                return;
            }
        }
    }

    fn homesick(&self) -> Vec<Homesick> {
        let all = |s: &State| {
            let ours = s.actors.iter().filter(|a| a.home == self.node.as_str());
            let away = |a: Line<'_>| Some(Homesick { actor: a.id(), epoch: a.epoch, host: s.homesick(&a)? });
            ours.filter_map(away).collect()
        };
        self.state(all).unwrap_or_default()
    }

    /// Asks for some, and waits a while until they run here.
    async fn call_some_home(self: &Arc<Self>, some: &[Homesick]) {
        let mut by_host: BTreeMap<Incarnation, Vec<ActorId>> = BTreeMap::new();
        for one in some {
            by_host.entry(one.host).or_default().push(one.actor.clone());
        }
        let orders = by_host.into_iter().map(|(host, actors)| {
            let order = HandOverOrder { actors, to: self.node.clone(), by_hand: false };
            self.order_hand_over(host, order)
        });
        let end = Instant::now() + HAND_OVER_PATIENCE;
        join_all(orders).await;
        while !some.iter().all(|one| self.is_settled(one)) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait_for_change(left).await;
        }
    }

    /// Whether the log has decided on one that was called home, and it runs if it is to run here.
    fn is_settled(&self, one: &Homesick) -> bool {
        let line = self.state(|s| s.actors.line(&one.actor).map(|a| (a.epoch, a.host))).flatten();
        match line {
            Some((epoch, _)) if epoch == one.epoch => false,
            Some((epoch, host)) if host == self.incarnation() => {
                self.host().is_none_or(|host| host.has_begun(&one.actor, epoch))
            }
            _ => true,
        }
    }
}
