//! The floor: quinn with mutual TLS, one stream, a frame of `u32 length | u64 id | payload`, one writer that puts
//! what waits into writes of up to 128 KiB, and a task behind a channel as the actor.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use quinn::rustls::server::WebPkiClientVerifier;
use quinn::{ClientConfig, RecvStream, SendStream, ServerConfig};
use tokio::sync::{mpsc, oneshot};

use super::{Carrier, Server, fail, server, stand_by};

const QUEUE: usize = 4096;
const WRITE: usize = 128 << 10;
const NAME: &str = "floor";

type Frame = (u64, Bytes);

async fn write(mut send: SendStream, mut frames: mpsc::Receiver<Frame>) {
    let mut buffer = BytesMut::new();
    while let Some(first) = frames.recv().await {
        let mut next = Some(first);
        while let Some((id, payload)) = next {
            buffer.put_u32(8 + payload.len() as u32);
            buffer.put_u64(id);
            buffer.put_slice(&payload);
            next = if buffer.len() < WRITE { frames.try_recv().ok() } else { None };
        }
        if send.write_chunk(buffer.split().freeze()).await.is_err() {
            return;
        }
    }
}

struct Reader {
    recv: RecvStream,
    buffer: BytesMut,
}

impl Reader {
    fn new(recv: RecvStream) -> Self {
        Self { recv, buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            let length = self.buffer.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize);
            if let Some(length) = length.filter(|length| self.buffer.len() >= 4 + length) {
                self.buffer.advance(4);
                let mut frame = self.buffer.split_to(length).freeze();
                return Some((frame.get_u64(), frame));
            }
            let chunk = self.recv.read_chunk(WRITE, true).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }
}

struct Pair {
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// One certificate for both ends, made by the client.
fn certificate(dir: &Path) -> Pair {
    let (cert, key) = (dir.join("cert.der"), dir.join("key.der"));
    if !cert.exists() {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap_or_else(fail);
        std::fs::write(&key, made.signing_key.serialize_der()).unwrap_or_else(fail);
        std::fs::write(&cert, made.cert.der()).unwrap_or_else(fail);
    }
    let key = PrivatePkcs8KeyDer::from(std::fs::read(key).unwrap_or_else(fail));
    Pair { cert: CertificateDer::from(std::fs::read(cert).unwrap_or_else(fail)), key: key.into() }
}

fn roots(pair: &Pair) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.clone()).unwrap_or_else(fail);
    Arc::new(roots)
}

pub async fn serve(dir: &Path, carrier: Carrier) {
    let (inbox, messages) = mpsc::channel(1024);
    let (replies, queue) = mpsc::channel(QUEUE);
    tokio::spawn(sum(messages, replies));
    let listening = listen(certificate(dir), carrier, inbox, queue);
    let addr = carrier.quic().spawn(listening).await.unwrap_or_else(fail);
    stand_by(addr).await;
}

/// The actor.
async fn sum(mut messages: mpsc::Receiver<Frame>, replies: mpsc::Sender<Frame>) {
    let mut sum = 0;
    while let Some((id, mut message)) = messages.recv().await {
        let reply = if message.len() == 8 {
            sum += message.get_u64();
            sum
        } else {
            message.len() as u64
        };
        let reply = Bytes::copy_from_slice(&reply.to_be_bytes());
        let _ = replies.send((id, reply)).await;
    }
}

async fn listen(
    pair: Pair,
    carrier: Carrier,
    inbox: mpsc::Sender<Frame>,
    queue: mpsc::Receiver<Frame>,
) -> SocketAddr {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clients = WebPkiClientVerifier::builder(roots(&pair)).build().unwrap_or_else(fail);
    let tls = rustls::ServerConfig::builder().with_client_cert_verifier(clients);
    let tls = tls.with_single_cert(vec![pair.cert], pair.key).unwrap_or_else(fail);
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap_or_else(fail)));
    let endpoint = carrier.packets().server(config);
    let addr = endpoint.local_addr().unwrap_or_else(fail);
    tokio::spawn(async move {
        let connection = endpoint.accept().await.expect("the endpoint is open").await.unwrap_or_else(fail);
        let (send, recv) = connection.accept_bi().await.unwrap_or_else(fail);
        tokio::spawn(write(send, queue));
        let mut reader = Reader::new(recv);
        while let Some(frame) = reader.next().await {
            let _ = inbox.send(frame).await;
        }
    });
    addr
}

#[derive(Clone)]
pub struct Remote {
    frames: mpsc::Sender<Frame>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<u64>>>>,
    next: Arc<AtomicU64>,
    _server: Arc<Server>,
    _connection: quinn::Connection,
}

impl Remote {
    async fn call(&self, message: Bytes) -> u64 {
        let (reply, answer) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(fail).insert(id, reply);
        self.frames.send((id, message)).await.unwrap_or_else(fail);
        answer.await.unwrap_or_else(fail)
    }
}

impl super::Remote for Remote {
    async fn ask(&self, n: u64) -> u64 {
        self.call(Bytes::copy_from_slice(&n.to_be_bytes())).await
    }

    async fn ask_long(&self, bytes: Vec<u8>) -> u64 {
        self.call(bytes.into()).await
    }
}

pub async fn connect(dir: &Path, carrier: Carrier) -> Remote {
    let pair = certificate(dir);
    let server = server(carrier, dir);
    let addr = server.greeting.parse().unwrap_or_else(fail);
    carrier.quic().spawn(dial(pair, carrier, server, addr)).await.unwrap_or_else(fail)
}

async fn dial(pair: Pair, carrier: Carrier, server: Server, addr: SocketAddr) -> Remote {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots(&pair));
    let tls = tls.with_client_auth_cert(vec![pair.cert], pair.key).unwrap_or_else(fail);
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap_or_else(fail)));
    let endpoint = carrier.packets().client(config);
    let connection = endpoint.connect(addr, NAME).unwrap_or_else(fail).await.unwrap_or_else(fail);
    let (send, recv) = connection.open_bi().await.unwrap_or_else(fail);
    let (frames, queue) = mpsc::channel(QUEUE);
    tokio::spawn(write(send, queue));
    let waiting = Arc::new(Mutex::new(HashMap::<u64, oneshot::Sender<u64>>::new()));
    let answered = waiting.clone();
    tokio::spawn(async move {
        let mut reader = Reader::new(recv);
        while let Some((id, mut reply)) = reader.next().await {
            let waiting = answered.lock().unwrap_or_else(fail).remove(&id);
            let _ = waiting.map(|waiting| waiting.send(reply.get_u64()));
        }
    });
    let (next, _server) = (Arc::default(), Arc::new(server));
    Remote { frames, waiting, next, _server, _connection: connection }
}
