//! ractor: its mailboxes have no bound.

use ::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

use super::fail;

pub struct Sum;

pub enum Add {
    Ask(u64, RpcReplyPort<u64>),
    Tell(u64),
}
impl ::ractor::Message for Add {}

impl Actor for Sum {
    type Msg = Add;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Add>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Add>, message: Add, sum: &mut u64) -> Result<(), ActorProcessingErr> {
        match message {
            Add::Ask(n, reply) => {
                *sum += n;
                let _ = reply.send(*sum);
            }
            Add::Tell(n) => *sum += n,
        }
        Ok(())
    }
}

#[derive(Clone)]
pub struct Counter(ActorRef<Add>);

pub async fn counter() -> Counter {
    Counter(Actor::spawn(None, Sum, ()).await.unwrap_or_else(fail).0)
}

impl super::Counter for Counter {
    async fn ask(&self, n: u64) -> u64 {
        call!(self.0, Add::Ask, n).unwrap_or_else(fail)
    }

    async fn tell(&self, n: u64) {
        self.0.cast(Add::Tell(n)).unwrap_or_else(fail);
    }
}
