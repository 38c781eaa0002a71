//! Clusters on real parts: QUIC, mutual TLS, Raft, RocksDB.

mod calls;
mod chance;
mod checkpoints;
mod clumsy;
mod cost;
mod directory;
mod facing;
mod fairness;
mod hand_backs;
mod history;
mod idle;
mod joint;
mod lives;
mod membership;
mod midway;
mod partitions;
mod poison;
mod proc;
mod replacement;
mod sends;
mod sessions;
mod signals;
mod simulated;
mod stand_ins;
mod support;
mod tidy;
