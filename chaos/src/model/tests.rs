use super::report::explore;
use super::scopes::SMALL;

const MAX_STATES: usize = 10_000_000;

#[test]
fn no_promise_is_broken_in_any_state_of_a_small_cluster() {
    for scope in SMALL {
        let outcome = explore(scope.bounds, None, MAX_STATES).unwrap();
        assert!(outcome.is_whole, "{}: {} states", scope.name, outcome.states);
        assert!(outcome.broken.is_empty(), "{}: {:?}", scope.name, outcome.broken);
    }
}

#[test]
fn known_mistakes_are_noticed() {
    for scope in SMALL {
        for mistake in scope.mistakes {
            let outcome = explore(scope.bounds, Some(*mistake), MAX_STATES).unwrap();
            assert!(!outcome.broken.is_empty(), "{mistake:?} in {}", scope.name);
        }
    }
}
