//! The child: it finds out where its predecessor died, and goes on from there.

use serde::{Deserialize, Serialize};
use standin::store::RocksStore;
use std::sync::mpsc;

use super::model::{Model, check_large, forget_large, write_large};
use crate::proc::child::{next_line, say};
use crate::proc::words::WriterRole;

/// Writes under way at a time.
const IN_FLIGHT: usize = 8;
/// With every so manieth operation a large chunk is written.
const LARGE_EVERY: u64 = 12;
/// A life ends by itself after so many operations, should nobody end it.
const MAX_OPERATIONS: u64 = 2_000;

/// What the child says. A line that was said survives it.
#[derive(Serialize, Deserialize)]
pub enum Wrote {
    /// The store holds the first so many operations ([`Model::locate`]).
    Found(u64),
    Began(u64),
    Acknowledged(u64),
    /// A large chunk is there for certain.
    Large(u64),
    /// The store holds what it must not, or lacks what it must hold.
    Wrong(String),
}

pub fn write_until_killed(role: &WriterRole) {
    let store = match RocksStore::open(&role.dir) {
        Ok(store) => store,
        Err(e) => return say(&Wrote::Wrong(e.to_string())),
    };
    let (done, mut model) = match Model::locate(&store, role.seed, role.at_least, role.at_most) {
        Ok(found) => found,
        Err(why) => return say(&Wrote::Wrong(why)),
    };
    if let Err(why) = check_large(&role.large, &store) {
        return say(&Wrote::Wrong(why));
    }
    say(&Wrote::Found(done));
    // Not before: who is killed between would seem to have lost them.
    if let Err(why) = forget_large(&store) {
        return say(&Wrote::Wrong(why));
    }
    let (landed, landings) = mpsc::channel();
    let mut flying = 0;
    for n in done + 1..=done + MAX_OPERATIONS {
        if flying == IN_FLIGHT {
            let _ = landings.recv();
            flying -= 1;
        }
        let operation = model.choose(role.seed, n);
        let landed = landed.clone();
        let acknowledge = Box::new(move |result: std::io::Result<()>| {
            match result {
                Ok(()) => say(&Wrote::Acknowledged(n)),
                Err(e) => say(&Wrote::Wrong(e.to_string())),
            }
            let _ = landed.send(());
        });
        say(&Wrote::Began(n));
        if n.is_multiple_of(LARGE_EVERY) {
            let acknowledge = Box::new(move |result: std::io::Result<()>| match result {
                Ok(()) => say(&Wrote::Large(n)),
                Err(e) => say(&Wrote::Wrong(e.to_string())),
            });
            write_large(n, &store, acknowledge);
        }
        match model.perform(n, &operation, &store, acknowledge) {
            Ok(None) => flying += 1,
            Ok(Some(_promises_nothing)) => {}
            Err(e) => say(&Wrote::Wrong(e.to_string())),
        }
        model.apply(n, &operation);
    }
    while next_line().is_some() {}
}
