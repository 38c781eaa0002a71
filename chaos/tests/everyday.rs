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
