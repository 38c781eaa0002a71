//! Clusters on real parts: QUIC, mutual TLS, Raft, RocksDB.

mod replacement;
mod support;
