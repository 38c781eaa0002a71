//! Whoever is not a peer of this cluster, or behaves like none: turned away, counted, and the peer lives on
//! (ARCHITECTURE.md, invariant 10).

use std::time::SystemTime;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint};

use super::super::{tls, wire};
use super::*;
use crate::id::ClusterId;
use crate::identity::PEER_DNS_NAME;
use crate::limits::{HANDSHAKE_DEADLINE, MAX_CONNECTIONS_PER_NODE, MAX_FRAME_BYTES, MAX_HELLO_BYTES};

/// A peer, an honest other one, and the means to attack the first.
struct Target {
    peer: TestPeer,
    honest: TestPeer,
    authority: DevAuthority,
}

impl Target {
    fn new() -> Self {
        let authority = authority();
        let start = |name| TestPeer::start(config(authority.issue(&node(name)).unwrap()));
        Self { peer: start("worker-1"), honest: start("worker-2"), authority }
    }

    fn mallory(&self) -> Identity {
        self.authority.issue(&node("mallory")).unwrap()
    }

    /// What an honest peer called mallory would say.
    fn hello(&self) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster: "demo".into(),
            cluster_id: None,
            node_id: node("mallory"),
            incarnation: None,
            raft_id: None,
            listen: "127.0.0.1:9".parse().unwrap(),
        }
    }

    async fn connect(&self, tls: rustls::ClientConfig) -> Result<Connection, ConnectionError> {
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut endpoint = Endpoint::client(loopback()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint.connect(self.peer.addr(), PEER_DNS_NAME).unwrap().await
    }

    /// A connection of mallory's, with a valid certificate, before any hello.
    async fn valid_connection(&self) -> Connection {
        self.connect(tls::client_tls(&self.mallory()).unwrap()).await.unwrap()
    }

    /// Mallory after a proper hello.
    async fn welcomed(&self) -> Connection {
        let connection = self.valid_connection().await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&framed_hello(&self.hello())).await.unwrap();
        assert!(recv.read_to_end(MAX_HELLO_BYTES + 4).await.unwrap().len() > 4);
        connection
    }

    /// Sends `bytes` as the first stream of a connection with a valid certificate, and returns the refusal.
    async fn refusal_of(&self, bytes: &[u8]) -> Option<Refusal> {
        let connection = self.valid_connection().await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let _ = send.finish();
        refusal(&connection).await
    }

    /// The peer goes on serving others, and none of the attacker's bytes reached its handler.
    async fn lives_on(&self) {
        self.honest.ask_until_answered(&self.peer.dest()).await;
        assert!(lock(&self.peer.recorder.from).iter().all(|from| from.hello.node_id == self.honest.node_id));
        assert!(lock(&self.peer.recorder.streams).is_empty());
    }
}

async fn refusal(connection: &Connection) -> Option<Refusal> {
    let ended = tokio::time::timeout(SOON, connection.closed()).await.expect("it closes");
    super::super::dial::refusal_in(&ended)
}

fn framed_hello(hello: &Hello) -> Vec<u8> {
    let body = wire::encode_hello(hello);
    [&[wire::TAG_HELLO], &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

async fn is_turned_away(target: &Target, tls: rustls::ClientConfig) {
    // A TLS 1.3 client is done before the server has seen its certificate, so the connection may look fine at first.
    if let Ok(connection) = target.connect(tls).await {
        let ended = tokio::time::timeout(SOON, connection.closed()).await.expect("it closes");
        assert!(matches!(ended, ConnectionError::ConnectionClosed(_)), "{ended}");
    }
    until("it is counted", || target.peer.transport.counters().strangers == 1).await;
    assert_eq!(target.peer.transport.counters().accepted, 0);
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_certificate_is_turned_away() {
    let target = Target::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(target.mallory().roots()[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    is_turned_away(&target, tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_of_the_same_name_is_turned_away() {
    let target = Target::new();
    let foreign = authority().issue(&node("mallory")).unwrap();
    let ours = target.mallory();
    // It trusts our authority, so that only our check stands in its way.
    let identity = Identity::from_pem(foreign.chain_pem(), foreign.key_pem(), ours.roots_pem()).unwrap();
    is_turned_away(&target, tls::client_tls(&identity).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_does_not_talk_to_an_acceptor_of_another_authority() {
    let target = Target::new();
    let foreign = TestPeer::start(config(authority().issue(&node("worker-1")).unwrap()));
    let asked = target.peer.ask(&foreign.dest(), "secret").await;
    assert!(matches!(asked, Err(RequestError::NotSent(_))), "{asked:?}");
    assert!(foreign.heard().is_empty());
}

/// Accepts one connection with mallory's valid certificate, answers its hello with `welcome`, and reports
/// whether anything was asked on it.
fn impostor(target: &Target, welcome: &Hello) -> (SocketAddr, tokio::task::JoinHandle<bool>) {
    let crypto = QuicServerConfig::try_from(tls::server_tls(&target.mallory()).unwrap()).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(config, loopback()).unwrap();
    let (addr, frame) = (endpoint.local_addr().unwrap(), framed_hello(welcome));
    let task = tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, _recv) = connection.accept_bi().await.unwrap();
        send.write_all(&frame[1..]).await.unwrap();
        let asked = connection.accept_bi().await.is_ok();
        connection.close(0_u32.into(), b"");
        asked
    });
    (addr, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_cannot_pose_as_another_node_or_cluster_either() {
    let target = Target::new();
    target.peer.transport.set_hello(None, None, Some(ClusterId([1; 16])));
    let lies = [
        Hello { node_id: node("worker-2"), ..target.hello() },
        Hello { cluster: "other".into(), ..target.hello() },
        Hello { cluster_id: Some(ClusterId([2; 16])), ..target.hello() },
    ];
    for lie in lies {
        let (addr, served) = impostor(&target, &lie);
        let dest = Dest { node_id: Some(lie.node_id.clone()), addr, incarnation: None };
        let asked = target.peer.ask(&dest, "secret").await;
        assert!(matches!(asked, Err(RequestError::NotSent(_))), "{asked:?} for {lie:?}");
        assert!(!served.await.unwrap(), "it was asked as {lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_turned_away_and_so_is_one_that_is_not_yet_valid() {
    let hour = Duration::from_secs(3600);
    #[expect(clippy::disallowed_methods, reason = "a certificate's dates are wall-clock dates")]
    let now = SystemTime::now();
    for (from, until) in [(now - 2 * hour, now - hour), (now + hour, now + 2 * hour)] {
        let target = Target::new();
        let identity = target.authority.issue_for(&node("mallory"), from, until).unwrap();
        is_turned_away(&target, tls::client_tls(&identity).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_application_protocol_is_turned_away() {
    let target = Target::new();
    let mut tls = tls::client_tls(&target.mallory()).unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    is_turned_away(&target, tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_certificate_of_one_node_cannot_speak_for_another() {
    let target = Target::new();
    let hello = Hello { node_id: node("worker-2"), ..target.hello() };
    assert_eq!(target.refusal_of(&framed_hello(&hello)).await, Some(Refusal::WrongNode));
    assert_eq!(target.peer.transport.counters().refused_wrong_node, 1);
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_name_or_id_is_refused_at_both_ends() {
    let target = Target::new();
    let hello = Hello { cluster: "other".into(), ..target.hello() };
    assert_eq!(target.refusal_of(&framed_hello(&hello)).await, Some(Refusal::WrongCluster));

    target.peer.transport.set_hello(None, None, Some(ClusterId([1; 16])));
    let hello = Hello { cluster_id: Some(ClusterId([2; 16])), ..target.hello() };
    assert_eq!(target.refusal_of(&framed_hello(&hello)).await, Some(Refusal::WrongCluster));
    assert_eq!(target.peer.transport.counters().refused_wrong_cluster, 2);

    target.honest.transport.set_hello(None, None, Some(ClusterId([2; 16])));
    let asked = target.honest.ask(&target.peer.dest(), "x").await;
    assert_eq!(asked, Err(RequestError::Refused(Refusal::WrongCluster)));
    target.honest.transport.set_hello(None, None, Some(ClusterId([1; 16])));
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_of_another_version_garbage_or_a_flood_is_refused() {
    let target = Target::new();
    let future = framed_hello(&Hello { version: wire::PROTOCOL_VERSION + 1, ..target.hello() });
    assert_eq!(target.refusal_of(&future).await, Some(Refusal::Version));
    let whole = framed_hello(&target.hello());
    let flood = [&[wire::TAG_HELLO], &[0xff; 4][..], &[7; 100_000]].concat();
    let garbage: [&[u8]; 5] =
        [b"", b"GET / HTTP/1.1\r\n", &whole[..whole.len() / 2], &flood, &[1, 0, 0, 0, 0]];
    for bytes in garbage {
        assert_eq!(target.refusal_of(bytes).await, Some(Refusal::Malformed), "{bytes:?}");
    }
    assert_eq!(target.peer.transport.counters().refused_malformed, garbage.len() as u64);
    assert_eq!(target.peer.transport.counters().refused_version, 1);
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_is_dropped_in_time() {
    let target = Target::new();
    let connection = target.valid_connection().await;
    let ended = tokio::time::timeout(HANDSHAKE_DEADLINE + SOON, connection.closed()).await;
    assert!(matches!(ended, Ok(ConnectionError::ApplicationClosed(_))), "{ended:?}");
    until("it is counted", || target.peer.transport.counters().silent == 1).await;
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_of_a_valid_peer_end_its_connection_and_nothing_else() {
    let target = Target::new();
    let oversized = [&[2][..], &(MAX_FRAME_BYTES as u32 + 1).to_be_bytes()].concat();
    let frames: [(&str, &[u8]); 5] = [
        ("oversized", &oversized),
        ("truncated", &[2, 0, 0, 0, 9, 1, 2, 3]),
        ("too short for a request", &[2, 0, 0, 0, 3, 1, 2, 3]),
        ("a stream of no kind", &[9]),
        ("a second hello", &[0, 0, 0, 0, 0]),
    ];
    for (count, (what, bytes)) in frames.into_iter().enumerate() {
        let connection = target.welcomed().await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let _ = send.finish();
        assert_eq!(refusal(&connection).await, Some(Refusal::Malformed), "{what}");
        assert_eq!(target.peer.transport.counters().bad_frames, count as u64 + 1, "{what}");
    }
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_cannot_be_opened_twice() {
    let target = Target::new();
    let connection = target.welcomed().await;
    let mut open = vec![];
    for _ in 0..2 {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&[2]).await.unwrap();
        open.push((send, recv));
    }
    assert_eq!(refusal(&connection).await, Some(Refusal::Malformed));
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_cannot_take_all_connections() {
    let target = Target::new();
    let mut open = vec![];
    for _ in 0..MAX_CONNECTIONS_PER_NODE {
        open.push(target.welcomed().await);
    }
    let one_more = target.refusal_of(&framed_hello(&target.hello())).await;
    assert_eq!(one_more, Some(Refusal::Overloaded));
    target.lives_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_megabyte_of_noise_on_the_port_changes_nothing() {
    let target = Target::new();
    target.honest.ask(&target.peer.dest(), "before").await.unwrap();
    let noise = std::net::UdpSocket::bind(loopback()).unwrap();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    for length in (1..1300).cycle().take(1700) {
        let datagram: Vec<u8> = (0..length).map(|_| random()).collect();
        let _ = noise.send_to(&datagram, target.peer.addr());
    }
    target.lives_on().await;
    let counters = target.peer.transport.counters();
    assert!(counters.noise > 100, "{counters:?}");
    assert_eq!(counters.accepted, 1, "the honest connection stood: {counters:?}");
}

#[tokio::test]
async fn an_authority_can_be_changed_while_every_peer_trusts_the_old_and_the_new_one() {
    let (old, new) = (authority(), authority());
    let both = format!("{}{}", old.certificate_pem(), new.certificate_pem());
    let start = |authority: &DevAuthority, name| {
        let own = authority.issue(&node(name)).unwrap();
        let identity = Identity::from_pem(own.chain_pem(), own.key_pem(), &both).unwrap();
        TestPeer::start(config(identity))
    };
    let (before, after) = (start(&old, "worker-1"), start(&new, "worker-2"));
    assert_eq!(before.ask(&after.dest(), "hello").await.unwrap(), "hello");
    assert_eq!(after.ask(&before.dest(), "hello").await.unwrap(), "hello");
}
