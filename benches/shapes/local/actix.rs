//! actix: one thread, and tells without a bound.

use ::actix::{Actor, Addr, Context, Handler, Message, System};

use super::{Shape, fail, one, skynet};

pub struct Sum(u64);
impl Actor for Sum {
    type Context = Context<Self>;
}

pub struct Add(u64);
impl Message for Add {
    type Result = u64;
}

impl Handler<Add> for Sum {
    type Result = u64;
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.0 += n;
        self.0
    }
}

#[derive(Clone)]
pub struct Counter(Addr<Sum>);

impl super::Counter for Counter {
    async fn ask(&self, n: u64) -> u64 {
        self.0.send(Add(n)).await.unwrap_or_else(fail)
    }

    async fn tell(&self, n: u64) {
        self.0.do_send(Add(n));
        // One thread: without a pause now and then the actor would never run, and its mailbox only grow.
        tokio::task::consume_budget().await;
    }
}

pub fn run(shape: Shape) -> (&'static str, f64) {
    System::new()
        .block_on(async move { one(shape, || async { Counter(Sum(0).start()) }, skynet::actix).await })
}
