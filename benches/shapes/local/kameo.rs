//! kameo, with its default mailbox made as large as the others'.

use ::kameo::Actor;
use ::kameo::actor::{ActorRef, Spawn};
use ::kameo::mailbox;
use ::kameo::message::{Context, Message};

use super::{MAILBOX, fail};

#[derive(Actor)]
pub struct Sum(u64);

pub struct Add(u64);

impl Message<Add> for Sum {
    type Reply = u64;
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, u64>) -> u64 {
        self.0 += n;
        self.0
    }
}

#[derive(Clone)]
pub struct Counter(ActorRef<Sum>);

pub fn counter() -> Counter {
    Counter(Sum::spawn_with_mailbox(Sum(0), mailbox::bounded(MAILBOX)))
}

impl super::Counter for Counter {
    async fn ask(&self, n: u64) -> u64 {
        self.0.ask(Add(n)).await.unwrap_or_else(fail)
    }

    async fn tell(&self, n: u64) {
        self.0.tell(Add(n)).await.unwrap_or_else(fail);
    }
}
