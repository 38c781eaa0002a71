//! Clusters on real parts: QUIC, mutual TLS, Raft, RocksDB.

mod idle;
mod replacement;
mod support;
