//! Answers other peers.

use bytes::Bytes;
use serde_bytes::ByteBuf;
use std::sync::{Arc, Weak};

use super::reach::halves;
use super::shared::Shared;
use crate::actor::{Refused as NotTaken, WireReply};
use crate::core::command::Command;
use crate::core::proposal::Proposal;
use crate::error::{CallError, Reason};
use crate::id::{ActorId, Incarnation, NodeId};
use crate::limits::{MAX_BATCH_ITEMS, MAX_REPAIRS_PER_ORDER};
use crate::raft::ProposeError;
use crate::transport::{FramedStream, Handler, Hello, Lane, Refusal, Remote, Reply};
use crate::wire::{Answer, Call, Mail, Rare, Request, StreamHeader, answer, decode, encode};

/// The peer as its transport sees it.
pub(super) struct Server(pub(super) Weak<Shared>);

impl Handler for Server {
    fn on_hello(&self, hello: &Hello) -> Result<(), Refusal> {
        let Some(shared) = self.0.upgrade() else { return Err(Refusal::Overloaded) };
        let ours = shared.state(|s| s.cluster.as_ref().map(|(id, _)| *id)).flatten();
        if let (Some(ours), Some(theirs)) = (ours, hello.cluster_id)
            && ours != theirs
        {
            return Err(Refusal::WrongCluster);
        }
        if let Some(theirs) = hello.incarnation
            && let Some(by) = shared.newer_than(&hello.node_id, theirs)
        {
            return Err(Refusal::Retired { by });
        }
        if let Some(disk) = hello.raft_id {
            shared.learn(&hello.node_id, disk, hello.listen);
        }
        Ok(())
    }

    fn on_request(&self, from: &Arc<Remote>, lane: Lane, body: Bytes, reply: Reply) {
        let Some(shared) = self.0.upgrade() else { return };
        match lane {
            Lane::Call | Lane::Heavy => shared.on_call(from, &body, reply),
            Lane::Control => match decode::<Request>(&body) {
                Ok(request) if may_send(&shared, from, &request) => {
                    let from = from.clone();
                    let task = shared.clone();
                    shared.spawn(async move { reply.send(encode(&task.answer(&from, request).await)) });
                }
                Ok(_) => reply.send(encode(&Answer::Refused("be admitted first".into()))),
                Err(_) => reply.refuse(&Refusal::Malformed),
            },
        }
    }

    fn on_stream(&self, from: &Arc<Remote>, header: Bytes, stream: FramedStream) {
        let Some(shared) = self.0.upgrade() else { return };
        let Ok(header) = decode::<StreamHeader>(&header) else { return };
        let from = from.clone();
        shared.clone().spawn(async move {
            if let Err(e) = shared.serve_stream(&from, header, stream).await {
                tracing::debug!(from = %from.hello.node_id, %e, "a stream ended early");
            }
        });
    }

    fn on_refused(&self, _by: std::net::SocketAddr, refusal: &Refusal) {
        if let (Some(shared), Refusal::Retired { by }) = (self.0.upgrade(), refusal) {
            shared.retire(*by);
        }
    }
}

/// An unadmitted process may ask to join; and if it runs a member's disk, its vote may be needed.
fn may_send(shared: &Shared, from: &Remote, request: &Request) -> bool {
    match request {
        Request::Join(join) => join.forwarded || join.node == from.hello.node_id,
        _ if from.hello.incarnation.is_some() => true,
        Request::Raft { .. } | Request::Probe(_) => runs_members_disk(shared, from),
        _ => false,
    }
}

fn runs_members_disk(shared: &Shared, from: &Remote) -> bool {
    from.hello.raft_id.is_some() && from.hello.raft_id == shared.disk_of(&from.hello.node_id)
}

impl Shared {
    async fn answer(self: &Arc<Self>, from: &Remote, request: Request) -> Answer {
        match request {
            Request::Join(join) => Answer::Join(self.on_join(join).await),
            Request::Relay { to, request } => self.relay(from, to, request).await,
            Request::Relayed { from: node, incarnation, request } => {
                self.answer_relayed(&node, incarnation, *request).await
            }
            Request::Create(order) => Answer::Created(self.create_here(order).await),
            Request::Heartbeat(h) if Some(h.incarnation) != from.hello.incarnation => {
                Answer::Refused("a heartbeat for another process".into())
            }
            request => self.answer_any_way(from.hello.incarnation, request).await,
        }
    }

    /// The requests that may also come around a cut link. `speaker` is the process that asks.
    async fn answer_any_way(self: &Arc<Self>, speaker: Option<Incarnation>, request: Request) -> Answer {
        match request {
            Request::Propose(command) => self.on_propose(speaker, command).await,
            Request::ReadIndex => self.on_read_index().await,
            Request::Repair(orders) if orders.len() <= MAX_REPAIRS_PER_ORDER => {
                Answer::Repaired(self.on_repair(orders).await)
            }
            Request::Repair(_) => Answer::Refused("too many orders".into()),
            Request::HandOver(order) => self.on_hand_over(order),
            Request::Heartbeat(heartbeat) => {
                let (node, incarnation) = (heartbeat.node.clone(), heartbeat.incarnation);
                let answer = self.on_heartbeat(heartbeat);
                self.mark_up(node, incarnation);
                Answer::Heartbeat(answer)
            }
            Request::Probe(probe) => Answer::Probe(self.on_probe(probe)),
            Request::Raft { to, body } => match self.consensus_on(&to) {
                Ok(consensus) => match consensus.serve_call(&body).await {
                    Ok(reply) => Answer::Raft(ByteBuf::from(reply)),
                    Err(e) => Answer::Refused(e.to_string()),
                },
                Err(why) => Answer::Refused(why.into()),
            },
            _ => Answer::Refused("this cannot be relayed".into()),
        }
    }

    async fn relay(&self, from: &Remote, to: NodeId, request: Box<Request>) -> Answer {
        let Some(incarnation) = from.hello.incarnation else {
            return Answer::Refused("be admitted first".into());
        };
        let Some(dest) = self.dest_of(&to) else { return Answer::Refused("no such member".into()) };
        let patience = match *request {
            Request::Propose(_) | Request::ReadIndex => self.timing.lease * 2,
            Request::Repair(_) => self.timing.store,
            _ => self.timing.heartbeat * 2,
        };
        let relayed = Request::Relayed { from: from.hello.node_id.clone(), incarnation, request };
        match self.ask(&dest, &relayed, Lane::Control, patience).await {
            Ok(answer) => answer,
            Err(e) if e.is_not_handled() => Answer::Refused(e.to_string()),
            Err(_) => Answer::Unknown,
        }
    }

    async fn answer_relayed(
        self: &Arc<Self>,
        node: &NodeId,
        incarnation: Incarnation,
        request: Request,
    ) -> Answer {
        // A relay may not have heard yet that the one it speaks for was retired.
        if self.newer_than(node, incarnation).is_some() {
            return Answer::Refused("retired".into());
        }
        if let Request::Heartbeat(h) = &request
            && (h.node != *node || h.incarnation != incarnation)
        {
            return Answer::Refused("a heartbeat for another process".into());
        }
        // A relayed request is how the leader, too, learns that the link between them is cut.
        self.detours.heard_around(node, self.now(), self.timing.heartbeat * 3);
        self.answer_any_way(Some(incarnation), request).await
    }

    /// Writes what a member may ask for: about itself, or what anybody may say.
    async fn on_propose(&self, speaker: Option<Incarnation>, command: Proposal) -> Answer {
        let own = |by: Incarnation| Some(by) == speaker;
        let allowed = match &*command {
            Command::Create { by, .. } | Command::Commit { by, .. } | Command::Restart { by, .. } => own(*by),
            Command::Leave { incarnation, .. } => own(*incarnation),
            Command::AddHolders { repair, items } => {
                let disk_of = |by| self.state(|s| s.member_of(by).map(|(_, m)| m.raft_id)).flatten();
                let disk = speaker.and_then(disk_of);
                !repair && items.iter().all(|h| Some(h.holder) == disk)
            }
            Command::HandOver { by, items } => own(*by) && items.len() <= MAX_BATCH_ITEMS,
            Command::Stop { by, .. } => by.is_none_or(own),
            Command::OpenSession { by, .. } => own(*by),
            Command::CloseSessions { sessions } => {
                let are_own = self.state(|s| {
                    sessions.iter().filter_map(|number| s.sessions.get(number)).all(|session| own(session.by))
                });
                are_own == Some(true)
            }
            Command::DropHolders { .. } | Command::Revive { .. } => true,
            Command::Found { .. }
            | Command::Admit(_)
            | Command::MarkDown { .. }
            | Command::MarkUp { .. }
            | Command::TakeOver { .. } => false,
        };
        if !allowed {
            return Answer::Refused("this is not yours to propose".into());
        }
        let Some(consensus) = self.consensus().filter(|c| c.view().leads()) else { return Answer::NotLeader };
        match consensus.propose(command.written_anew()).await {
            Ok((_, response)) => Answer::Proposed(response),
            Err(ProposeError::NotLeader) => Answer::NotLeader,
            Err(e @ ProposeError::TooLong) => Answer::Refused(e.to_string()),
            Err(ProposeError::Unknown | ProposeError::Stopped(_)) => Answer::Unknown,
        }
    }

    async fn serve_stream(
        self: &Arc<Self>,
        from: &Remote,
        header: StreamHeader,
        stream: FramedStream,
    ) -> std::io::Result<()> {
        let member = from.hello.incarnation.is_some();
        match header {
            StreamHeader::Raft { to, header } if member || runs_members_disk(self, from) => {
                let consensus = self.consensus_on(&to).map_err(std::io::Error::other)?;
                // What is answered there is short.
                let (sink, source) = halves(stream.beside(Lane::Control));
                consensus.serve_stream(&header, sink, source).await
            }
            StreamHeader::PutCopies if member => self.serve_put(stream).await,
            StreamHeader::GetCopy(key) if member => self.serve_get(&key, stream).await,
            _ => Err(std::io::Error::other("be admitted first")),
        }
    }

    /// A message for an actor: straight into its mailbox, in the order of arrival.
    fn on_call(self: &Arc<Self>, from: &Remote, body: &[u8], reply: Reply) {
        if from.hello.incarnation.is_none() {
            return reply.refuse(&Refusal::Malformed);
        }
        let call = match Mail::read(body) {
            Ok(Mail::Call(call)) => call,
            Ok(Mail::Rare(Rare::Parcels(parcels))) => return self.on_parcels(parcels, reply),
            Ok(Mail::Rare(Rare::Copy(key))) => return self.on_ask_for_copy(key, reply),
            Err(_) => return reply.refuse(&Refusal::Malformed),
        };
        let Some(host) = self.host() else {
            let not_here = CallError::not_executed(Reason::NotHere);
            return reply.send(answer(Err(not_here)));
        };
        let sink: WireReply = Box::new(move |outcome| reply.send(answer(outcome)));
        let taken = host.deliver(call.to(), call.message, call.payload, call.mode, sink);
        if let Err((why, sink)) = taken {
            if let (NotTaken::NotHere, Ok(actor)) = (why, ActorId::new(call.kind, call.key)) {
                self.hurry(&actor);
            }
            sink(Err(not_taken(why, &call)));
        }
    }
}

fn not_taken(why: NotTaken, call: &Call<'_>) -> CallError {
    CallError::not_executed(match why {
        NotTaken::NotHere => Reason::NotHere,
        NotTaken::Full => Reason::Full,
        NotTaken::OtherType => Reason::NotHandled(format!("{} of {}", call.message, call.kind)),
    })
}
