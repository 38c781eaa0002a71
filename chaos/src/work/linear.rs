//! Whether what a register answered can be explained by one access after another.

use porcupine_rs::{Model, Operation};
use std::collections::BTreeMap;

use super::call::{Call, End};
use super::kinds::Access;
use super::opinion::{Disagreement, SHORT, is_explained};

/// An access and the value that it is said to have found, if anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    access: Access,
    before: Option<u64>,
}

#[derive(Debug, Clone)]
struct OneRegister;

impl Model for OneRegister {
    type State = u64;
    type Op = Seen;
    type Metadata = ();

    fn init() -> u64 {
        0
    }

    fn step(state: &u64, op: &Seen) -> (bool, u64) {
        (op.before.is_none_or(|before| before == *state), op.access.apply(*state))
    }
}

impl Access {
    /// What it leaves behind if it takes effect; every such value is written by one call only.
    fn writes(self) -> Option<u64> {
        match self {
            Access::Read => None,
            Access::Write(new) | Access::CompareAndSet(_, new) => Some(new),
        }
    }
}

/// What a checker is told of one register's calls. Who was not executed did not happen. Of a call whose outcome
/// nobody knows, only its value tells: if somebody found that, it took effect before that one's answer;
/// if nobody did, it may as well never have happened. (Without this, each such call would double the search.)
fn operations(calls: &[Call<Access>]) -> Vec<Operation<OneRegister>> {
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    let mut note = |value: u64, by: u64| {
        let first = found.entry(value).or_insert(by);
        *first = by.min(*first);
    };
    let mut told = Vec::new();
    for call in calls {
        if let End::Done(before) = call.end {
            note(before, call.ended);
            told.push(operation(call, Some(before), call.ended));
        }
    }
    let mut unknown: Vec<&Call<Access>> = calls.iter().filter(|call| call.end == End::Unknown).collect();
    loop {
        let known = |call: &&Call<Access>| call.what.writes().and_then(|value| found.get(&value).copied());
        let Some(at) = unknown.iter().position(|call| known(call).is_some()) else { return told };
        let call = unknown.swap_remove(at);
        let by = known(&call).unwrap_or(call.ended);
        told.push(operation(call, None, by.max(call.called + 1)));
        // It found what it compares with, before that.
        if let Access::CompareAndSet(expected, _) = call.what {
            let first = found.entry(expected).or_insert(by);
            *first = by.min(*first);
        }
    }
}

fn operation(call: &Call<Access>, before: Option<u64>, ended: u64) -> Operation<OneRegister> {
    Operation {
        client_id: Some(call.client),
        call_time: call.called as i64,
        return_time: ended as i64,
        op: Seen { access: call.what, before },
        metadata: None,
    }
}

/// The first calls of many, so few that both checkers can look at them: what was not answered before the next one
/// began is unknown.
fn beginning(calls: &[Call<Access>]) -> Option<Vec<Call<Access>>> {
    let mut all = calls.to_vec();
    all.sort_unstable_by_key(|call| call.called);
    let until = all.get(SHORT)?.called;
    all.truncate(SHORT);
    let late = |call: &&mut Call<Access>| call.ended > until;
    all.iter_mut().filter(late).for_each(|call| call.end = End::Unknown);
    Some(all)
}

/// Whether one register's calls are linearizable.
///
/// # Errors
/// If two checkers disagree about them, or about the first of them.
pub fn is_linearizable(calls: &[Call<Access>]) -> Result<bool, Disagreement> {
    let begins_well = beginning(calls).map_or(Ok(true), |some| is_explained(&operations(&some)))?;
    Ok(is_explained(&operations(calls))? && begins_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(what: Access, called: u64, ended: u64, end: End) -> Call<Access> {
        Call { client: 1, actor: 0, what, called, ended, end }
    }

    #[test]
    fn what_cannot_be_explained_is_noticed() {
        use Access::{CompareAndSet, Read, Write};
        let lost = [call(Write(1), 1, 2, End::Done(0)), call(Read, 3, 4, End::Done(0))];
        let is_linearizable = |calls: &[_]| is_linearizable(calls).unwrap();
        assert!(!is_linearizable(&lost), "an acknowledged write is gone");
        let at_once = [call(Write(1), 1, 4, End::Done(0)), call(Read, 2, 3, End::Done(0))];
        assert!(is_linearizable(&at_once));
        let maybe = |read| [call(Write(1), 1, 2, End::Unknown), call(Read, 3, 4, End::Done(read))];
        assert!(is_linearizable(&maybe(0)) && is_linearizable(&maybe(1)));
        let undone = [maybe(1)[0], maybe(1)[1], call(Read, 5, 6, End::Done(0))];
        assert!(!is_linearizable(&undone), "what was seen once is gone");
        let never = [call(Write(1), 1, 2, End::Not), call(Read, 3, 4, End::Done(1))];
        assert!(!is_linearizable(&never), "it was not executed, it was said");
        let chain = [
            call(Write(1), 1, 2, End::Unknown),
            call(CompareAndSet(1, 2), 3, 4, End::Unknown),
            call(Read, 5, 6, End::Done(2)),
        ];
        assert!(is_linearizable(&chain));
        assert!(!is_linearizable(&chain[1..]), "nobody wrote what it compares with");
    }
}
