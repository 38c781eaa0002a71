//! Two checkers on what is linearizable. What is short is told to both, and they must agree: a verdict that hangs on
//! one program's search is worth as much as that program.

use porcupine_rs::{Model, Operation};
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

/// More is told to the first checker alone: the second one has no bound on its search.
pub const SHORT: usize = 60;

/// Both checkers' verdicts, if they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disagreement {
    first: bool,
    second: bool,
}

impl Disagreement {
    /// The promise that is broken, and how.
    pub fn told(self, whose: &str) -> (&'static str, String) {
        let Self { first, second } = self;
        let what = format!(
            "{whose}: porcupine-rs says {first}, todc-utils {second}, to whether one order explains it"
        );
        ("checkers_agree", what)
    }
}

/// The model of the first, as the second wants it.
struct Same<M>(PhantomData<M>);

impl<M> Specification for Same<M>
where
    M: Model,
    M::State: Clone + Debug + Eq + Hash,
    M::Op: Clone + Debug,
{
    type State = M::State;
    type Operation = M::Op;

    fn init() -> M::State {
        M::init()
    }

    fn apply(operation: &M::Op, state: &M::State) -> (bool, M::State) {
        M::step(state, operation)
    }
}

/// What was done as calls and answers in order of time. At one moment, calls come first.
fn actions<M: Model<Op: Clone>>(operations: &[Operation<M>]) -> Vec<(usize, Action<M::Op>)> {
    let mut all: Vec<(i64, bool, usize)> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        all.push((operation.call_time, false, number));
        all.push((operation.return_time, true, number));
    }
    all.sort_unstable();
    let action = |(_, returns, number): (i64, bool, usize)| {
        let op = operations[number].op.clone();
        // Each is a process of its own: one client's may overlap where its outcome is unknown.
        (number, if returns { Action::Response(op) } else { Action::Call(op) })
    };
    all.into_iter().map(action).collect()
}

/// Whether one order explains it all.
///
/// # Errors
/// If it is short, and the checkers disagree.
pub fn is_explained<M>(operations: &[Operation<M>]) -> Result<bool, Disagreement>
where
    M: Model,
    M::State: Clone + Debug + Eq + Hash,
    M::Op: Clone + Debug,
{
    let first = porcupine_rs::check_operations(operations);
    // Of nothing the second one cannot make a history.
    if operations.is_empty() || operations.len() > SHORT {
        return Ok(first);
    }
    let second = WGLChecker::<Same<M>>::is_linearizable(History::from_actions(actions(operations)));
    if first == second { Ok(first) } else { Err(Disagreement { first, second }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static ASKED: Cell<u32> = const { Cell::new(0) };
    }

    /// Says yes to whoever asks first, and no ever after.
    #[derive(Debug, Clone)]
    struct Fickle;

    impl Model for Fickle {
        type State = ();
        type Op = ();
        type Metadata = ();

        fn init() {}

        fn step((): &(), (): &()) -> (bool, ()) {
            (ASKED.replace(1) == 0, ())
        }
    }

    fn once() -> Operation<Fickle> {
        Operation { client_id: Some(1), call_time: 1, return_time: 2, op: (), metadata: None }
    }

    #[test]
    fn a_disagreement_is_told() {
        assert_eq!(is_explained(&[once()]), Err(Disagreement { first: true, second: false }));
        let (promise, what) = Disagreement { first: true, second: false }.told("r1");
        assert_eq!(promise, "checkers_agree");
        assert!(what.starts_with("r1: "));
        assert_eq!(is_explained(&[once()]), Ok(false), "it has made up its mind");
    }

    #[test]
    fn nothing_is_explained_and_what_is_long_is_left_to_the_first() {
        assert_eq!(is_explained::<Fickle>(&[]), Ok(true));
        ASKED.set(0);
        assert_eq!(is_explained(&vec![once(); SHORT + 1]), Ok(false));
    }
}
