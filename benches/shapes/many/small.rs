//! The actor of which there are many: 200 bytes that change.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, Context, Handler, Message, Policy, When};

const BYTES: usize = 200;

#[derive(Serialize, Deserialize)]
pub struct Small(#[serde(with = "serde_bytes")] Vec<u8>);

impl Small {
    pub fn new() -> Self {
        Self(vec![7; BYTES])
    }

    fn change(&mut self) {
        for byte in self.0.iter_mut().take(8) {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }
}

/// Half the lag that is allowed.
impl Actor for Small {
    const KIND: &'static str = "small";
    fn policy() -> Policy {
        Policy { checkpoint: When::Every(Duration::from_millis(500)), ..Policy::default() }
    }
}

/// Changes it; a checkpoint follows when it is due.
#[derive(Serialize, Deserialize)]
pub struct Change;
impl Message for Change {
    const NAME: &'static str = "change";
    type Reply = ();
}
impl Handler<Change> for Small {
    async fn handle(&mut self, Change: Change, _: &mut Context<Self>) {
        self.change();
    }
}

/// Changes it, and answers when that is durable and committed.
#[derive(Serialize, Deserialize)]
pub struct Save;
impl Message for Save {
    const NAME: &'static str = "save";
    type Reply = ();
}
impl Handler<Save> for Small {
    async fn handle(&mut self, Save: Save, ctx: &mut Context<Self>) {
        self.change();
        ctx.checkpoint().await;
    }
}
