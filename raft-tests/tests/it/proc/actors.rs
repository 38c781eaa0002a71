//! The actor of these tests. It leaves a trace outside the cluster of every step that it takes.

use serde::{Deserialize, Serialize};
use standin::actor::{Actor, Context, Handler, Message, Policy, When};
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

/// The file that all processes of a test append to. A line is written in one call, so the order of
/// the lines is the order of what happened.
static JOURNAL: OnceLock<File> = OnceLock::new();

pub fn keep_journal(file: File) {
    drop(JOURNAL.set(file));
}

/// Between two steps of a walk.
const STEP: Duration = Duration::from_millis(1);

/// Keeps the tokens that it was sent.
#[derive(Default, Serialize, Deserialize)]
pub struct Keeper {
    tokens: Vec<u64>,
}

impl Actor for Keeper {
    const KIND: &'static str = "keeper";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
    }
}

fn record(ctx: &Context<Keeper>, what: &str, token: u64) {
    let line = format!("{} {} {} {what} {token}\n", ctx.me().key(), ctx.epoch(), std::process::id());
    if let Some(mut journal) = JOURNAL.get() {
        journal.write_all(line.as_bytes()).expect("the journal takes a line");
    }
}

#[derive(Serialize, Deserialize)]
pub struct Note(pub u64);

impl Message for Note {
    const NAME: &'static str = "note";
    type Reply = ();
}

impl Handler<Note> for Keeper {
    async fn handle(&mut self, Note(token): Note, ctx: &mut Context<Self>) {
        record(ctx, "note", token);
        self.tokens.push(token);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Walk {
    pub token: u64,
    pub steps: u32,
}

impl Message for Walk {
    const NAME: &'static str = "walk";
    type Reply = ();
}

impl Handler<Walk> for Keeper {
    async fn handle(&mut self, Walk { token, steps }: Walk, ctx: &mut Context<Self>) {
        record(ctx, "note", token);
        for _ in 0..steps {
            tokio::time::sleep(STEP).await;
            record(ctx, "step", token);
        }
        self.tokens.push(token);
    }
}

#[derive(Serialize, Deserialize)]
pub struct Read;

impl Message for Read {
    const NAME: &'static str = "read";
    type Reply = Vec<u64>;
}

impl Handler<Read> for Keeper {
    async fn handle(&mut self, _: Read, _: &mut Context<Self>) -> Vec<u64> {
        self.tokens.clone()
    }
}
