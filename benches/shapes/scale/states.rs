//! One actor with more and more state.

use benches::Sample;

use crate::checkpoints::{BACK, CHANGED, FULL, standin_alone};

const SAVED: &str = "saved in full";
const SAVED_AGAIN: &str = "saved when 1% changed";
const RESTORED: &str = "restored";

pub const MEASURES: [&str; 3] = [SAVED, SAVED_AGAIN, RESTORED];

pub const ABOUT: &str = "One actor whose state nothing compresses, three peers in one process: see \"Checkpoints of a \
     large state\". How long its first checkpoint takes until it is durable on all three and committed, the next one \
     after a hundredth of it changed, and from the admission of a replacement until the actor answers there. Of a small \
     state that is mostly what any checkpoint and any restored actor takes.";

pub fn run(mib: usize) -> Sample {
    let bytes = mib << 20;
    let sample = standin_alone(bytes);
    let took = |rate: &str| bytes as f64 / 1e6 / sample[rate] * 1e3;
    let changed = sample[CHANGED] * 1e3;
    [(SAVED, took(FULL)), (SAVED_AGAIN, changed), (RESTORED, took(BACK))]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}
