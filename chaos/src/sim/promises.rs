//! What is checked in a run, in order, and what became of each.

use super::{Report, Violation};
use crate::report::{Happening, Held, Verdict};

/// When a promise counts as kept, though another was broken.
#[derive(Clone, Copy)]
enum Kept {
    /// Up to that moment: it is watched all the while.
    Watched,
    /// If the run came to this part.
    Before(&'static str),
    /// Not at all: it is judged at the end.
    AtTheEnd,
}
use Kept::{AtTheEnd, Before, Watched};

/// The parts of a run.
pub(super) const FAULTS: &str = "faults begin";
pub(super) const MAJORITY: &str = "only a majority is healed";
pub(super) const GOES_ON: &str = "the majority goes on";
pub(super) const ALL: &str = "all are healed";
pub(super) const QUESTIONS: &str = "last questions";

/// Its name, what it says, and when it counts as kept.
const PROMISES: [(&str, &str, Kept); 22] = [
    ("a_cluster_starts", "A cluster without faults comes up.", Before(FAULTS)),
    ("create", "Actors are created before the faults begin.", Before(FAULTS)),
    ("raft_is_safe", "One leader a term; the same entries and state everywhere.", Watched),
    ("one_live_incarnation_per_node", "No two processes of one name hold a lease at once.", Watched),
    ("one_executing_host", "An actor runs in one place at a time.", Watched),
    ("no_write_under_an_old_epoch", "Epochs and checkpoints only go forward.", Watched),
    ("other_versions_stay_out", "Who speaks another version of the protocol is refused.", Watched),
    ("a_healed_majority_goes_on", "A majority that is mended needs nobody else.", Before(GOES_ON)),
    ("a_retired_process_learns_of_it", "Who lost its name to another learns of it.", Before(QUESTIONS)),
    ("everything_lives_again", "When all is mended, every peer and actor is well.", AtTheEnd),
    (
        "checkpoints_are_on_their_holders",
        "Who is said to hold a checkpoint holds it, whole.",
        Before(QUESTIONS),
    ),
    ("directory_is_linearizable", "All peers agree on where every actor lives.", Before(QUESTIONS)),
    ("bad_input_reaches_no_handler", "Bytes that are no message reach no actor.", Before(QUESTIONS)),
    ("executed_at_most_once", "No order is executed twice.", AtTheEnd),
    ("acknowledged_is_kept", "What was acknowledged as durable is there.", AtTheEnd),
    ("outcomes_are_true", "What was reported as not executed was not.", AtTheEnd),
    ("money_is_conserved", "What one account gives, another has, once.", AtTheEnd),
    ("reliable_messages_are_exact", "What actors send reliably arrives, once and in order.", AtTheEnd),
    ("linearizable", "One order of all accesses explains every answer.", AtTheEnd),
    ("checkers_agree", "Two checkers come to the same verdict about what is linearizable.", AtTheEnd),
    ("no_panic", "Nothing panics.", Watched),
    ("a_run_ends", "The run comes to its end.", AtTheEnd),
];

/// What became of every promise.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let broken = report.violation.as_ref();
    let noisy = report
        .entries
        .iter()
        .any(|entry| matches!(&entry.what, Happening::Struck { family, .. } if family == "Noise"));
    let came_to = |part: &str| {
        let is = |what: &Happening| matches!(what, Happening::Phase { name } if name == part);
        report.entries.iter().any(|entry| is(&entry.what))
    };
    let verdict = |(name, says, kept): (&str, &str, Kept)| {
        let (held, what) = match (broken, kept) {
            (Some(violation), _) if violation.invariant == name => (Held::Broken, violation.what.as_str()),
            _ if noisy && name == "bad_input_reaches_no_handler" => {
                (Held::Open, "noise was sent to peers on purpose")
            }
            (None, _) => (Held::Kept, ""),
            (Some(_), Watched) => (Held::Kept, "up to the end of this run"),
            (Some(_), Before(part)) if came_to(part) => (Held::Kept, ""),
            (Some(_), _) => (Held::Open, "the run ended before this was judged"),
        };
        Verdict { invariant: name.into(), says: says.into(), held, what: what.into() }
    };
    let mut all: Vec<Verdict> = PROMISES.into_iter().map(verdict).collect();
    let listed = |violation: &&Violation| PROMISES.iter().any(|(name, ..)| *name == violation.invariant);
    if let Some(Violation { invariant, what }) = broken.filter(|violation| !listed(violation)) {
        let (invariant, what) = (invariant.clone(), what.clone());
        all.push(Verdict { invariant, says: String::new(), held: Held::Broken, what });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::profile::Profile;
    use crate::report::Entry;
    use std::time::Duration;

    /// A run that came to some parts, and broke a promise or not.
    fn run(parts: &[&str], broken: Option<&str>) -> Report {
        let phase = |name: &&str| Entry { at_ms: 1, what: Happening::Phase { name: (*name).into() } };
        Report {
            plan: Plan::draw(1, Some(3), 1, Profile::Calm),
            violation: broken.map(|name| Violation::new(name, "so it is")),
            lines: vec![],
            entries: parts.iter().map(phase).collect(),
            history: Default::default(),
            struck: 0,
            simulated: Duration::from_secs(1),
            took: Duration::from_secs(1),
        }
    }

    fn held(report: &Report, name: &str) -> Held {
        verdicts(report).iter().find(|verdict| verdict.invariant == name).unwrap().held
    }

    #[test]
    fn a_promise_that_was_not_judged_is_not_called_kept() {
        let early = run(&[FAULTS], Some("one_executing_host"));
        assert_eq!(held(&early, "one_executing_host"), Held::Broken);
        assert_eq!(held(&early, "create"), Held::Kept);
        assert_eq!(held(&early, "raft_is_safe"), Held::Kept, "it was watched until then");
        assert_eq!(held(&early, "a_healed_majority_goes_on"), Held::Open);
        assert_eq!(held(&early, "linearizable"), Held::Open);
        let late = run(&[FAULTS, GOES_ON, QUESTIONS], Some("linearizable"));
        assert_eq!(held(&late, "a_healed_majority_goes_on"), Held::Kept);
        assert_eq!(held(&late, "acknowledged_is_kept"), Held::Open);
        let well = run(&[FAULTS, GOES_ON, QUESTIONS], None);
        assert!(verdicts(&well).iter().all(|verdict| verdict.held == Held::Kept));
    }

    #[test]
    fn a_promise_that_is_not_in_the_list_is_shown_too() {
        assert_eq!(held(&run(&[], Some("a_new_one")), "a_new_one"), Held::Broken);
    }
}
