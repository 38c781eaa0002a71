//! Runs that kept their events as lines of JSON, with real processes on a real network.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::happening::{Answer, Entry, Happening};
use super::run::{Held, Run, Verdict};
use super::spread::Spread;

/// What a page is made of; more is left out.
const MOST_LINES: usize = 2_000_000;

/// One line. Those of another kind are left out.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum What {
    Run {
        seed: u64,
        minutes: f64,
    },
    Round {
        number: u64,
        phase: String,
    },
    FaultBegins {
        id: u64,
        kind: String,
        nodes: Vec<String>,
        detail: String,
    },
    FaultEnds {
        id: u64,
    },
    Process {
        node: String,
        process: u64,
        is: String,
    },
    Event {
        node: String,
        process: u64,
        event: standin::Event,
    },
    Violation {
        invariant: String,
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Line {
    at_ms: u64,
    #[serde(flatten)]
    what: What,
}

/// One call of a client.
#[derive(Deserialize)]
struct Call {
    ended_us: u64,
    end: serde_json::Value,
}

#[derive(Default)]
struct Reader {
    names: Vec<String>,
    entries: Vec<Entry>,
    verdicts: Vec<Verdict>,
    trace: BTreeMap<(u64, usize), String>,
    seed: u64,
    minutes: f64,
    /// Faults and calls.
    counts: (usize, usize),
}

/// The page of a run from its events and its clients' calls, a JSON object on each line.
///
/// # Errors
/// Which line of the events is none.
pub fn run(title: &str, events: &str, calls: &str) -> Result<Run, String> {
    let mut reader = Reader::default();
    for (at, text) in events.lines().enumerate().take(MOST_LINES) {
        let line: Line = serde_json::from_str(text).map_err(|e| format!("line {}: {e}", at + 1))?;
        reader.see(line);
    }
    // The last line of a run that was killed may be half a line.
    for call in calls.lines().take(MOST_LINES).filter_map(|line| serde_json::from_str::<Call>(line).ok()) {
        reader.call(&call);
    }
    Ok(reader.finish(title))
}

impl Reader {
    fn peer(&mut self, name: &str) -> usize {
        let known = self.names.iter().position(|other| other == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    fn note(&mut self, at_ms: u64, what: Happening) {
        self.entries.push(Entry { at_ms, what });
    }

    fn say(&mut self, at_ms: u64, text: impl std::fmt::Display) {
        let line = format!("{:>5}.{:03} {text}", at_ms / 1000, at_ms % 1000);
        self.trace.insert((at_ms, self.trace.len()), line);
    }

    fn see(&mut self, Line { at_ms, what }: Line) {
        match what {
            What::Run { seed, minutes } => (self.seed, self.minutes) = (seed, minutes),
            What::Round { number, phase } => {
                let name = format!("round {number}: {}", phase.replace('_', " "));
                self.say(at_ms, &name);
                self.note(at_ms, Happening::Phase { name });
            }
            What::FaultBegins { id, kind, nodes, detail } => {
                self.counts.0 += 1;
                self.say(at_ms, format_args!("{kind}: {detail}"));
                self.note(at_ms, Happening::Struck { fault: id, family: kind, what: detail });
                for node in nodes {
                    let peer = self.peer(&node);
                    self.note(at_ms, Happening::Hit { fault: id, peer });
                }
            }
            What::FaultEnds { id } => self.note(at_ms, Happening::Mended { fault: id }),
            What::Process { node, process: life, is } => {
                self.say(at_ms, format_args!("{node}, process {life}: {is}"));
                let peer = self.peer(&node);
                match is.as_str() {
                    "started" => {
                        self.note(at_ms, Happening::Started { peer, life, lease: false, leads: None })
                    }
                    "killed" => self.note(at_ms, Happening::Ended { peer, life }),
                    "frozen" => self.note(at_ms, Happening::Froze { peer, life }),
                    "thawed" => self.note(at_ms, Happening::Thawed { peer, life }),
                    _ => {}
                }
            }
            What::Event { node, process: life, event } => {
                self.say(at_ms, format_args!("  {node} {event:?}"));
                let peer = self.peer(&node);
                self.note(at_ms, Happening::Told { peer, life, event });
            }
            What::Violation { invariant, text } => {
                self.say(at_ms, format_args!("VIOLATION {invariant}: {text}"));
                let (says, held) = (String::new(), Held::Broken);
                self.verdicts.push(Verdict { invariant, says, held, what: text });
            }
            What::Other => {}
        }
    }

    fn call(&mut self, call: &Call) {
        let answer = match call.end.as_str() {
            Some("Not") => Answer::Not,
            Some(_) => Answer::Unknown,
            None => Answer::Ok,
        };
        self.counts.1 += 1;
        self.note(call.ended_us / 1000, Happening::Answered { answer });
    }

    fn finish(mut self, title: &str) -> Run {
        // A line may be written later than what came after it.
        self.entries.sort_by_key(|entry| entry.at_ms);
        let end_ms = self.entries.last().map_or(0, |entry| entry.at_ms) + 1;
        let timeline = super::build(&self.entries, &self.names, end_ms);
        let recoveries = Spread::of(timeline.recoveries().map(|ms| ms as f64));
        let (peers, minutes, seed) = (self.names.len(), self.minutes, self.seed);
        let mut run = Run {
            title: title.into(),
            subtitle: format!("{peers} peers, real processes; asked to last {minutes} minutes, seed {seed}"),
            version: super::version(),
            replay: vec![],
            figures: vec![
                ("took".into(), format!("{:.1} s", end_ms as f64 / 1000.0)),
                ("faults".into(), self.counts.0.to_string()),
                ("calls".into(), self.counts.1.to_string()),
            ],
            verdicts: self.verdicts,
            timeline,
            recoveries,
            trace: vec![],
            left_out: 0,
        };
        run.tell(&self.trace.into_values().collect::<Vec<_>>());
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = r#"{"at_ms":0,"minutes":4.0,"nodes":2,"seed":3,"what":"run"}
{"at_ms":44,"host":1,"is":"started","node":"peer-1","process":1,"what":"process"}
{"at_ms":50,"event":{"event":"lease_resumed"},"node":"peer-1","process":1,"what":"event"}
{"at_ms":90,"detail":"Kill","id":1,"kind":"sudden death","nodes":["peer-1"],"what":"fault_begins"}
{"at_ms":95,"host":1,"is":"killed","node":"peer-1","process":1,"what":"process"}
{"at_ms":99,"what":"something new","more":[1]}
{"at_ms":120,"id":1,"kind":"sudden death","what":"fault_ends"}
{"at_ms":130,"invariant":"linearizable","text":"<r0>","what":"violation"}
"#;

    #[test]
    fn events_and_calls_of_real_processes_become_the_same_page() {
        let calls =
            "{\"ended_us\":61000,\"end\":{\"Done\":3}}\n{\"ended_us\":99000,\"end\":\"Unknown\"}\n{\"en";
        let run = run("a run", EVENTS, calls).unwrap();
        let line = &run.timeline;
        assert_eq!(line.peers[0].bands.iter().map(|band| band.from_ms).collect::<Vec<_>>(), [0, 44, 50, 95]);
        assert_eq!(
            (line.faults[0].from_ms, line.faults[0].to_ms, &line.faults[0].peers[..]),
            (90, 120, &[0][..])
        );
        assert_eq!((line.calls.ok[0], line.calls.unknown[0]), (1, 1));
        assert_eq!((run.verdicts[0].held, run.verdicts.len()), (Held::Broken, 1));
        assert!(run.html().contains("\\u003cr0\\u003e") && !run.html().contains("<r0>"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        assert!(run("a run", &format!("{EVENTS}garbage"), "").unwrap_err().starts_with("line 9: "));
    }
}
