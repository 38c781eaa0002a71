//! Connections whose other end is gone.

use super::*;
use crate::task::Process;

/// It takes the freeze for a round trip, so that QUIC itself would wait for minutes; and whoever started anew does not
/// know the keys under which a connection could be reset.
#[tokio::test(start_paused = true)]
async fn who_was_frozen_for_long_soon_finds_a_peer_that_was_restarted_meanwhile() {
    let (network, authority, process) = (SimNetwork::new(1), authority(), Process::new());
    let bind = |name: &str, host: u8| {
        let listen = SocketAddr::from(([10, 0, 0, host], 4001));
        let mut config = config(authority.issue(&node(name)).unwrap());
        (config.listen, config.network) = (listen, Some(network.bind(listen).unwrap()));
        config
    };
    let server = TestPeer::start(bind("b", 2));
    let dest = server.dest();
    let config = bind("a", 1);
    let client = process.spawn(async { Arc::new(TestPeer::start(config)) }).await.unwrap();
    client.ask_until_answered(&dest).await;
    // Its packet is under way when it freezes.
    let (asker, to) = (client.clone(), dest.clone());
    process.spawn(async move { asker.ask(&to, "hold").await });
    tokio::time::sleep(Duration::from_micros(100)).await;
    process.freeze();
    tokio::time::sleep(Duration::from_secs(110)).await;
    server.transport.kill();
    drop(server);
    until("the address to be free", || network.bind(dest.addr).is_ok()).await;
    let _server = TestPeer::start(bind("b", 2));
    process.thaw();
    let thawed = tokio::time::Instant::now();
    let patience = Duration::from_millis(100);
    while client.transport.request(&dest, Lane::Control, b"again".to_vec(), patience).await.is_err() {
        assert!(thawed.elapsed() < Duration::from_secs(12), "still lost");
    }
}
