//! Plans as files: written by `shrink`, read by `replay`, and by people who edit them.

use serde_json::Value;
use std::io::Read;
use std::path::Path;

use crate::plan::{Fault, Plan, WILD_DRIFT_PPM};

/// More than this is no plan, but a mistake or an attack.
const MAX_BYTES: u64 = 16 << 20;
const MAX_STEPS: usize = 100_000;
const MAX_PEERS: usize = 64;
const MAX_CLIENTS: u32 = 256;
const MAX_ACTORS: u32 = 1000;
const MAX_PARTS: u32 = 64;
/// A day.
const MAX_SECONDS: u64 = 86_400;

impl Fault {
    /// Its name and its numbers, whatever kind of fault it is.
    fn parts(&self) -> (String, serde_json::Map<String, Value>) {
        match serde_json::to_value(self) {
            Ok(Value::Object(outer)) => match outer.into_iter().next() {
                Some((name, Value::Object(fields))) => (name, fields),
                Some((name, _)) => (name, serde_json::Map::new()),
                None => Default::default(),
            },
            Ok(Value::String(name)) => (name, serde_json::Map::new()),
            _ => Default::default(),
        }
    }

    /// What kind of fault it is: the name of its variant.
    pub fn family(&self) -> String {
        self.parts().0
    }

    /// The same, over in half the time; nothing, if it has no duration worth halving.
    pub fn briefer(&self) -> Option<Self> {
        /// Shorter than this, a fault is hardly one.
        const LEAST_MS: u64 = 20;
        let (name, mut fields) = self.parts();
        let mut changed = false;
        for (key, value) in &mut fields {
            if let Some(long) =
                value.as_u64().filter(|ms| (*key == "for_ms" || *key == "away_ms") && *ms > LEAST_MS)
            {
                *value = (long / 2).max(LEAST_MS).into();
                changed = true;
            }
        }
        let whole = Value::Object([(name, Value::Object(fields))].into_iter().collect());
        changed.then(|| serde_json::from_value(whole).ok()).flatten()
    }

    fn check(&self) -> Result<(), String> {
        for (key, value) in self.parts().1 {
            let lasts = key == "for_ms" || key == "away_ms";
            let bad = match value.as_i64() {
                Some(ms) if lasts => !(2..=MAX_SECONDS as i64 * 1000).contains(&ms),
                Some(ms) if key.ends_with("_ms") => !(0..=MAX_SECONDS as i64 * 1000).contains(&ms),
                Some(ppm) if key == "ppm" => ppm.unsigned_abs() > WILD_DRIFT_PPM,
                None if key.ends_with("_ms") => true,
                _ => false,
            };
            if bad {
                return Err(format!("{key} is {value}"));
            }
        }
        Ok(())
    }
}

/// Whether a plan can be played at all, and within bounds.
fn check(plan: &Plan) -> Result<(), String> {
    let within = |what: &str, number: u64, least: u64, most: u64| match (least..=most).contains(&number) {
        true => Ok(()),
        false => Err(format!("{what} is {number}, not within {least}..={most}")),
    };
    within("peers", plan.peers as u64, 1, MAX_PEERS as u64)?;
    within("seconds", plan.seconds, 1, MAX_SECONDS)?;
    within("clients", plan.clients.into(), 0, MAX_CLIENTS.into())?;
    within("pause_ms", plan.pause_ms, 1, MAX_SECONDS * 1000)?;
    within("panics", plan.panics, 0, 100)?;
    within("stand_ins", plan.stand_ins, 0, 100)?;
    within("parts", plan.parts.into(), 0, MAX_PARTS.into())?;
    within("sync_us", plan.sync_us, 1, 10_000_000)?;
    within("snapshot_every", plan.snapshot_every, 4, 1_000_000)?;
    within("actors", plan.actors.into(), 1, MAX_ACTORS.into())?;
    within("the number of steps", plan.steps.len() as u64, 0, MAX_STEPS as u64)?;
    for (at, step) in plan.steps.iter().enumerate() {
        within("at_ms", step.at_ms, 0, MAX_SECONDS * 1000).map_err(|e| format!("step {at}: {e}"))?;
        step.fault.check().map_err(|e| format!("step {at}, {}: {e}", step.fault.family()))?;
    }
    Ok(())
}

/// The plan that a text holds.
fn parse(text: &str) -> Result<Plan, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|e| format!("this is no plan: {e}"))?;
    check(&plan).map_err(|e| format!("this plan cannot be played: {e}"))?;
    Ok(plan)
}

/// Reads a plan from a file; from standard input, if the file is `-`.
///
/// # Errors
/// A sentence for the user.
pub fn read(path: &Path) -> Result<Plan, String> {
    let mut text = String::new();
    let all = |from: &mut dyn Read, text: &mut String| from.take(MAX_BYTES + 1).read_to_string(text);
    let result = match path.to_str() {
        Some("-") => all(&mut std::io::stdin().lock(), &mut text),
        _ => std::fs::File::open(path).and_then(|mut file| all(&mut file, &mut text)),
    };
    let error = |e: String| format!("{}: {e}", path.display());
    result.map_err(|e| error(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(error(format!("more than {MAX_BYTES} bytes")));
    }
    parse(&text).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn a_plan_comes_back_from_its_text() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, None, 60, Profile::Default);
            assert_eq!(parse(&serde_json::to_string_pretty(&plan).unwrap()), Ok(plan));
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_with_a_reason() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(Plan::draw(3, None, 60, Profile::Crash)).unwrap();
            change(&mut value);
            parse(&value.to_string()).unwrap_err()
        };
        assert!(parse("\u{1b}[2J{").unwrap_err().contains("no plan"));
        assert!(with(&|v| v["peers"] = 0.into()).contains("peers is 0"));
        assert!(with(&|v| v["actors"] = 0.into()).contains("actors is 0"));
        assert!(with(&|v| v["pause_ms"] = 0.into()).contains("pause_ms"));
        assert!(with(&|v| v["peers"] = (-1).into()).contains("no plan"));
        assert!(with(&|v| v["colour"] = 1.into()).contains("unknown field"));
        let freeze =
            |ms: i64| serde_json::json!({"at_ms": 1, "fault": {"Freeze": {"who": "Leader", "for_ms": ms}}});
        assert!(with(&|v| v["steps"] = vec![freeze(1 << 62)].into()).contains("step 0, Freeze: for_ms"));
        assert!(with(&|v| v["steps"] = vec![freeze(-5)].into()).contains("no plan"));
        let drift = serde_json::json!({"at_ms": 1, "fault": {"Drift": {"who": "Leader", "ppm": 900_000}}});
        assert!(with(&|v| v["steps"] = vec![drift.clone()].into()).contains("ppm"));
    }

    #[test]
    fn a_briefer_fault_is_the_same_in_half_the_time() {
        let storm = Fault::Storm { loss: 50, duplicated: 0, delay_ms: 40, jitter_ms: 0, for_ms: 1000 };
        let half = Fault::Storm { loss: 50, duplicated: 0, delay_ms: 40, jitter_ms: 0, for_ms: 500 };
        assert_eq!(storm.briefer(), Some(half));
        assert_eq!(Fault::Ring { for_ms: 20 }.briefer(), None);
        assert_eq!(Fault::PowerCut { away_ms: 30 }.briefer(), Some(Fault::PowerCut { away_ms: 20 }));
    }
}
