//! Scripts about the replicated state: each command is one log entry, each answer is what applying it said.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{check_folder, name, number, run};
use crate::core::apply::{At, Changes, Saved};
use crate::core::command::{Admit, Checkpoint, Command, Commit, Create, HandOver, Held, Settings};
use crate::core::disks::Disks;
use crate::core::state::State;
use crate::id::{ActorId, ClusterId, Epoch, Incarnation, NodeId, RaftId};
use crate::limits::MAX_MEMBERS;

#[derive(Default)]
struct World {
    state: State,
    at: u64,
    term: u64,
}

/// What follows a command's fixed words: `key=value`, in any order.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn of(words: &[&'a str]) -> Self {
        Self(words.iter().map(|word| word.split_once('=').unwrap()).collect())
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.0.get(key).map(|value| number(value))
    }

    fn need(&self, key: &str) -> u64 {
        self.get(key).unwrap_or_else(|| panic!("{key} is missing"))
    }

    fn disks(&self, key: &str) -> Disks {
        let list = self.0.get(key).copied().unwrap_or_default();
        list.split(',').filter(|id| !id.is_empty()).map(|id| RaftId(number(id))).collect()
    }
}

impl World {
    fn command(&mut self, words: &[&str]) -> String {
        let command = match words {
            ["term", term] => {
                self.term = number(term);
                return String::new();
            }
            ["show"] => return self.show(),
            ["snapshot"] => {
                let bytes = rmp_serde::to_vec(&self.state).unwrap();
                self.state = rmp_serde::from_slice(&bytes).unwrap();
                return String::new();
            }
            ["found"] => {
                let settings = Settings { lease_ms: 1000, max_voters: 15 };
                Command::Found { cluster_id: ClusterId([7; 16]), settings }
            }
            ["admit", node, options @ ..] => self.admit(node, &Options::of(options)),
            ["mark-down", life, options @ ..] => {
                let (node, incarnation) = parse_life(life);
                let term = Options::of(options).get("decided").unwrap_or(self.term);
                Command::MarkDown { node, incarnation, term, silent_ms: 1500 }
            }
            ["mark-up", life, options @ ..] => {
                let (node, incarnation) = parse_life(life);
                let term = Options::of(options).get("decided").unwrap_or(self.term);
                Command::MarkUp { node, incarnation, term }
            }
            ["leave", life] => {
                let (node, incarnation) = parse_life(life);
                Command::Leave { node, incarnation }
            }
            ["take-over", life, options @ ..] => {
                let (node, incarnation) = parse_life(life);
                let options = Options::of(options);
                let term = options.get("decided").unwrap_or(self.term);
                Command::TakeOver { node, incarnation, term, away_ms: options.need("away") }
            }
            ["hand-over", by, actor, options @ ..] => {
                let options = Options::of(options);
                let item = HandOver {
                    actor: id(actor),
                    epoch: Epoch(options.need("epoch")),
                    to: name(options.0["to"]),
                    by_hand: options.get("by-hand").is_some(),
                };
                Command::HandOver { by: Incarnation(number(by)), items: vec![item] }
            }
            ["create", by, actor, nonce, options @ ..] => {
                let after = Options::of(options).get("stand-in").map(|ms| u32::try_from(ms).unwrap());
                let items =
                    vec![Create { actor: id(actor), nonce: number(nonce).into(), stand_in_ms: after }];
                Command::Create { by: Incarnation(number(by)), items }
            }
            ["commit", by, actor, options @ ..] => {
                let items = vec![commit(actor, &Options::of(options))];
                Command::Commit { by: Incarnation(number(by)), items }
            }
            ["restart", by, actor, options @ ..] => {
                let options = Options::of(options);
                let (epoch, gives_up) = (Epoch(options.need("epoch")), options.get("gives-up").is_some());
                Command::Restart { by: Incarnation(number(by)), actor: id(actor), epoch, gives_up }
            }
            ["revive", actor, options @ ..] => {
                Command::Revive { actor: id(actor), life: Options::of(options).need("life") }
            }
            ["stop", actor, options @ ..] => {
                let options = Options::of(options);
                let by = options.get("by").map(Incarnation);
                Command::Stop { actor: id(actor), life: options.need("life"), by }
            }
            ["open", by, nonce, options @ ..] => {
                let resume = Options::of(options).get("resume");
                Command::OpenSession { by: Incarnation(number(by)), nonce: number(nonce).into(), resume }
            }
            ["close", session] => Command::CloseSessions { sessions: vec![number(session)] },
            ["holds", actor, options @ ..] => {
                Command::AddHolders { items: vec![held(actor, &Options::of(options))], repair: false }
            }
            ["repaired", actor, options @ ..] => {
                Command::AddHolders { items: vec![held(actor, &Options::of(options))], repair: true }
            }
            ["lacks", actor, options @ ..] => {
                Command::DropHolders { items: vec![held(actor, &Options::of(options))] }
            }
            _ => panic!("no such command: {words:?}"),
        };
        self.apply(command)
    }

    fn admit(&self, node: &str, options: &Options<'_>) -> Command {
        Command::Admit(Admit {
            node: name(node),
            addr: ([127, 0, 0, 1], 1000).into(),
            raft_id: options.get("disk").map(RaftId),
            nonce: options.need("nonce").into(),
            kinds: options.0.get("kinds").unwrap_or(&"k").split(',').map(str::to_owned).collect(),
            labels: options.0.get("zone").map(|zone| ("zone".into(), (*zone).into())).into_iter().collect(),
            replaces: options.get("replaces").map(Incarnation),
            term: options.get("decided").unwrap_or(self.term),
            silent_ms: options.get("silent").unwrap_or(0),
        })
    }

    fn apply(&mut self, command: Command) -> String {
        self.at += 1;
        let mut changes = Changes::default();
        let response = self.state.apply(At { index: self.at, term: self.term }, &command, &mut changes);
        let mut out = format!("{}: {response:?}\n", self.at);
        for event in &changes.events {
            writeln!(out, "   event {event:?}").unwrap();
        }
        let mut seen: Vec<String> = changes.actors.iter().map(ActorId::to_string).collect();
        if changes.members {
            seen.insert(0, "the members".into());
        }
        if !seen.is_empty() {
            writeln!(out, "   look at {}", seen.join(", ")).unwrap();
        }
        for Saved { actor, before: (epoch, c), .. } in &changes.saved {
            writeln!(out, "   {actor} was saved, and {epoch}.{} is old", c.seq).unwrap();
        }
        out
    }

    fn show(&self) -> String {
        let mut out = String::new();
        for (node, m) in &self.state.members {
            writeln!(out, "   {node}/{} disk {} {:?}", m.incarnation, m.raft_id, m.standing).unwrap();
        }
        let mut lines: Vec<_> = self.state.actors.iter().collect();
        lines.sort_by_key(|line| line.name);
        for line in lines {
            let (actor, a) = (line.id(), line.actor());
            let host = a.host.map_or("none".into(), |host| host.to_string());
            let at = format!("home {} host {host} epoch {} life {}", a.home, a.epoch, a.life);
            let kept = match &a.checkpoint {
                None => "unborn".into(),
                Some((epoch, c)) => {
                    let disks: Vec<String> = c.holders.iter().map(|disk| disk.to_string()).collect();
                    format!("checkpoint {epoch}.{} on [{}]", c.seq, disks.join(" "))
                }
            };
            let lost = if a.lost { ", lost" } else { "" };
            let stopping = if a.stopping { ", stopping" } else { "" };
            let failed = if a.failed { ", failed" } else { "" };
            let by_hand = if a.by_hand { ", by hand" } else { "" };
            writeln!(out, "   {actor} {at}, {kept}{lost}{failed}{stopping}{by_hand}").unwrap();
        }
        for (number, session) in &self.state.sessions {
            writeln!(out, "   session {number} of {}", session.by).unwrap();
        }
        out
    }
}

fn id(word: &str) -> ActorId {
    ActorId::new("k", word).unwrap()
}

/// `a/5`: node and incarnation.
fn parse_life(word: &str) -> (NodeId, Incarnation) {
    let (node, incarnation) = word.split_once('/').unwrap();
    (name(node), Incarnation(number(incarnation)))
}

fn commit(actor: &str, options: &Options<'_>) -> Commit {
    let digest = [u8::try_from(options.get("digest").unwrap_or(0)).unwrap(); 32];
    let checkpoint =
        Checkpoint { seq: options.need("seq"), digest, length: 10, copies: 2, holders: options.disks("on") };
    let required = u8::try_from(options.get("required").unwrap_or(0)).unwrap();
    Commit { actor: id(actor), epoch: Epoch(options.need("epoch")), checkpoint, required }
}

fn held(actor: &str, options: &Options<'_>) -> Held {
    Held {
        actor: id(actor),
        epoch: Epoch(options.need("epoch")),
        seq: options.need("seq"),
        holder: RaftId(options.need("disk")),
    }
}

#[test]
fn there_are_never_more_members_than_the_limit() {
    let mut world = World::default();
    world.command(&["found"]);
    world.command(&["admit", "n0", "nonce=0", "disk=0"]);
    for n in 1..=MAX_MEMBERS {
        world.command(&["admit", &format!("n{n}"), &format!("nonce={n}")]);
    }
    assert_eq!(world.state.members.len(), MAX_MEMBERS);
    let answer = world.command(&["admit", "n5", "nonce=999999", "replaces=7"]);
    assert!(answer.contains("PeerReplaced"), "a name that is known can still be replaced: {answer}");
}

#[test]
fn applying_the_log_gives_the_answers_written_in_the_scripts() {
    check_folder("src/core/scenarios/apply", 18, |script| {
        let mut world = World::default();
        run(script, |words| world.command(words))
    });
}
