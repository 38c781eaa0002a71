//! Whether what a register answered can be explained by one access after another.

use porcupine_rs::{Model, Operation};

use super::client::{Call, End};
use super::kinds::Access;

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

/// What a checker is told of one register's calls: who was not executed did not happen, a read whose answer
/// nobody has tells nothing, and any other may happen at any time after its call, or never.
fn operations(calls: &[Call<Access>]) -> Vec<Operation<OneRegister>> {
    let known = calls.iter().filter(|call| match call.end {
        End::Done(_) => true,
        End::Not => false,
        End::Unknown => call.what != Access::Read,
    });
    known
        .map(|call| {
            let (before, ended) = match call.end {
                End::Done(before) => (Some(before), call.ended),
                _ => (None, u64::MAX >> 1),
            };
            Operation {
                client_id: Some(call.client),
                call_time: call.called as i64,
                return_time: ended as i64,
                op: Seen { access: call.what, before },
                metadata: None,
            }
        })
        .collect()
}

/// Whether one register's calls are linearizable.
pub fn is_linearizable(calls: &[Call<Access>]) -> bool {
    porcupine_rs::check_operations(&operations(calls))
}
