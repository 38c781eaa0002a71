//! Clusters on real parts: QUIC, mutual TLS, Raft, RocksDB.

mod idle;
mod proc;
mod replacement;
mod support;
