//! An account. A transfer is a small saga of reliable messages, and not one line here deals with failures.
//!
//! The payer takes the money out and sends it; the payee puts it in and confirms, or, being closed, sends it back.
//! Each message takes effect once, in order, whichever machines die. So money is in a balance or on its way, and never
//! in both or in neither, once all has arrived.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Kind, KindOf, Message};
use std::collections::BTreeMap;

/// The state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub balance: u64,
    pub is_closed: bool,
    /// What was sent and neither confirmed nor sent back yet, by the number of the transfer.
    pub on_the_way: BTreeMap<u64, u64>,
    pub paid: u64,
    pub refused: u64,
    pub came_back: u64,
}

impl Actor for Account {
    const KIND: &'static str = "account";
}

/// The account of a number.
pub fn account(number: u32) -> Result<ActorRef<Account>, standin::id::InvalidName> {
    ActorRef::new(format!("account-{number}"))
}

/// Pay somebody.
#[derive(Serialize, Deserialize)]
pub struct Pay {
    pub transfer: u64,
    pub to: String,
    pub amount: u64,
}

impl Message for Pay {
    const NAME: &'static str = "pay";
    type Reply = ();
}

impl Handler<Pay> for Account {
    async fn handle(&mut self, Pay { transfer, to, amount }: Pay, ctx: &mut Context<Self>) {
        let Some(left) = self.balance.checked_sub(amount) else {
            self.refused += 1;
            return;
        };
        let (Ok(payee), payer) = (ActorRef::<Self>::new(to), ctx.me().key().to_owned()) else {
            self.refused += 1;
            return;
        };
        // Nothing was taken out if it cannot be sent.
        match ctx.send(&payee, Deposit { transfer, payer, amount }) {
            Ok(()) => {
                self.balance = left;
                self.on_the_way.insert(transfer, amount);
            }
            Err(_) => self.refused += 1,
        }
    }
}

/// Money from another account.
#[derive(Serialize, Deserialize)]
pub struct Deposit {
    transfer: u64,
    payer: String,
    amount: u64,
}

impl Message for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = ();
}

impl Handler<Deposit> for Account {
    async fn handle(&mut self, Deposit { transfer, payer, amount }: Deposit, ctx: &mut Context<Self>) {
        let Ok(payer) = ActorRef::<Self>::new(payer) else { return };
        let is_taken = !self.is_closed;
        if is_taken {
            self.balance += amount;
        }
        // A panic where this cannot be sent: the deposit is then handled again, when there is room.
        ctx.send(&payer, Settled { transfer, is_taken }).expect("an account owes few answers at a time");
    }
}

/// What became of a payment.
#[derive(Serialize, Deserialize)]
pub struct Settled {
    transfer: u64,
    is_taken: bool,
}

impl Message for Settled {
    const NAME: &'static str = "settled";
    type Reply = ();
}

impl Handler<Settled> for Account {
    async fn handle(&mut self, Settled { transfer, is_taken }: Settled, _: &mut Context<Self>) {
        let Some(amount) = self.on_the_way.remove(&transfer) else { return };
        if is_taken {
            self.paid += 1;
        } else {
            self.balance += amount;
            self.came_back += 1;
        }
    }
}

/// What is in it.
#[derive(Serialize, Deserialize)]
pub struct Statement;

impl Message for Statement {
    const NAME: &'static str = "statement";
    type Reply = Account;
}

impl Handler<Statement> for Account {
    async fn handle(&mut self, _: Statement, _: &mut Context<Self>) -> Account {
        self.clone()
    }
}

/// The kind, for a peer that is to host accounts.
pub fn kind() -> KindOf<Account> {
    Kind::of::<Account>().handles::<Pay>().handles::<Deposit>().handles::<Settled>().handles::<Statement>()
}
