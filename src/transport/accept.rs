//! Who may come in: the acceptor's half of a connection, up to the accepted hello.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use quinn::{Connection, Incoming, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::counters::bump;
use super::endpoint::Shared;
use super::frame::{Batch, FrameReader};
use super::lock;
use super::request::Remote;
use super::serve;
use super::tls::peer_name;
use super::wire::{Hello, Refusal, TAG_HELLO, decode_hello, encode_hello};
use crate::id::NodeId;
use crate::limits::{
    HANDSHAKE_DEADLINE, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_NODE, MAX_HANDSHAKES, MAX_HELLO_BYTES,
};

/// The connections that were accepted and still stand.
#[derive(Default)]
pub(super) struct Accepted(Mutex<BTreeMap<u64, Entry>>);

struct Entry {
    connection: Connection,
    remote: Arc<Remote>,
}

impl Accepted {
    pub(super) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    fn count_of(&self, node: &NodeId) -> usize {
        lock(&self.0).values().filter(|entry| entry.remote.hello.node_id == *node).count()
    }

    fn insert(&self, connection: &Connection, remote: &Arc<Remote>) -> u64 {
        let mut all = lock(&self.0);
        let id = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(id, Entry { connection: connection.clone(), remote: remote.clone() });
        id
    }

    fn remove(&self, id: u64) {
        lock(&self.0).remove(&id);
    }

    /// Whose connections stand, of those with a place in the cluster.
    #[cfg(feature = "testing")]
    pub(super) fn all(&self) -> Vec<(NodeId, crate::id::Incarnation)> {
        let who = |entry: &Entry| {
            let hello = &entry.remote.hello;
            let stands = entry.connection.close_reason().is_none();
            hello.incarnation.filter(|_| stands).map(|life| (hello.node_id.clone(), life))
        };
        lock(&self.0).values().filter_map(who).collect()
    }

    /// Who is at the other ends.
    #[cfg(feature = "testing")]
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        lock(&self.0).values().map(|entry| entry.remote.hello.node_id.clone()).collect()
    }

    /// The connections of one node, with who is at the other end.
    pub(super) fn of(&self, node: &NodeId) -> Vec<(Connection, Arc<Remote>)> {
        let all = lock(&self.0);
        let from = all.values().filter(|entry| entry.remote.hello.node_id == *node);
        from.map(|entry| (entry.connection.clone(), entry.remote.clone())).collect()
    }
}

/// Takes connections until the endpoint closes.
pub(super) async fn run(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    while let Some(incoming) = shared.endpoint.accept().await {
        let under_way = MAX_HANDSHAKES - handshakes.available_permits();
        // Half full: whoever comes now has to show that its address is its own before it costs anything.
        if under_way > MAX_HANDSHAKES / 2 && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        match handshakes.clone().try_acquire_owned() {
            Ok(permit) if shared.accepted.len() + under_way < MAX_CONNECTIONS => {
                shared.runtime.spawn(welcome(shared.clone(), incoming, permit));
            }
            _ => {
                shared.counters.refused(&Refusal::Overloaded);
                incoming.refuse();
            }
        }
    }
}

async fn welcome(shared: Arc<Shared>, incoming: Incoming, permit: OwnedSemaphorePermit) {
    let from = incoming.remote_address();
    let greeted = match timeout(HANDSHAKE_DEADLINE, greet(&shared, incoming)).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(Turned::Stranger(why))) => {
            bump(&shared.counters.strangers);
            return shared.complain(from, &why);
        }
        Ok(Err(Turned::Refused(refusal))) => {
            return shared.complain(from, &refusal.to_string());
        }
        Ok(Err(Turned::Left)) | Err(_) => {
            bump(&shared.counters.silent);
            return shared.complain(from, "it said no hello in time");
        }
    };
    let (connection, remote) = greeted;
    drop(permit);
    shared.links.heard_of(remote.hello.listen, &remote.hello.node_id);
    let id = shared.accepted.insert(&connection, &remote);
    bump(&shared.counters.accepted);
    // The table did not know this connection when an older life was last looked for.
    if let Some(by) = shared.newest.retired(&remote.hello.node_id, remote.hello.incarnation) {
        shared.refuse(&connection, &Refusal::Retired { by });
    } else {
        serve::run(&shared, &connection, &remote).await;
    }
    shared.accepted.remove(id);
}

/// Why a connection was turned away.
enum Turned {
    Stranger(String),
    Refused(Refusal),
    /// It went away by itself before its hello.
    Left,
}

async fn greet(shared: &Shared, incoming: Incoming) -> Result<(Connection, Arc<Remote>), Turned> {
    let stranger = |e: &dyn std::fmt::Display| Turned::Stranger(e.to_string());
    let connecting = incoming.accept().map_err(|e| stranger(&e))?;
    let connection = connecting.await.map_err(|e| stranger(&e))?;
    let (mut send, recv) = connection.accept_bi().await.map_err(|e| stranger(&e))?;
    let hello = match read_hello(recv, shared.hello().0.version)
        .await
        .and_then(|hello| admit(shared, &connection, &hello).map(|()| hello))
    {
        Ok(hello) => hello,
        Err(_) if connection.close_reason().is_some() => return Err(Turned::Left),
        Err(refusal) => {
            shared.refuse(&connection, &refusal);
            return Err(Turned::Refused(refusal));
        }
    };
    answer(&mut send, &shared.hello().0).await.map_err(|e| stranger(&e))?;
    let addr = connection.remote_address();
    Ok((connection, Arc::new(Remote { hello, addr })))
}

async fn read_hello(mut recv: quinn::RecvStream, own: u16) -> Result<Hello, Refusal> {
    let mut tag = [0; 1];
    recv.read_exact(&mut tag).await.map_err(|_| Refusal::Malformed)?;
    if tag != [TAG_HELLO] {
        return Err(Refusal::Malformed);
    }
    let frame = FrameReader::new(recv, MAX_HELLO_BYTES).next().await;
    decode_hello(&frame.ok().flatten().ok_or(Refusal::Malformed)?, own)
}

fn admit(shared: &Shared, connection: &Connection, hello: &Hello) -> Result<(), Refusal> {
    shared.check_name(peer_name(connection).as_ref(), hello)?;
    if let Some(by) = shared.newest.retired(&hello.node_id, hello.incarnation) {
        return Err(Refusal::Retired { by });
    }
    if shared.accepted.count_of(&hello.node_id) >= MAX_CONNECTIONS_PER_NODE {
        return Err(Refusal::Overloaded);
    }
    shared.handler.on_hello(hello)
}

async fn answer(send: &mut SendStream, hello: &Hello) -> Result<(), quinn::WriteError> {
    let mut batch = Batch::default();
    batch.push(&encode_hello(hello), &[]);
    send.write_all_chunks(&mut batch.take()).await?;
    let _ = send.finish();
    Ok(())
}
