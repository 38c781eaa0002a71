//! Names: actors that come and go under one name, and the directory that says which is there.

use porcupine_rs::{Model, Operation};
use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Policy, When};
use standin::{CallError, Outcome, Peer, Placement, Reason};
use std::collections::BTreeMap;
use std::time::Duration;

use super::call::{Asked, Call};
use super::client::{Client, Way};
use super::lock;

/// Remembers who created it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Name {
    by: u64,
}

impl Actor for Name {
    const KIND: &'static str = "name";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2 }
    }
}

/// Asks a name who created it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WhoMadeYou;

impl Message for WhoMadeYou {
    const NAME: &'static str = "who made you";
    type Reply = u64;
}

impl Handler<WhoMadeYou> for Name {
    async fn handle(&mut self, WhoMadeYou: WhoMadeYou, _: &mut Context<Self>) -> u64 {
        self.by
    }
}

/// What can be done with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum NameAct {
    Create,
    Stop,
    Find,
}

/// One such request: the name's generation, so that no history becomes long, and a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct NameCall {
    pub act: NameAct,
    pub generation: u64,
    pub number: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum NameEnd {
    /// Created, stopped.
    Done,
    /// There was one already.
    Exists,
    /// There was none.
    Absent,
    /// Found; made by this one.
    Found(u64),
    /// It was not done, or not even asked.
    Not,
    /// Nobody can say.
    Unknown,
}

/// Calls to one generation of a name.
const GENERATION: u64 = 40;

impl Client {
    pub(super) async fn name(&mut self, Way { peer, process, actor, deadline }: Way) {
        let act = match self.random.below(5) {
            0 | 1 => NameAct::Create,
            2 => NameAct::Stop,
            _ => NameAct::Find,
        };
        let generation = lock(&self.history).names.len() as u64 / GENERATION;
        let what = NameCall { act, generation, number: self.number() };
        let members: Vec<_> = peer.status().members.into_keys().collect();
        if members.is_empty() {
            return;
        }
        let home = Placement::On(self.random.pick(&members).clone());
        let called = self.tick();
        let key = format!("n{actor}-{generation}");
        let asked = process.spawn(async move { ask(&peer, &key, what, home, deadline).await });
        let end = end_of(asked.await);
        let call = Call { client: self.id, actor, what, called, ended: self.tick(), end };
        lock(&self.history).names.push(call);
    }
}

async fn ask(
    peer: &Peer,
    key: &str,
    what: NameCall,
    home: Placement,
    deadline: Duration,
) -> Result<NameEnd, CallError> {
    let name = ActorRef::<Name>::new(key)
        .map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))?;
    match what.act {
        NameAct::Create => peer.create(key, Name { by: what.number }, home).await.map(|_| NameEnd::Done),
        NameAct::Stop => peer.stop(&name).await.map(|()| NameEnd::Done),
        NameAct::Find => peer.ask_durable(&name, WhoMadeYou, deadline).await.map(NameEnd::Found),
    }
}

fn end_of(asked: Asked<NameEnd>) -> NameEnd {
    match asked {
        Ok(Ok(end)) => end,
        Ok(Err(CallError { outcome: Outcome::NotExecuted, reason })) => match reason {
            Reason::AlreadyExists => NameEnd::Exists,
            Reason::NoSuchActor => NameEnd::Absent,
            _ => NameEnd::Not,
        },
        _ => NameEnd::Unknown,
    }
}

type Seen = (NameCall, NameEnd);

/// Who made the actor that has the name.
#[derive(Debug, Clone)]
struct OneName;

impl Model for OneName {
    type State = Option<u64>;
    type Op = Seen;
    type Metadata = ();

    fn init() -> Option<u64> {
        None
    }

    fn step(state: &Option<u64>, (call, end): &Seen) -> (bool, Option<u64>) {
        match (call.act, end) {
            (_, NameEnd::Exists) => (state.is_some(), *state),
            (_, NameEnd::Absent) => (state.is_none(), *state),
            (NameAct::Find, NameEnd::Found(by)) => (*state == Some(*by), *state),
            (NameAct::Create, NameEnd::Done) => (state.is_none(), Some(call.number)),
            // It may have lost against another one.
            (NameAct::Create, _) => (true, state.or(Some(call.number))),
            // It may have found that somebody else stopped it meanwhile.
            (NameAct::Stop, _) => (true, None),
            (NameAct::Find, _) => (true, *state),
        }
    }
}

/// Whether all requests to each name can be explained by one after another.
///
/// # Errors
/// The invariant that is broken, and how.
pub fn judge(calls: &[Call<NameCall, NameEnd>]) -> Result<(), (&'static str, String)> {
    let mut names: BTreeMap<(u32, u64), Vec<Operation<OneName>>> = BTreeMap::new();
    for call in calls {
        let says_nothing = call.what.act == NameAct::Find && call.end == NameEnd::Unknown;
        if call.end == NameEnd::Not || says_nothing {
            continue;
        }
        // Whose outcome nobody knows may take effect at any later time, or never: after all others.
        let ended = if call.end == NameEnd::Unknown { i64::MAX } else { call.ended as i64 };
        let name = names.entry((call.actor, call.what.generation)).or_default();
        let mut told = |end| {
            name.push(Operation {
                client_id: Some(call.client),
                call_time: call.called as i64,
                return_time: ended,
                op: (call.what, end),
                metadata: None,
            });
        };
        told(call.end);
        // One that had to be asked for again may have come into being twice, if it was stopped between.
        if (call.what.act, call.end) == (NameAct::Create, NameEnd::Done) {
            told(NameEnd::Unknown);
        }
    }
    for ((actor, generation), calls) in names {
        if !porcupine_rs::check_operations(&calls) {
            let what = format!("n{actor}-{generation}: no order explains its {} calls", calls.len());
            return Err(("directory_is_linearizable", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(calls: &[(NameAct, u64, u64, NameEnd)]) -> bool {
        let call = |(number, (act, called, ended, end)): (usize, &_)| Call {
            client: number as u32,
            actor: 0,
            what: NameCall { act: *act, generation: 0, number: number as u64 },
            called: *called,
            ended: *ended,
            end: *end,
        };
        judge(&calls.iter().enumerate().map(call).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn a_directory_that_lies_is_noticed() {
        use NameAct::{Create, Find, Stop};
        use NameEnd::{Absent, Done, Exists, Found, Unknown};
        assert!(history(&[(Create, 1, 2, Done), (Find, 3, 4, Found(0)), (Stop, 5, 6, Done)]));
        assert!(!history(&[(Create, 1, 2, Done), (Create, 3, 4, Done)]), "two have the name");
        assert!(!history(&[(Create, 1, 2, Done), (Find, 3, 4, Absent)]), "it is forgotten");
        assert!(!history(&[(Create, 1, 2, Done), (Stop, 3, 4, Done), (Find, 5, 6, Found(0))]), "it lives on");
        let maybe = |end| [(Create, 1, 2, Unknown), (Find, 3, 4, end)];
        assert!(history(&maybe(Absent)) && history(&maybe(Found(0))));
        assert!(!history(&[(Create, 1, 2, Unknown), (Find, 3, 4, Found(0)), (Find, 5, 6, Absent)]));
        assert!(history(&[(Create, 1, 2, Unknown), (Create, 3, 4, Exists)]));
        assert!(!history(&[(Stop, 1, 2, Unknown), (Create, 3, 4, Exists)]), "nobody made it");
    }
}
