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

/// Plans on which a promise was broken once, by what broke it. Seeds draw others with every new fault; these stay.
const ONCE_BROKEN: [&str; 10] = [
    "a-backup-of-a-disk-voted-while-nobody-led",
    "a-drained-leader-that-came-back-could-not-vote",
    "a-freeze-was-taken-for-a-round-trip-1",
    "a-freeze-was-taken-for-a-round-trip-2",
    "a-freeze-was-taken-for-a-round-trip-3",
    "a-host-with-an-empty-disk-kept-no-copies",
    "a-panic-forgot-the-panics-before-it",
    "a-restart-made-the-last-answer-unknown",
    "a-spoiled-copy-was-read-by-nobody",
    "stop-ended-the-next-life-of-a-name",
];

/// Plans of a few seconds on which one mistake breaks a promise.
const BROKEN_BY: [(&str, &str); 5] = [
    ("age-of-consensus-trusted", "AgeOfConsensusTrusted"),
    ("name-freed-early", "NameFreedEarly"),
    ("old-copy-votes", "OldCopyVotes"),
    ("other-version-accepted", "OtherVersionAccepted"),
    ("retired-accepted", "RetiredAccepted"),
];

fn plan(name: &str) -> String {
    format!("{}/plans/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_was_broken_once_is_kept() {
    for name in ONCE_BROKEN {
        let run = chaos(&["replay", "--plan", &plan(name)]);
        assert!(run.status.success(), "{name}: {}", text(&run));
    }
}

#[test]
fn a_plan_that_one_mistake_breaks_breaks_with_it_only() {
    for (name, mistake) in BROKEN_BY {
        let run = chaos(&["replay", "--plan", &plan(name)]);
        assert!(run.status.success(), "{name}: {}", text(&run));
        let run = chaos(&["replay", "--plan", &plan(name), "--mistake", mistake]);
        assert_eq!(run.status.code(), Some(1), "{name}: {}", text(&run));
    }
}

#[test]
fn every_plan_is_played() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut there: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let listed = ONCE_BROKEN.into_iter().chain(BROKEN_BY.map(|(name, _)| name));
    let mut listed: Vec<String> = listed.map(|name| format!("{name}.json")).collect();
    there.sort_unstable();
    listed.sort_unstable();
    assert_eq!(there, listed);
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
    let run = chaos(&["run", "--minutes", "0.5", "--seed", "101", "--out", &out, "--json"]);
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
