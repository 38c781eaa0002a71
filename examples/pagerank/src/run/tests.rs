//! Runs with peers that are shell scripts: they say what a peer says, and one of them computes
//! nothing but the ranks of `a -> b`, which are known.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::cli::Cli;
use crate::graph::parse;
use clap::Parser;

/// Joins; reaches iteration 2; answers for partition 0, homed at worker-1, and for its own.
const FAKE: &str = r#"#!/bin/sh
node=$3
say() { echo "{\"say\":$1}"; }
saw() { say "\"saw\",\"event\":{\"what\":$1,\"node\":\"worker-2\"}"; }
say "\"listening\",\"addr\":\"127.0.0.1:${node#worker-}\""
echo "$@" >> "$DIR/$node.args"
say '"joined"'
say '"saw","event":{"what":"leader","node":"worker-1","term":1}'
if [ "$(wc -l < "$DIR/$node.args")" = 2 ]; then
  say '"saw","event":{"what":"recovered","actor":"partition/1"}'
  say '"saw","event":{"what":"recovered","actor":"links/1"}'
fi
step=0
while read -r line; do
  case "$line" in
    *create*) say '"created"' ;;
    *await*) say "\"reached\",\"iteration\":$step"
            step=$((step + 1)) ;;
    *probe*) saw '"down"'; saw '"replaced"'
            say '"answer","partition":1,"iteration":0,"sum":SUM' ;;
    *collect*) say '"ranks","partition":0,"first":0,"ranks":[RANK_A]'
            say '"ranks","partition":1,"first":0,"ranks":[RANK_B]'
            say '"collected"' ;;
    *) exit 3 ;;
  esac
done
"#;

struct Stage {
    dir: tempfile::TempDir,
    graph: Graph,
}

impl Stage {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), graph: parse("a\tb\n").unwrap() }
    }

    async fn run(&self, flags: &str, script: &str) -> (Result<Summary, String>, String) {
        let mut reference = rank::Reference::new(&self.graph, rank::Jumps::Anywhere);
        (0..2).for_each(|_| reference.step());
        let script = script
            .replace("$DIR", self.dir.path().to_str().unwrap())
            .replace("SUM", &rank::ONE.to_string())
            .replace("RANK_A", &reference.ranks()[0].to_string())
            .replace("RANK_B", &reference.ranks()[1].to_string());
        let program = self.dir.path().join("peer");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let line = format!("pagerank --iterations 2 --partitions 2 --peers 3 {flags}");
        let args = Cli::try_parse_from(line.split_whitespace()).unwrap().run;
        let issue: Issue =
            Box::new(|node, dir| fs::write(dir.join("key"), node.as_str()).map_err(|e| e.to_string()));
        let dir = self.dir.path().to_owned();
        let mut out = Vec::new();
        let result =
            run(&args, &self.graph, Setup { program, dir, issue, style: Style::Plain, out: &mut out }).await;
        (result, String::from_utf8(out).unwrap())
    }

    fn starts_of(&self, node: &str) -> Vec<String> {
        let args = fs::read_to_string(self.dir.path().join(format!("{node}.args"))).unwrap();
        args.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_run_without_failures_ends_with_the_ranks() {
    let stage = Stage::new();
    let (summary, out) = stage.run("", FAKE).await;
    let summary = summary.unwrap();
    assert!(summary.matches && summary.kills.is_empty(), "{out}");
    assert_eq!((summary.iterations, summary.top.len()), (2, 2));
    assert!(stage.starts_of("worker-1")[0].contains("--bootstrap"));
    assert!(stage.starts_of("worker-3")[0].contains("--contacts 127.0.0.1:1"));
}

#[tokio::test]
async fn a_killed_peer_is_replaced_and_every_moment_is_measured() {
    let stage = Stage::new();
    let (summary, out) = stage.run("--kill worker-2@1", FAKE).await;
    let kill = summary.expect(&out).kills.remove(0);
    assert_eq!((kill.node.as_str(), kill.iteration, kill.actors), ("worker-2", 1, 2), "{out}");
    for moment in [kill.detect_ms, kill.admit_ms, kill.restore_ms, kill.answer_ms] {
        assert!(moment.is_some(), "{out}");
    }
    let starts = stage.starts_of("worker-2");
    assert!(starts[1].contains("--listen 127.0.0.1:0") && !starts[1].contains("--bootstrap"), "{starts:?}");
    assert!(starts[1].contains("--contacts 127.0.0.1:1,127.0.0.1:3"), "{starts:?}");
    assert!(out.contains("its directory is deleted"), "{out}");
}

#[tokio::test]
async fn the_replacement_gets_the_disk_and_port_that_were_asked_for() {
    let stage = Stage::new();
    let (summary, out) = stage.run("--kill worker-2@0 --replace disk --same-port --after 0.2", FAKE).await;
    let kill = summary.expect(&out).kills.remove(0);
    assert!(kill.restore_ms.unwrap() >= 200, "{out}");
    assert!(stage.starts_of("worker-2")[1].contains("--listen 127.0.0.1:2"));
    assert!(out.contains("its old disk") && !out.contains("deleted"), "{out}");
}

#[tokio::test]
async fn the_speaker_and_leader_may_be_the_one_that_is_killed() {
    let stage = Stage::new();
    // The next speaker is a new script that counts from 0, like a coordinator that was restored.
    let script = FAKE
        .replace("\"worker-2\\\"", "\"worker-1\\\"")
        .replace("\"partition\":1,\"iteration", "\"partition\":0,\"iteration");
    let (summary, out) = stage.run("--kill leader@1", &script).await;
    let summary = summary.expect(&out);
    assert_eq!(summary.kills[0].node.as_str(), "worker-1");
    assert!(summary.matches, "{out}");
}

#[tokio::test]
async fn a_wrong_rank_and_a_wrong_answer_do_not_pass() {
    let (summary, _) = Stage::new().run("", &FAKE.replace("[RANK_A]", "[1]")).await;
    assert!(!summary.unwrap().matches);
    let (summary, _) = Stage::new().run("--kill worker-2@0", &FAKE.replace("SUM", "7")).await;
    assert!(summary.unwrap_err().contains("wrong ranks"));
}

#[tokio::test]
async fn a_peer_that_ends_by_itself_or_babbles_is_an_error_with_its_last_words() {
    let (summary, _) = Stage::new().run("", "#!/bin/sh\necho 'disk on fire' >&2; exit 4\n").await;
    let error = summary.unwrap_err();
    assert!(error.contains("worker-1 ended by itself") && error.contains("disk on fire"), "{error}");
    let (summary, _) = Stage::new().run("", "#!/bin/sh\necho hello; exec sleep 100\n").await;
    assert!(summary.unwrap_err().contains("hello"));
}

#[tokio::test]
async fn a_deadline_says_where_it_hangs() {
    let silent = FAKE.replace("*await*) say", "*await*) :");
    let (summary, _) = Stage::new().run("--deadline 1", &silent).await;
    let error = summary.unwrap_err();
    assert!(error.contains("not finished after 1 s: superstep 1 did not end"), "{error}");
    let (summary, _) = Stage::new().run("--deadline 1 --kill worker-2@0 --replace none", &silent).await;
    let error = summary.unwrap_err();
    assert!(error.contains("not running: worker-2; worker-2: 0 of its 2 actors"), "{error}");
    let deaf = "#!/bin/sh\necho '{\"say\":\"listening\",\"addr\":\"127.0.0.1:1\"}'; exec sleep 100\n";
    let (summary, _) = Stage::new().run("--deadline 1", deaf).await;
    let error = summary.unwrap_err();
    assert!(error.contains("not running: worker-2, worker-3; not admitted: worker-1"), "{error}");
}
