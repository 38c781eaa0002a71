//! Whether the answers that clients got were true.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{End, History};
use super::linear::is_linearizable;

/// Compares what was answered with what is there in the end: each ledger's entries, by its number.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(history: &History, ledgers: &BTreeMap<u32, Vec<u64>>) -> Result<(), (&'static str, String)> {
    for (actor, entries) in ledgers {
        let mut once = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|number| !once.insert(**number)) {
            return Err(("executed_at_most_once", format!("l{actor} executed order {twice} twice")));
        }
        for call in history.orders.iter().filter(|call| call.actor == *actor) {
            let there = once.contains(&call.what.number);
            match call.end {
                End::Done(_) if call.what.durable && !there => {
                    let what = format!("l{actor} lost order {}, acknowledged as durable", call.what.number);
                    return Err(("acknowledged_is_kept", what));
                }
                End::Not if there => {
                    let what =
                        format!("l{actor} executed order {}, reported as not executed", call.what.number);
                    return Err(("outcomes_are_true", what));
                }
                _ => {}
            }
        }
    }
    let mut registers: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for call in &history.accesses {
        registers.entry(call.actor).or_default().push(*call);
    }
    for (actor, calls) in registers {
        if !is_linearizable(&calls) {
            let what = format!("r{actor}: no order explains its {} calls", calls.len());
            return Err(("linearizable", what));
        }
    }
    Ok(())
}
