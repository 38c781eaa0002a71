//! What happened on the way: a model in which nothing happens breaks no promise.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use standin::core::command::{Refused, Response};

use super::log::is_stale;
use super::parts::Wish;

/// How many steps did each thing, over all states.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    fn add(&self, what: &'static str) {
        if let Ok(mut counts) = self.0.lock() {
            *counts.entry(what).or_default() += 1;
        }
    }

    pub fn grants(&self) {
        self.add("grants");
    }

    pub fn lapses(&self) {
        self.add("lapses");
    }

    /// One entry was applied.
    pub fn applied(&self, wish: &Wish, response: Option<&Response>) {
        let refused = match response {
            Some(Response::Refused(why)) => Some(*why),
            Some(Response::Items(answers)) => {
                answers.iter().find_map(|answer| answer.as_ref().err().copied())
            }
            _ => None,
        };
        self.add(match refused {
            Some(Refused::TooFewCopies) => "refused for too few copies",
            Some(why) if is_stale(why) => "refused as too late",
            Some(_) => "refused for other reasons",
            None => match wish {
                Wish::Blank => return,
                Wish::Voters(_) => "changes of the voters",
                Wish::MarkDown { .. } => "marked down",
                Wish::MarkUp { .. } => "marked up",
                Wish::Admit { disk: None, .. } => "admitted on a fresh disk",
                Wish::Admit { .. } => "admitted on the old disk",
                Wish::Leave { .. } => "left",
                Wish::TakeOver { .. } => "taken over after a while",
                Wish::HandOver { .. } => "handed over",
                Wish::Create { .. } => "created",
                Wish::Commit { .. } => "checkpoints committed",
                Wish::Restart { .. } => "restarted",
                Wish::Stop { .. } => "stopped",
                Wish::Hold { .. } => "copies repaired",
            },
        });
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(counts) = self.0.lock() else { return Ok(()) };
        let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        write!(f, "{}", parts.join(", "))
    }
}
