//! What is run every time: a few seeds, and whether the program itself can be trusted.

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_byte_in_another_process() {
    for seed in ["1", "2", "9"] {
        let runs = [0, 1].map(|_| chaos(&["replay", seed, "--minutes", "1"]));
        let [one, other] = runs.each_ref().map(text);
        assert!(one.lines().count() > 5, "{one}");
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert!(one == other, "seed {seed}: {differs:?}");
    }
}

#[test]
fn twenty_seeds_keep_every_promise() {
    let run = chaos(&["sim", "--seeds", "0..20", "--minutes", "1", "--keep-going"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn a_mistake_in_the_protocol_is_noticed() {
    for mistake in ["DiskIdReused", "RepliesReleasedEarly"] {
        let run = chaos(&["canary", "--only", mistake, "--seeds", "100"]);
        assert!(run.status.success(), "{}", text(&run));
    }
}

/// A new directory's name, for a run to make.
fn fresh_dir(name: &str) -> String {
    let dir =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    dir.display().to_string()
}

#[test]
fn real_processes_keep_every_promise_through_a_round_of_faults() {
    let out = fresh_dir("run");
    let run = chaos(&["run", "--minutes", "0.4", "--seed", "3", "--out", &out, "--json"]);
    let shown = format!("{}\n{}", text(&run), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{shown}");
    let summary: serde_json::Value = serde_json::from_str(&text(&run)).unwrap();
    for count in ["kills", "replacements", "partitions", "rounds"] {
        assert!(summary[count].as_u64() > Some(0), "no {count}: {shown}");
    }
    let faults = summary["faults"].as_object().unwrap();
    assert!(faults.keys().any(|kind| kind.ends_with("freeze")), "{shown}");
    assert!(summary["calls"]["done"].as_u64() > Some(50), "{shown}");
    for file in ["events.jsonl", "history.jsonl"] {
        let lines = std::fs::read_to_string(format!("{out}/{file}")).unwrap();
        assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{file}");
    }
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_run_says_what_is_wrong_with_its_arguments_and_no_peer_runs_by_itself() {
    let out = fresh_dir("wrong");
    assert_eq!(chaos(&["run", "--nodes", "2", "--out", &out]).status.code(), Some(2));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(format!("{out}/events.jsonl"), "of another run").unwrap();
    assert_eq!(chaos(&["run", "--out", &out]).status.code(), Some(2));
    assert_eq!(chaos(&["peer"]).status.code(), Some(2));
    std::fs::remove_dir_all(out).unwrap();
}
