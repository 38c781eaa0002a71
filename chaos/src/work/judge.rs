//! Whether the answers that clients got were true.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::bank::{self, Account};
use super::call::{End, History};
use super::linear::is_linearizable;
use super::names;
use super::purse::{self, Purse};
use super::ranks::{self, Job};

/// What is there in the end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Each ledger's entries, by its number.
    pub ledgers: BTreeMap<u32, Vec<u64>>,
    /// And so on.
    pub accounts: BTreeMap<u32, Account>,
    pub purses: BTreeMap<u32, Purse>,
    /// A graph's ranks, if it has any.
    pub ranks: Option<(Job, Vec<u64>)>,
}

type Verdict = Result<(), (&'static str, String)>;

/// Compares what was answered with what is there.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(history: &History, found: &Found) -> Verdict {
    orders(history, &found.ledgers)?;
    accesses(history)?;
    names::judge(&history.names)?;
    bank::judge(&history.transfers, &found.accounts)?;
    purse::judge(&history.payments, &found.purses)?;
    found.ranks.iter().try_for_each(|(job, ranks)| ranks::judge(*job, ranks))
}

fn orders(history: &History, ledgers: &BTreeMap<u32, Vec<u64>>) -> Verdict {
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
                End::Not | End::Absent | End::Exists if there => {
                    let what =
                        format!("l{actor} executed order {}, reported as not executed", call.what.number);
                    return Err(("outcomes_are_true", what));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn accesses(history: &History) -> Verdict {
    let mut registers: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for call in &history.accesses {
        registers.entry(call.actor).or_default().push(*call);
    }
    for (actor, calls) in registers {
        let explained = is_linearizable(&calls).map_err(|e| e.told(&format!("r{actor}")))?;
        if !explained {
            let what = format!("r{actor}: no order explains its {} calls", calls.len());
            return Err(("linearizable", what));
        }
    }
    Ok(())
}
