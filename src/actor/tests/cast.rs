//! The actors that the tests put on the stage, and the stage.

use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::actor::*;

/// Where handlers and tests meet.
#[derive(Default)]
pub struct Stage {
    pub log: Mutex<Vec<&'static str>>,
    pub go: Gong,
    pub entered: Gong,
    pub saved_while_shut: AtomicU64,
    pub on_lapse: Mutex<Option<Box<dyn Fn() + Send>>>,
}

pub struct Gong(Semaphore);

impl Default for Gong {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gong {
    pub fn strike(&self) {
        self.0.add_permits(1);
    }

    pub async fn heard(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub seen: Vec<u64>,
}

impl Actor for Tally {
    const KIND: &'static str = "tally";
    const MAILBOX: usize = 4;
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 3, ..Policy::default() }
    }
}

/// The same actor under another policy, or with other troubles.
macro_rules! like_tally {
    ($($name:ident, $kind:literal, $when:expr;)*) => {$(
        #[derive(Default, Serialize, Deserialize)]
        pub struct $name(pub u64);
        impl Actor for $name {
            const KIND: &'static str = $kind;
            fn policy() -> Policy {
                Policy { checkpoint: $when, copies: 2, ..Policy::default() }
            }
        }
        impl Handler<Push> for $name {
            async fn handle(&mut self, Push(n): Push, _: &mut Context<Self>) -> usize {
                self.0 += n;
                self.0 as usize
            }
        }
        impl Handler<Save> for $name {
            async fn handle(&mut self, _: Save, ctx: &mut Context<Self>) -> usize {
                ctx.checkpoint().await;
                self.0 as usize
            }
        }
    )*};
}
like_tally! {
    EveryTwo, "every-two", When::EveryMessages(2);
    EveryTick, "every-tick", When::Every(Duration::from_millis(20));
    Forgetful, "forgetful", When::Never;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Push(pub u64);
impl Message for Push {
    const NAME: &'static str = "push";
    type Reply = usize;
}

#[derive(Serialize, Deserialize)]
pub struct All;
impl Message for All {
    const NAME: &'static str = "all";
    type Reply = Vec<u64>;
}

#[derive(Serialize, Deserialize)]
pub struct Boom;
impl Message for Boom {
    const NAME: &'static str = "boom";
    type Reply = ();
}

/// Tells the test that it was begun, and ends when the test says so.
#[derive(Serialize, Deserialize)]
pub struct Hold;
impl Message for Hold {
    const NAME: &'static str = "hold";
    type Reply = u64;
}

#[derive(Serialize, Deserialize)]
pub struct Save;
impl Message for Save {
    const NAME: &'static str = "save";
    type Reply = usize;
}

#[derive(Serialize, Deserialize)]
pub struct Quit;
impl Message for Quit {
    const NAME: &'static str = "quit";
    type Reply = ();
}

/// Does something to its own peer in the middle of a poll.
#[derive(Serialize, Deserialize)]
pub struct Slow;
impl Actor for Slow {
    const KIND: &'static str = "slow";
    fn policy() -> Policy {
        Policy { checkpoint: When::EveryMessages(1), copies: 1, ..Policy::default() }
    }
    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        ENCODED.set(ENCODED.get() + 1);
        if let Some(trouble) = ON_ENCODE.take() {
            trouble()?;
        }
        Ok(rmp_serde::to_vec(self).unwrap())
    }
}

type Trouble = Box<dyn FnOnce() -> Result<(), CodecError>>;

thread_local! {
    /// How often a [`Slow`] was encoded. Each test has a thread of its own.
    pub static ENCODED: Cell<u64> = const { Cell::new(0) };
    /// What happens when it is encoded next.
    pub static ON_ENCODE: Cell<Option<Trouble>> = const { Cell::new(None) };
}

#[derive(Serialize, Deserialize)]
pub struct Lapse;
impl Message for Lapse {
    const NAME: &'static str = "lapse";
    type Reply = ();
}

impl Handler<Lapse> for Slow {
    async fn handle(&mut self, _: Lapse, ctx: &mut Context<Self>) {
        let stage = ctx.outside().downcast_ref::<Stage>().unwrap();
        if let Some(lapse) = stage.on_lapse.lock().unwrap().take() {
            lapse();
        }
    }
}

impl Handler<Push> for Tally {
    async fn handle(&mut self, Push(n): Push, _: &mut Context<Self>) -> usize {
        self.seen.push(n);
        self.seen.len()
    }
}

impl Handler<All> for Tally {
    async fn handle(&mut self, _: All, _: &mut Context<Self>) -> Vec<u64> {
        self.seen.clone()
    }
}

impl Handler<Boom> for Tally {
    async fn handle(&mut self, _: Boom, _: &mut Context<Self>) {
        self.seen.push(666);
        panic!("boom after {}", self.seen.len());
    }
}

impl Handler<Hold> for Tally {
    async fn handle(&mut self, _: Hold, ctx: &mut Context<Self>) -> u64 {
        let epoch = ctx.epoch();
        let stage = ctx.outside().downcast_ref::<Stage>().unwrap();
        stage.log.lock().unwrap().push("begun");
        stage.entered.strike();
        stage.go.heard().await;
        stage.log.lock().unwrap().push("done");
        self.seen.push(0);
        epoch.0
    }
}

impl Handler<Save> for Tally {
    async fn handle(&mut self, _: Save, ctx: &mut Context<Self>) -> usize {
        ctx.checkpoint().await;
        self.seen.push(1);
        self.seen.len()
    }
}

impl Handler<Quit> for Tally {
    async fn handle(&mut self, _: Quit, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
