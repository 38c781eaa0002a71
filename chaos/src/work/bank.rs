//! A bank: whatever happens on the way, no money is made or lost.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Policy, When};
use standin::{CallError, Peer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// Money, and which bookings made it what it is: so a booking may be asked for again and again.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub struct Account {
    balance: i64,
    booked: BTreeSet<u64>,
}

impl Actor for Account {
    const KIND: &'static str = "account";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

/// Books an amount under a number, once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Book(u64, i64);

impl Message for Book {
    const NAME: &'static str = "book";
    type Reply = ();
}

impl Handler<Book> for Account {
    async fn handle(&mut self, Book(number, amount): Book, _: &mut Context<Self>) {
        if self.booked.insert(number) {
            self.balance += amount;
        }
    }
}

/// Everything about an account.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Statement;

impl Message for Statement {
    const NAME: &'static str = "statement";
    type Reply = Account;
}

impl Handler<Statement> for Account {
    async fn handle(&mut self, Statement: Statement, _: &mut Context<Self>) -> Account {
        self.clone()
    }
}

/// Money that goes from one account to another, in two bookings.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Transfer {
    pub number: u64,
    pub payer: u32,
    pub payee: u32,
    pub amount: i64,
    /// Which bookings were acknowledged as durable: taking, and giving.
    pub done: [bool; 2],
}

impl Transfer {
    /// One of its bookings.
    pub async fn book(self, peer: &Peer, leg: usize, deadline: Duration) -> Result<(), CallError> {
        let (account, amount) = if leg == 0 { (self.payer, -self.amount) } else { (self.payee, self.amount) };
        let to = ActorRef::<Account>::new(key(account))
            .map_err(|e| CallError::not_executed(standin::Reason::InvalidName(e.to_string())))?;
        peer.ask_durable(&to, Book(self.number, amount), deadline).await
    }
}

/// An account's name.
pub fn key(account: u32) -> String {
    format!("a{account}")
}

/// Makes the bookings that are still missing.
pub async fn settle(transfers: &mut [Transfer], peer: &Peer, patience: Duration) -> Result<(), String> {
    let end = Instant::now() + patience;
    for transfer in transfers.iter_mut() {
        for leg in 0..transfer.done.len() {
            while !transfer.done[leg] {
                match transfer.book(peer, leg, patience / 4).await {
                    Ok(()) => transfer.done[leg] = true,
                    Err(e) if Instant::now() >= end => return Err(format!("{transfer:?}: {e}")),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
    }
    Ok(())
}

/// What the accounts hold.
pub async fn statements(
    peer: &Peer,
    accounts: Range<u32>,
    patience: Duration,
) -> Result<BTreeMap<u32, Account>, String> {
    let mut all = BTreeMap::new();
    for account in accounts {
        let to = ActorRef::<Account>::new(key(account)).map_err(|e| e.to_string())?;
        let statement = peer.ask_durable(&to, Statement, patience).await;
        all.insert(account, statement.map_err(|e| format!("{}: {e}", key(account)))?);
    }
    Ok(all)
}

/// Whether the accounts hold what the transfers, all done by now, make.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(
    transfers: &[Transfer],
    accounts: &BTreeMap<u32, Account>,
) -> Result<(), (&'static str, String)> {
    let mut expected: BTreeMap<u32, Account> = BTreeMap::new();
    for transfer in transfers {
        for (account, amount) in [(transfer.payer, -transfer.amount), (transfer.payee, transfer.amount)] {
            let account = expected.entry(account).or_default();
            account.balance += amount;
            account.booked.insert(transfer.number);
        }
    }
    for (number, found) in accounts {
        let wanted = expected.remove(number).unwrap_or_default();
        if let Some(lost) = wanted.booked.difference(&found.booked).next() {
            let what = format!("{} lost booking {lost}, acknowledged as durable", key(*number));
            return Err(("acknowledged_is_kept", what));
        }
        if wanted.balance != found.balance {
            let what = format!("{} holds {}, not {}", key(*number), found.balance, wanted.balance);
            return Err(("money_is_conserved", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_doubled_money_is_noticed() {
        let transfer = Transfer { number: 7, payer: 0, payee: 1, amount: 5, done: [true; 2] };
        let account = |balance, booked: &[u64]| Account { balance, booked: booked.iter().copied().collect() };
        let judged =
            |a, b| judge(std::slice::from_ref(&transfer), &[(0, a), (1, b)].into()).map_err(|(name, _)| name);
        assert_eq!(judged(account(-5, &[7]), account(5, &[7])), Ok(()));
        assert_eq!(judged(account(-5, &[7]), account(0, &[])), Err("acknowledged_is_kept"));
        assert_eq!(judged(account(-10, &[7]), account(5, &[7])), Err("money_is_conserved"));
    }
}
