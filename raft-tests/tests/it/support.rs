//! What the tests share.

use serde::{Deserialize, Serialize};
use standin::Builder;
use standin::actor::{Actor, Context, Handler, Kind, Message, Policy, When};
use std::time::Duration;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Counts what it was told.
#[derive(Serialize, Deserialize)]
pub struct Counter {
    pub n: u64,
}

impl Actor for Counter {
    const KIND: &'static str = "counter";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2 }
    }
}

#[derive(Serialize, Deserialize)]
pub struct Add(pub u64);

impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.n += n;
        self.n
    }
}

/// A peer that hosts counters.
pub fn counters(builder: Builder) -> Builder {
    builder.kind(Kind::of::<Counter>().handles::<Add>())
}

/// Shows logs with `RUST_LOG`.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
}
