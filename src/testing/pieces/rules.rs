//! What the core decides most often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Failure, Piece, Round};
use crate::clock::Mono;
use crate::core::apply::{At, Changes};
use crate::core::command::{Checkpoint, Command, Commit, Response};
use crate::core::lease::{Effect, Granter, Input, MemberView, PeerInput, PeerLease};
use crate::core::session::{Content, Inbox, Job, Outbox, Sender, Verdict};
use crate::core::state::{Actor, Member, State, Status};
use crate::id::{ActorId, Epoch, Incarnation, NodeId, RaftId};

/// Messages that go to one receiver at once.
const PARCELS: u64 = 1000;
/// Checkpoints that one entry commits, of so many actors.
const COMMITS: u64 = 1000;
const ACTORS: u64 = 10_000;
/// Members that hold leases.
const MEMBERS: u64 = 5;

pub(super) const SESSION: Piece =
    Piece { name: "reliable message, both ends' books", times: PARCELS, begin: session };
pub(super) const COMMIT: Piece =
    Piece { name: "checkpoint's commit, applied", times: COMMITS, begin: commit };
pub(super) const LEASE: Piece =
    Piece { name: "heartbeat and lease, both ends", times: MEMBERS, begin: lease };

/// Messages are put into an outbox, taken by an inbox, and forgotten when they are durable there.
fn session() -> Result<Round, Failure> {
    let to = ActorId::new("sum", "to")?;
    let from = Sender::Actor { id: ActorId::new("sum", "from")?, life: 7 };
    let (mut outbox, mut inbox, mut taken) = (Outbox::default(), Inbox::default(), 0);
    Ok(Box::new(move |measure| {
        measure(&mut || {
            for _ in 0..PARCELS {
                let content = Content { name: "add", payload: vec![7; 16], is_ask: false };
                outbox.push(&to, || Some(9), content, 0);
            }
            while let Some(Job::Deliver(batch)) = outbox.next(0) {
                let mut last = 0;
                for parcel in &batch.items {
                    last = parcel.seq;
                    if inbox.judge(&from, parcel) == Verdict::Next {
                        inbox.take(&from, parcel.seq);
                        taken += 1;
                    }
                }
                outbox.delivered(&to, batch.lane, last, Mono(0));
            }
            assert!(taken == outbox.newest() && outbox.is_empty(), "a message is missing");
        });
    }))
}

/// An entry of the log makes many checkpoints count.
fn commit() -> Result<Round, Failure> {
    let (mut state, ids) = directory()?;
    let mut index = 100;
    Ok(Box::new(move |measure| {
        index += 1;
        let commit = |at: u64| {
            let actor = ids.get((at * 7 % ACTORS) as usize)?;
            let holders = [RaftId(1), RaftId(2), RaftId(3)].into();
            let checkpoint = Checkpoint { seq: index, digest: [7; 32], length: 200, copies: 2, holders };
            Some(Commit { actor: actor.clone(), epoch: Epoch(9), checkpoint, required: 2 })
        };
        let items = (0..COMMITS).filter_map(commit).collect();
        let command = Command::Commit { by: Incarnation(1), items };
        measure(&mut || {
            let mut changes = Changes::default();
            let answer = state.apply(At { index, term: 1 }, &command, &mut changes);
            let all = matches!(answer, Response::Items(items) if items.iter().all(Result::is_ok));
            // The first ones are births.
            let told = changes.saved.len() + changes.actors.len();
            assert!(all && told as u64 == COMMITS, "a checkpoint does not count");
        });
    }))
}

fn directory() -> Result<(State, Vec<ActorId>), Failure> {
    let mut state = State::default();
    for n in 1..=MEMBERS {
        let member = Member {
            incarnation: Incarnation(n),
            raft_id: RaftId(n),
            addr: SocketAddr::from(([10, 0, 0, 1], 1)),
            standing: Status::Up,
            kinds: BTreeSet::new(),
            labels: BTreeMap::new(),
            nonce: u128::from(n),
            silent_ms: 0,
        };
        state.members.insert(NodeId::new(format!("peer-{n}"))?, member);
    }
    let home = NodeId::new("peer-1")?;
    let mut ids = Vec::new();
    for n in 0..ACTORS {
        let actor = Actor::new(home.clone(), Incarnation(1), 9, u128::from(n), None);
        let id = ActorId::new("sum", n.to_string())?;
        state.actors.insert(&id, &actor);
        ids.push(id);
    }
    Ok((state, ids))
}

/// A leader proves that a majority follows it; every member asks it for a lease, and counts what it is granted.
fn lease() -> Result<Round, Failure> {
    let beat = Duration::from_millis(100);
    let mut now = Mono(1_000_000_000);
    let mut granter = Granter::new(RaftId(1), beat * 10);
    let (mut members, mut peers) = (BTreeMap::new(), Vec::new());
    for n in 1..=MEMBERS {
        let node = NodeId::new(format!("peer-{n}"))?;
        let view = MemberView { incarnation: Incarnation(n), status: Status::Up };
        members.insert(node.clone(), view);
        let mut lease = PeerLease::new();
        lease.step(PeerInput::Applied { index: 9 });
        peers.push((node, view.incarnation, lease));
    }
    let voters = vec![(1..=3).map(RaftId).collect()];
    let known = [Input::RaftStarted, Input::Voters(voters), Input::BecameLeader { term: 1 }];
    let applied = [Input::AppliedTerm { term: 1, index: 9 }, Input::MembersApplied { index: 9, members }];
    for input in known.into_iter().chain(applied) {
        granter.step(input, now);
    }
    let mut seq = 0;
    Ok(Box::new(move |measure| {
        now = now + beat;
        seq += 1;
        measure(&mut || {
            for probe in granter.step(Input::ProbeStart, now) {
                if let Effect::Probe { term, n, to } = probe {
                    for from in to {
                        granter.step(Input::ProbeAck { from, term, n }, now);
                    }
                }
            }
            let mut held = 0;
            for (node, incarnation, lease) in &mut peers {
                lease.step(PeerInput::Sent { seq, now });
                let (node, incarnation) = (node.clone(), *incarnation);
                let asked = Input::Heartbeat { node, incarnation, seq, applied: 9 };
                for answer in granter.step(asked, now) {
                    if let Effect::Grant { seq, grant, .. } = answer {
                        held += u64::from(lease.step(PeerInput::Granted { seq, grant }).is_some());
                    }
                }
            }
            assert!(held == MEMBERS && granter.step(Input::Tick, now).is_empty(), "a lease was not granted");
        });
    }))
}
