//! Purses: money that actors send each other reliably. What one has sent, the other gets, once and in that order.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Policy, Undelivered, When};
use standin::{CallError, Peer, Reason};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

use super::call::{Call, End};
use super::kinds::Panic;

/// A sum of money on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coin {
    /// The order that began it.
    number: u64,
    amount: i64,
    /// How often it may still be passed on.
    hops: u8,
}

/// What went out and came in, in order: each list by the other purse.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Purse {
    balance: i64,
    ordered: Vec<u64>,
    sent: BTreeMap<u32, Vec<Coin>>,
    got: BTreeMap<u32, Vec<Coin>>,
    undelivered: u64,
}

impl Actor for Purse {
    const KIND: &'static str = "purse";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, ..Policy::default() }
    }
    async fn on_undelivered(&mut self, what: Undelivered, _: &mut Context<Self>) {
        self.undelivered += what.messages;
    }
}

/// An order to send money to another purse.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Pay {
    pub number: u64,
    pub to: u32,
    /// The purses that there are: the first one's number, and the number after the last.
    pub among: (u32, u32),
}

impl Message for Pay {
    const NAME: &'static str = "pay";
    type Reply = ();
}

/// Money from another purse.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Give {
    from: u32,
    among: (u32, u32),
    coin: Coin,
}

impl Message for Give {
    const NAME: &'static str = "give";
    type Reply = ();
}

/// Everything about a purse.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Count;

impl Message for Count {
    const NAME: &'static str = "count";
    type Reply = Purse;
}

impl Purse {
    fn send(&mut self, to: u32, among: (u32, u32), coin: Coin, ctx: &mut Context<Self>) {
        let from = ctx.me().key().trim_start_matches('p').parse().unwrap_or_default();
        let target = ActorRef::<Self>::new(key(to));
        let is_sent = target.is_ok_and(|target| ctx.send(&target, Give { from, among, coin }).is_ok());
        // Full: it keeps its money.
        if is_sent {
            self.balance -= coin.amount;
            self.sent.entry(to).or_default().push(coin);
        }
    }
}

impl Handler<Pay> for Purse {
    async fn handle(&mut self, Pay { number, to, among }: Pay, ctx: &mut Context<Self>) {
        self.ordered.push(number);
        let coin = Coin { number, amount: 1 + (number % 100) as i64, hops: (number % 4) as u8 };
        self.send(to, among, coin, ctx);
    }
}

impl Handler<Give> for Purse {
    async fn handle(&mut self, Give { from, among, coin }: Give, ctx: &mut Context<Self>) {
        self.balance += coin.amount;
        self.got.entry(from).or_default().push(coin);
        if coin.hops > 0 {
            // Where it goes depends on the order in which all purses' money came: only what is held back until that
            // is durable is ever the same twice.
            let seen: usize = self.got.values().map(Vec::len).sum();
            let coin = Coin { amount: coin.amount + seen as i64, hops: coin.hops - 1, ..coin };
            let to = among.0 + seen as u32 % among.1.saturating_sub(among.0).max(1);
            self.send(to, among, coin, ctx);
        }
    }
}

impl Handler<Count> for Purse {
    async fn handle(&mut self, Count: Count, _: &mut Context<Self>) -> Purse {
        self.clone()
    }
}

impl Handler<Panic> for Purse {
    async fn handle(&mut self, Panic: Panic, _: &mut Context<Self>) {
        std::panic::resume_unwind(Box::new("as the plan wants it"));
    }
}

/// A purse's name.
pub fn key(purse: u32) -> String {
    format!("p{purse}")
}

/// The purse of a number.
pub fn purse(number: u32) -> Result<ActorRef<Purse>, CallError> {
    ActorRef::new(key(number)).map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))
}

/// What the purses hold once nothing is on its way any more, or patience has run out.
pub async fn settled(
    peer: &Peer,
    purses: Range<u32>,
    patience: Duration,
) -> Result<BTreeMap<u32, Purse>, String> {
    let end = Instant::now() + patience;
    loop {
        let mut all = BTreeMap::new();
        for number in purses.clone() {
            let to = purse(number).map_err(|e| e.to_string())?;
            let count = peer.ask_durable(&to, Count, patience).await;
            all.insert(number, count.map_err(|e| format!("{}: {e}", key(number)))?);
        }
        let count = |lists: fn(&Purse) -> &BTreeMap<u32, Vec<Coin>>| -> usize {
            all.values().flat_map(|purse| lists(purse).values()).map(Vec::len).sum()
        };
        if count(|p| &p.sent) == count(|p| &p.got) || Instant::now() >= end {
            return Ok(all);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether each purse got what the others sent it, once and in order, and whether the orders' answers were true.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(orders: &[Call<Pay>], purses: &BTreeMap<u32, Purse>) -> Result<(), (&'static str, String)> {
    let exact = |what: String| Err(("reliable_messages_are_exact", what));
    for (from, sender) in purses {
        if sender.undelivered > 0 {
            return exact(format!("{} was told of {} messages to nobody", key(*from), sender.undelivered));
        }
        for (to, receiver) in purses {
            let sent = sender.sent.get(to).map_or(&[][..], Vec::as_slice);
            let got = receiver.got.get(from).map_or(&[][..], Vec::as_slice);
            if sent != got {
                let at = sent.iter().zip(got).take_while(|(s, g)| s == g).count();
                let (sent, got) = (sent.get(at), got.get(at));
                let (from, to) = (key(*from), key(*to));
                return exact(format!("{from} to {to}, message {at}: sent {sent:?}, got {got:?}"));
            }
        }
    }
    for call in orders {
        let ordered = purses.get(&call.actor).map_or(&[][..], |purse| purse.ordered.as_slice());
        let times = ordered.iter().filter(|number| **number == call.what.number).count();
        let says = |what: &str| Err(("outcomes_are_true", format!("order {}: {what}", call.what.number)));
        match (call.end, times) {
            (_, 2..) => return says("executed twice"),
            (End::Done(_), 0) => return says("acknowledged as durable, and not there"),
            (End::Not | End::Absent | End::Exists, 1) => {
                return says("executed, and reported as not executed");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_late_is_noticed() {
        let coin = |number| Coin { number, amount: 1, hops: 0 };
        let judged = |sent: &[u64], got: &[u64]| {
            let list = |numbers: &[u64]| numbers.iter().map(|n| coin(*n)).collect::<Vec<_>>();
            let a = Purse { sent: BTreeMap::from([(1, list(sent))]), ..Purse::default() };
            let b = Purse { got: BTreeMap::from([(0, list(got))]), ..Purse::default() };
            judge(&[], &[(0, a), (1, b)].into()).is_ok()
        };
        assert!(judged(&[1, 2, 3], &[1, 2, 3]));
        assert!(!judged(&[1, 2, 3], &[1, 3]));
        assert!(!judged(&[1, 2, 3], &[1, 2, 2, 3]));
        assert!(!judged(&[1, 2, 3], &[2, 1, 3]));
        assert!(!judged(&[1, 2, 3], &[1, 2, 3, 4]));
    }
}
