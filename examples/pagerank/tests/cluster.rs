//! The whole program on a small graph: real processes, real peers.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn edges(dir: &Path) -> PathBuf {
    let path = dir.join("edges.tsv");
    let mut file = fs::File::create(&path).unwrap();
    for n in 0_u32..400 {
        writeln!(file, "n{}\tn{}", n % 97, n.wrapping_mul(2_654_435_761) % 131).unwrap();
    }
    path
}

fn pagerank(flags: &str) -> Output {
    run(&format!("--iterations 8 --partitions 10 --peers 5 {flags}"))
}

fn run(flags: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagerank"));
    command.arg("--json").args(flags.split_whitespace());
    if !flags.contains("--rmat") {
        command.arg("--edges").arg(edges(dir.path()));
    }
    command.output().unwrap()
}

fn summary(output: &Output) -> serde_json::Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_empty_machine_gets_its_actors_back_in_the_middle_of_the_job() {
    let summary = summary(&pagerank("--kill worker-2@3 --pace 50"));
    assert_eq!((&summary["matches"], &summary["iterations"]), (&true.into(), &8.into()));
    let kill = &summary["kills"][0];
    assert_eq!((&kill["node"], &kill["actors"]), (&"worker-2".into(), &4.into()));
    for moment in ["detect_ms", "admit_ms", "restore_ms", "answer_ms"] {
        assert!(kill[moment].is_u64(), "{kill}");
    }
}

#[test]
fn the_leader_and_the_coordinator_may_die_too() {
    let summary = summary(&pagerank("--kill leader@2 --kill coordinator@5 --pace 50"));
    assert_eq!(summary["matches"], true);
    assert_eq!(summary["kills"].as_array().unwrap().len(), 2);
}

#[test]
fn a_peer_comes_back_with_its_disk_on_its_port() {
    let summary = summary(&pagerank("--kill worker-3@4 --replace disk --same-port --after 0.5"));
    assert_eq!(summary["matches"], true);
}

#[test]
fn segments_go_back_together_and_come_to_the_same_ranks() {
    let flags =
        "--iterations 40 --partitions 10 --peers 5 --checkpoints every-second --kill worker-2@25 --pace 100";
    let summary = summary(&run(flags));
    assert_eq!((&summary["matches"], &summary["iterations"]), (&true.into(), &40.into()));
    assert_eq!(summary["kills"][0]["actors"], 4);
}

#[test]
fn without_checkpoints_all_begin_anew() {
    let summary = summary(&pagerank("--checkpoints off --kill worker-3@4 --pace 50"));
    assert_eq!((&summary["matches"], &summary["iterations"]), (&true.into(), &8.into()));
}

#[test]
fn a_generated_graph_is_ranked_either_way() {
    for how in ["reliable", "every-second"] {
        let graph =
            "--rmat 10 --topic-every 3 --iterations 8 --partitions 6 --peers 3 --kill worker-2@3 --pace 50";
        assert_eq!(summary(&run(&format!("{graph} --checkpoints {how}")))["matches"], true, "{how}");
    }
}

#[test]
fn without_a_replacement_the_run_says_that_it_hangs_and_where() {
    let output = pagerank("--kill worker-2@3 --replace none --deadline 15 --pace 100");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains(" did not end") && error.contains("not running: worker-2"), "{error}");
}

/// The processes whose command line names this directory.
fn processes_of(dir: &Path) -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&command).contains(dir.to_str()?);
        ours.then(|| entry.file_name().to_str()?.parse().ok())?
    });
    pids.collect()
}

#[expect(clippy::disallowed_methods, reason = "processes are waited for from outside of any runtime")]
fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_peer_outlives_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_pagerank"))
        .args(["--peers", "3", "--pace", "60000", "--edges"])
        .arg(edges(dir.path()))
        .arg("--data-dir")
        .arg(dir.path().join("peers"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    within(Duration::from_secs(30), "3 peers run", || processes_of(dir.path()).len() == 4);
    run.kill().unwrap();
    run.wait().unwrap();
    within(Duration::from_secs(10), "all peers end", || processes_of(dir.path()).is_empty());
}
