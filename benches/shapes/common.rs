//! What all shapes need.

use std::fmt::Debug;
use std::future::Future;

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
