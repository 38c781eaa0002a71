//! Transports against each other, on real QUIC over loopback.
