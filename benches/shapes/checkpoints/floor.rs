//! The same bytes without an actor: over bare quinn with TLS, and onto the bare disk.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::Sample;
use bytes::Bytes;
use futures_util::future::join_all;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Endpoint, ServerConfig};

use super::{BACK, BOTH, DISK, FULL, QUINN, THOUSAND, noise, rate};
use crate::common::fail;
use crate::quic::Packets;

const NAME: &str = "floor";
const PIECE: usize = 1 << 20;
/// The actor's own peer, and two others.
const DISKS: usize = 3;

pub async fn run(bytes: usize, packets: Packets) -> Sample {
    let state = Bytes::from(noise(bytes, 1));
    let (to_two, to_one) = over_quinn(&state, packets).await;
    let dir = tempfile::tempdir().unwrap_or_else(fail);
    let disk = rate(bytes, tokio::task::block_in_place(|| onto_disk(dir.path(), &state)));
    let (to_two, to_one) = (rate(bytes, to_two), rate(bytes, to_one));
    let both = 1.0 / (1.0 / to_two + 1.0 / disk);
    let figures = [
        (FULL, disk.min(to_two)),
        (BACK, to_one),
        (THOUSAND, to_one),
        (QUINN, to_two),
        (DISK, disk),
        (BOTH, both),
    ];
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

/// How long it takes to send it to two at once, and to one.
async fn over_quinn(state: &Bytes, packets: Packets) -> (Duration, Duration) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap_or_else(fail);
    let cert = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![cert.clone()], key.into()).unwrap_or_else(fail);
    let receivers = [receiver(packets, config.clone()), receiver(packets, config)];
    let sender = sender(packets, cert);
    let mut took = vec![];
    for receivers in [&receivers[..], &receivers[..1]] {
        let begin = Instant::now();
        join_all(receivers.iter().map(|addr| send(&sender, *addr, state))).await;
        took.push(begin.elapsed());
    }
    (took[0], took[1])
}

/// Reads one stream of each connection to its end, and says so.
fn receiver(packets: Packets, config: ServerConfig) -> SocketAddr {
    let endpoint = packets.server(config);
    let addr = endpoint.local_addr().unwrap_or_else(fail);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap_or_else(fail);
            let (mut done, mut stream) = connection.accept_bi().await.unwrap_or_else(fail);
            while stream.read_chunk(PIECE, true).await.unwrap_or_else(fail).is_some() {}
            done.write_all(b"1").await.unwrap_or_else(fail);
            done.finish().unwrap_or_else(fail);
            connection.closed().await;
        }
    });
    addr
}

fn sender(packets: Packets, cert: CertificateDer<'static>) -> Endpoint {
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap_or_else(fail);
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    packets.client(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap_or_else(fail))))
}

async fn send(from: &Endpoint, to: SocketAddr, state: &Bytes) {
    let connection = from.connect(to, NAME).unwrap_or_else(fail).await.unwrap_or_else(fail);
    let (mut stream, mut done) = connection.open_bi().await.unwrap_or_else(fail);
    for at in (0..state.len()).step_by(PIECE) {
        let piece = state.slice(at..state.len().min(at + PIECE));
        stream.write_chunk(piece).await.unwrap_or_else(fail);
    }
    stream.finish().unwrap_or_else(fail);
    done.read_to_end(1).await.unwrap_or_else(fail);
    connection.close(0_u32.into(), b"");
}

/// As many files as disks would be written, at once, each synced at its end.
fn onto_disk(dir: &Path, state: &Bytes) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..DISKS {
            scope.spawn(move || {
                let mut file = File::create(dir.join(n.to_string())).unwrap_or_else(fail);
                state.chunks(PIECE).for_each(|piece| file.write_all(piece).unwrap_or_else(fail));
                file.sync_all().unwrap_or_else(fail);
            });
        }
    });
    begin.elapsed()
}
