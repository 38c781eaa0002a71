//! What all shapes need.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::process::Command;

use benches::turns;
use clap::ValueEnum;

/// Two workers, as the machines have cores.
pub fn on_tokio<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap_or_else(fail).block_on(work)
}

/// A benchmark that cannot go on has no result.
#[track_caller]
pub fn fail<T, E: Debug>(error: E) -> T {
    panic!("{error:?}")
}

/// As it is written on the command line.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// By contender and measure.
pub type Figures = BTreeMap<(String, String), benches::Figures>;

/// Runs this program once more for each contender, in turn: with these arguments, and its name as the last.
///
/// # Errors
/// If one fails.
pub fn in_turn(who: &[String], rounds: usize, how: &[&str]) -> io::Result<Figures> {
    let who: Vec<&str> = who.iter().map(String::as_str).collect();
    let myself = std::env::current_exe()?;
    turns(&who, rounds, |contender| {
        eprintln!("{} {contender}", how.join(" "));
        let mut command = Command::new(&myself);
        command.args(how).arg(contender);
        command
    })
}

/// The same, of those that the command line knows.
///
/// # Errors
/// If one fails.
pub fn compare<T: ValueEnum>(contenders: &[T], rounds: usize, how: &[&str]) -> io::Result<Figures> {
    let who: Vec<String> = contenders.iter().map(|who| name(who.clone())).collect();
    in_turn(&who, rounds, how)
}
