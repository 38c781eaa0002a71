//! Consensus on memory disks and a network of channels.

mod history;
mod log;
mod net;
mod patience;
mod purged;
mod snapshots;
mod suite;
