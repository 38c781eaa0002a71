//! Reaching a peer: connection, certificates, hello, and the decision whether it is the one that was meant.

use std::sync::Arc;

use quinn::ConnectionError;
use tokio::time::timeout;

use super::counters::bump;
use super::endpoint::Shared;
use super::frame::{Batch, FrameReader};
use super::link::{Link, LinkKey};
use super::request::RequestError;
use super::session::Session;
use super::tls::peer_name;
use super::wire::{CLOSE_REFUSED, Hello, Refusal, TAG_HELLO, decode_hello, decode_refusal, encode_hello};
use crate::identity::PEER_DNS_NAME;
use crate::limits::MAX_HELLO_BYTES;

/// One attempt, after the pause that earlier ones earned. Whoever asks after a failure starts the next.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    link.pause().await;
    loop {
        let (hello, version) = shared.hello();
        let error = match timeout(shared.dial_timeout, connect(&shared, &link.key, &hello)).await {
            Ok(Ok(made)) => match link.up(&shared, made, version) {
                Ok(()) => return bump(&shared.counters.dialed),
                // This peer was admitted meanwhile: say hello again, with the new name.
                Err(session) => {
                    session.close();
                    continue;
                }
            },
            Ok(Err(error)) => error,
            Err(_) => RequestError::NotSent(format!("{} does not answer", link.key.addr)),
        };
        bump(&shared.counters.dial_failed);
        if let RequestError::Refused(refusal) = &error {
            shared.handler.on_refused(link.key.addr, refusal);
        }
        return link.down(&shared, &error);
    }
}

async fn connect(shared: &Shared, key: &LinkKey, hello: &Hello) -> Result<Arc<Session>, RequestError> {
    let at = |e: &dyn std::fmt::Display| RequestError::NotSent(format!("{}: {e}", key.addr));
    let connecting = shared.endpoint.connect(key.addr, PEER_DNS_NAME).map_err(|e| at(&e))?;
    let connection = connecting.await.map_err(|e| at(&e))?;
    let answer = exchange(&connection, hello).await;
    let answer = answer.map_err(|e| match connection.close_reason() {
        Some(reason) => refusal_in(&reason)
            .filter(|_| peer_name(&connection).is_some_and(|name| name.cluster() == hello.cluster))
            .map_or_else(|| at(&reason), RequestError::Refused),
        None => at(&e),
    })?;
    let remote = decode_hello(&answer, hello.version).map_err(|e| at(&e));
    match remote.and_then(|remote| examine(shared, key, &connection, &remote).map(|()| remote)) {
        Ok(remote) => Ok(Session::new(connection, remote)),
        Err(error) => {
            shared.complain_of(&connection, &error.to_string());
            Err(error)
        }
    }
}

async fn exchange(connection: &quinn::Connection, hello: &Hello) -> Result<bytes::Bytes, String> {
    let (mut send, recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
    let mut batch = Batch::default();
    batch.push(&encode_hello(hello), &[]);
    send.write_all(&[TAG_HELLO]).await.map_err(|e| e.to_string())?;
    send.write_all_chunks(&mut batch.take()).await.map_err(|e| e.to_string())?;
    let answer = FrameReader::new(recv, MAX_HELLO_BYTES).next().await.map_err(|e| e.to_string())?;
    answer.ok_or_else(|| "it said no hello".into())
}

/// The acceptor is checked as strictly as it checks the dialer.
fn examine(
    shared: &Shared,
    key: &LinkKey,
    connection: &quinn::Connection,
    remote: &Hello,
) -> Result<(), RequestError> {
    let not_sent = |why: String| Err(RequestError::NotSent(format!("{}: {why}", key.addr)));
    if let Err(refusal) = shared.check_name(peer_name(connection).as_ref(), remote) {
        shared.refuse(connection, &refusal);
        return not_sent(refusal.to_string());
    }
    if key.node_id.as_ref().is_some_and(|expected| *expected != remote.node_id) {
        connection.close(super::wire::CLOSE_DONE.into(), b"");
        return not_sent(format!("{} answers there now", remote.node_id));
    }
    if let Some(by) = shared.newest.retired(&remote.node_id, remote.incarnation) {
        shared.refuse(connection, &Refusal::Retired { by });
        return not_sent("a retired life of that node answers there".into());
    }
    Ok(())
}

/// What the other end said when it closed the connection, if it was a refusal.
pub(super) fn refusal_in(ended: &ConnectionError) -> Option<Refusal> {
    match ended {
        ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_REFUSED.into() => {
            decode_refusal(&close.reason)
        }
        _ => None,
    }
}
