//! Proof that the checks can fail: each known mistake must be noticed.

use standin::canary::Mistake;
use std::process::ExitCode;
use std::sync::Mutex;

use crate::fleet::{Summary, Terms, run_all};
use crate::model;

/// The mistake of a name.
pub fn named(name: &str) -> Option<Mistake> {
    Mistake::ALL.iter().copied().find(|mistake| format!("{mistake:?}") == name)
}

/// Two hosts of one actor for the blink of an eye, which a simulation hits once in very many runs: the model sees
/// every state, and notices these.
const SEEN_BY_THE_MODEL: [Mistake; 2] = [Mistake::GivenAwayWhileItRuns, Mistake::TakenOverWhileUp];

/// Makes every mistake (or those named) until it is caught, and prints a table.
pub fn catch_all(only: &[String], seeds: u64, terms: &Terms, jobs: usize) -> ExitCode {
    let minutes = terms.minutes;
    println!("{:<30} {:<34} {:>6} {:>8}", "mistake", "caught by", "seeds", "minutes");
    let mut missed = 0;
    for mistake in Mistake::ALL {
        let name = format!("{mistake:?}");
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        if only.is_empty() && SEEN_BY_THE_MODEL.contains(mistake) {
            let hunt = model::hunt(*mistake);
            let by = hunt.as_ref().and_then(|hunt| hunt.caught_by);
            let states = hunt.map_or(0, |hunt| hunt.states);
            println!("{name:<30} {:<34} in the model, of {states} states", by.unwrap_or("NOT CAUGHT"));
            missed += u32::from(by.is_none());
            continue;
        }
        let terms = Terms { mistake: Some(name.clone()), ..terms.clone() };
        let caught = Mutex::new((0_u64, None::<Summary>));
        run_all(0..seeds, jobs, &terms, |run| {
            let Ok(mut caught) = caught.lock() else { return true };
            caught.0 += 1;
            if run.violation.is_some() && caught.1.is_none() {
                caught.1 = Some(run);
            }
            caught.1.is_some()
        });
        let (tried, caught) = caught.into_inner().unwrap_or_default();
        let by = caught.as_ref().and_then(|run| run.violation.as_ref()).map(|v| v.invariant.as_str());
        println!("{name:<30} {:<34} {tried:>6} {:>8}", by.unwrap_or("NOT CAUGHT"), tried * minutes);
        missed += u32::from(by.is_none());
    }
    ExitCode::from(u8::from(missed > 0))
}
