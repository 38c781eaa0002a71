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

/// A file of this name in a folder for this test alone.
fn file(test: &str, name: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&dir).unwrap();
    dir.join(name).to_string_lossy().into_owned()
}

#[test]
fn a_plan_is_shrunk_and_what_is_left_breaks_the_same_promise() {
    let plan = file("shrink", "plan.json");
    let mistake = ["--mistake", "DiskIdReused"];
    let bounds = ["--minutes", "1", "--tries", "60", "--out", &plan];
    let shrunk = chaos(&[&["shrink", "0"], &mistake[..], &bounds[..]].concat());
    assert!(shrunk.status.success(), "{}", text(&shrunk));
    let left: serde_json::Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    assert!(left["steps"].as_array().unwrap().len() <= 3, "{left}");
    let broken =
        text(&shrunk).lines().next().and_then(|line| line.split(' ').nth(3).map(String::from)).unwrap();
    let again = chaos(&[&["replay", "--plan", &plan], &mistake[..]].concat());
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains(&format!("VIOLATION {broken}")), "{broken} {}", text(&again));
}

#[test]
fn a_garbled_plan_is_refused_with_a_reason() {
    let plan = file("garbled", "plan.json");
    for (garbage, why) in [("", "no plan"), ("[1]", "no plan"), ("\u{0}\u{1}", "no plan")] {
        std::fs::write(&plan, garbage).unwrap();
        let run = chaos(&["replay", "--plan", &plan]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.code() == Some(2) && said.contains(why), "{said}");
    }
    assert_eq!(chaos(&["replay", "--plan", &file("garbled", "none.json")]).status.code(), Some(2));
}

#[test]
fn a_page_and_a_history_change_nothing_in_a_run() {
    let (page, history) = (file("page", "run.html"), file("page", "history.jsonl"));
    let plain = chaos(&["replay", "2", "--minutes", "1"]);
    let told = chaos(&["replay", "2", "--minutes", "1", "--report", &page, "--history", &history]);
    assert!(text(&plain) == text(&told));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<title>Simulated run, seed 2</title>") && page.contains("replay 2 --minutes 1"));
    for line in std::fs::read_to_string(history).unwrap().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object());
    }
}

#[test]
fn a_campaign_has_a_page_and_a_profile() {
    let page = file("campaign", "page.html");
    let run = chaos(&["sim", "--seeds", "0..3", "--minutes", "1", "--profile", "calm", "--report", &page]);
    assert!(run.status.success() && text(&run).contains(" 0 faults, "), "{}", text(&run));
    assert!(std::fs::read_to_string(page).unwrap().contains("--profile calm"));
}
