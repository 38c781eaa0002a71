//! Runs the scenario scripts beside this file: small histories of one leader (raft id 1) and the peers
//! that it grants, on virtual time, with the expected answers written below each step.
//!
//! A script is made of blocks: commands, `----`, expected output, an empty line. `#` begins a comment.
//! With `STANDIN_REWRITE=1` in the environment the expected output is written anew instead of compared;
//! read the difference before it is committed. The commands are the match arms of [`World::command`].

mod apply;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lease::{
    Admission, Effect, Flight, Grant, Granter, Input, MemberView, PeerInput, PeerLease, Status,
};
use crate::clock::Mono;
use crate::id::{Incarnation, NodeId, RaftId};

struct Peer {
    lease: PeerLease,
    seq: u64,
    answer: Option<(u64, Grant)>,
}

struct World {
    now: Mono,
    leader: Granter,
    peers: BTreeMap<String, Peer>,
}

impl World {
    fn new() -> Self {
        let leader = Granter::new(RaftId(1), Duration::from_secs(1));
        Self { now: Mono(0), leader, peers: BTreeMap::new() }
    }

    fn command(&mut self, words: &[&str]) -> String {
        match words {
            ["at", ms] => {
                self.now = Mono(number(ms) * 1_000_000);
                String::new()
            }
            ["start-raft"] => self.step(Input::RaftStarted),
            ["lead", term] => self.step(Input::BecameLeader { term: number(term) }),
            ["follow"] => self.step(Input::LostLeadership),
            ["own-entry-applied", term, index] => {
                self.step(Input::AppliedTerm { term: number(term), index: number(index) })
            }
            ["voters", sets @ ..] => {
                let set =
                    |ids: &[&str]| -> BTreeSet<RaftId> { ids.iter().map(|id| RaftId(number(id))).collect() };
                self.step(Input::Voters(sets.split(|word| *word == "/").map(set).collect()))
            }
            ["members", index, members @ ..] => {
                let members = members.iter().map(|member| parse_member(member)).collect();
                self.step(Input::MembersApplied { index: number(index), members })
            }
            ["probe"] => self.step(Input::ProbeStart),
            ["ack", from, term, n] => {
                self.step(Input::ProbeAck { from: RaftId(number(from)), term: number(term), n: number(n) })
            }
            ["begin", node, what, term] => {
                self.step(Input::Begin { node: name(node), what: flight(what), term: number(term) })
            }
            ["end", node, what, term, at] => {
                let at = (*at != "never").then(|| number(at));
                self.step(Input::End { node: name(node), what: flight(what), term: number(term), at })
            }
            ["tick"] => self.step(Input::Tick),
            ["admission", node] => admission(self.leader.admission(&name(node), self.now)),
            ["admit", node] => admission(self.leader.admit(&name(node), self.now)),
            ["confirmed-since", ms] => {
                format!("{}\n", self.leader.confirmed_since(Mono(number(ms) * 1_000_000)))
            }
            ["beat", life] => self.beat(life),
            ["deliver", node] => self.deliver(node),
            ["applied", node, index] => self.peer(node, PeerInput::Applied { index: number(index) }),
            ["retire", node] => self.peer(node, PeerInput::Retired),
            ["lease", node] => self.lease(node),
            _ => panic!("no such command: {words:?}"),
        }
    }

    fn step(&mut self, input: Input) -> String {
        let effects = self.leader.step(input, self.now);
        effects.iter().map(|effect| self.show(effect)).collect()
    }

    fn show(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Probe { term, n, to } => {
                let to: Vec<String> = to.iter().map(RaftId::to_string).collect();
                format!("probe {n} of term {term} to {}\n", to.join(" "))
            }
            Effect::Grant { node, incarnation, seq, grant } => {
                self.peers.get_mut(node.as_str()).unwrap().answer = Some((*seq, *grant));
                let Grant { term, quorum_age, lease, applied } = grant;
                format!(
                    "grant {node}/{incarnation} seq {seq}: term {term}, lease {lease:?}, quorum age {quorum_age:?}, \
                     applied {applied}\n"
                )
            }
            Effect::Refuse { node, incarnation, seq, reason } => {
                format!("refuse {node}/{incarnation} seq {seq}: {reason:?}\n")
            }
            Effect::Lapsed { node, incarnation, term, silent } => {
                format!("lapsed {node}/{incarnation} in term {term}, silent for {silent:?}\n")
            }
        }
    }

    /// The peer sends its next heartbeat, and the leader gets it at the same moment.
    fn beat(&mut self, life: &str) -> String {
        let (node, incarnation) = life.split_once('/').unwrap();
        let new = || Peer { lease: PeerLease::new(), seq: 0, answer: None };
        let peer = self.peers.entry(node.to_owned()).or_insert_with(new);
        peer.seq += 1;
        let seq = peer.seq;
        peer.lease.step(PeerInput::Sent { seq, now: self.now });
        let (node, incarnation) = (name(node), Incarnation(number(incarnation)));
        self.step(Input::Heartbeat { node, incarnation, seq, applied: 0 })
    }

    /// The last grant arrives at the peer.
    fn deliver(&mut self, node: &str) -> String {
        let (seq, grant) = self.peers[node].answer.unwrap();
        self.peer(node, PeerInput::Granted { seq, grant })
    }

    fn peer(&mut self, node: &str, input: PeerInput) -> String {
        self.peers.get_mut(node).unwrap().lease.step(input);
        self.lease(node)
    }

    fn lease(&self, node: &str) -> String {
        match self.peers[node].lease.valid_until() {
            Some(end) if end > self.now => format!("{node} holds a lease until {} ms\n", end.0 / 1_000_000),
            Some(end) => format!("{node} holds no lease since {} ms\n", end.0 / 1_000_000),
            None => format!("{node} holds no lease\n"),
        }
    }
}

fn admission(answer: Admission) -> String {
    match answer {
        Admission::Free { term } => format!("free in term {term}\n"),
        Admission::Wait { retry_after, last_heard } => {
            format!("wait {} ms, last heard {last_heard:?}\n", retry_after.as_millis())
        }
        Admission::NotReady { retry_after } => format!("not ready, wait {} ms\n", retry_after.as_millis()),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("not a number: {word}"))
}

fn name(word: &str) -> NodeId {
    NodeId::new(word).unwrap()
}

fn flight(word: &str) -> Flight {
    match word {
        "mark-down" => Flight::MarkDown,
        "admit" => Flight::Admit,
        "retire" => Flight::Retire,
        "leave" => Flight::Leave,
        _ => panic!("no such flight: {word}"),
    }
}

/// `a/5:up`: node, incarnation, status.
fn parse_member(word: &str) -> (NodeId, MemberView) {
    let (node, rest) = word.split_once('/').unwrap();
    let (incarnation, status) = rest.split_once(':').unwrap();
    let status = match status {
        "up" => Status::Up,
        "down" => Status::Down,
        "left" => Status::Left,
        _ => panic!("no such status: {status}"),
    };
    (name(node), MemberView { incarnation: Incarnation(number(incarnation)), status })
}

/// Runs a script and returns it with the output that it really gave.
fn run(script: &str, mut command: impl FnMut(&[&str]) -> String) -> String {
    let mut blocks = Vec::new();
    for block in script.trim().split("\n\n") {
        let Some((commands, _)) = block.split_once("----") else {
            blocks.push(block.to_owned());
            continue;
        };
        let mut output = String::new();
        for line in commands.lines() {
            let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
            if !words.is_empty() {
                output += &command(&words);
            }
        }
        let output = if output.is_empty() { "ok\n" } else { &output };
        blocks.push(format!("{commands}----\n{}", output.trim_end()));
    }
    blocks.join("\n\n") + "\n"
}

/// Runs every script of a folder and compares, or rewrites it.
fn check_folder(folder: &str, least: usize, play: impl Fn(&str) -> String) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    scripts.sort();
    assert!(scripts.len() >= least, "scripts are missing");
    let mut wrong = Vec::new();
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let real = play(&script);
        if std::env::var_os("STANDIN_REWRITE").is_some() {
            std::fs::write(&path, &real).unwrap();
        } else if script != real {
            let differs = script.lines().zip(real.lines()).find(|(expected, real)| expected != real);
            wrong.push(format!("{}: expected, real: {differs:#?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scenario_scripts_give_the_answers_written_in_them() {
    check_folder("src/core/scenarios", 10, |script| {
        let mut world = World::new();
        run(script, |words| world.command(words))
    });
}
