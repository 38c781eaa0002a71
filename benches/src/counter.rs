//! The actor that all shapes of this library talk to.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, Context, Handler, Kind, KindOf, Message};

/// Adds up what it is sent.
#[derive(Serialize, Deserialize)]
pub struct Sum(pub u64);
impl Actor for Sum {
    const KIND: &'static str = "sum";
}

/// Answered with the sum.
#[derive(Serialize, Deserialize)]
pub struct Add(pub u64);
impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

/// Answered with its length.
#[derive(Serialize, Deserialize)]
pub struct Long(#[serde(with = "serde_bytes")] pub Vec<u8>);
impl Message for Long {
    const NAME: &'static str = "long";
    type Reply = u64;
}

impl Handler<Add> for Sum {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.0 += n;
        self.0
    }
}

impl Handler<Long> for Sum {
    async fn handle(&mut self, Long(bytes): Long, _: &mut Context<Self>) -> u64 {
        bytes.len() as u64
    }
}

impl Sum {
    /// The kind, with all that it handles.
    pub fn kind() -> KindOf<Self> {
        Kind::of::<Self>().handles::<Add>().handles::<Long>()
    }
}
