//! The pure core: state machines without I/O, clock, chance or threads.

pub mod lease;
pub mod placement;
pub mod probe;
pub mod voters;

#[cfg(test)]
mod prng;
#[cfg(test)]
mod scenarios;
