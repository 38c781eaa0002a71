//! Names: actors that come and go under one name, and the directory that says which is there.

use porcupine_rs::{Model, Operation};
use serde::{Deserialize, Serialize};
use standin::actor::{Actor, ActorRef, Context, Handler, Message, Policy, When};
use standin::id::NodeId;
use standin::{CallError, Peer, Placement, Reason};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

use super::call::{Call, End};
use super::opinion::is_explained;
use super::request::end_of;

/// Remembers who created it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Name {
    by: u64,
}

impl Actor for Name {
    const KIND: &'static str = "name";
    fn policy() -> Policy {
        Policy { checkpoint: When::OnRequest, copies: 2, ..Policy::default() }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameAct {
    Create,
    Stop,
    Find,
}

/// One such request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameCall {
    pub act: NameAct,
    /// The name's generation, so that no history becomes long.
    pub generation: u64,
    pub number: u64,
    /// Where it is to live, among the members, by number.
    pub home: usize,
}

/// A name of some generation.
pub fn key(actor: u32, generation: u64) -> String {
    format!("n{actor}-{generation}")
}

/// Between two attempts.
const MOMENT: Duration = Duration::from_millis(10);

/// Calls to one generation of all names.
const GENERATION: usize = 40;

impl NameCall {
    /// The generation of the next call after so many.
    pub fn generation(calls: usize) -> u64 {
        (calls / GENERATION) as u64
    }

    /// Carries it out.
    pub async fn perform(self, peer: &Peer, actor: u32, deadline: Duration) -> End {
        let key = key(actor, self.generation);
        let Ok(name) = ActorRef::<Name>::new(&key) else { return End::Not };
        match self.act {
            NameAct::Create => {
                let members: Vec<NodeId> = peer.status().members.into_keys().collect();
                let home = members.get(self.home % members.len().max(1));
                let Some(home) = home.cloned().map(Placement::On) else { return End::Not };
                end_of(peer.create(key, Name { by: self.number }, home).await, |_| 0)
            }
            NameAct::Stop => end_of(peer.stop(&name).await, |()| 0),
            NameAct::Find => end_of(peer.ask_durable(&name, WhoMadeYou, deadline).await, |by| by),
        }
    }
}

/// Whether a name was created at a node.
pub async fn create(peer: &Peer, key: &str, home: NodeId) -> bool {
    peer.create(key, Name { by: 0 }, Placement::On(home)).await.is_ok()
}

/// Ends the actor of a name, and creates another one elsewhere.
pub async fn make_anew(peer: &Peer, key: &str, home: NodeId, until: Instant) {
    let Ok(name) = ActorRef::<Name>::new(key) else { return };
    // Whether it was this call or an earlier one that ended it.
    let ended = |e: &CallError| matches!(e.reason, Reason::NoSuchActor);
    while Instant::now() < until && peer.stop(&name).await.is_err_and(|e| !ended(&e)) {
        tokio::time::sleep(MOMENT).await;
    }
    while Instant::now() < until && !create(peer, key, home.clone()).await {
        tokio::time::sleep(MOMENT).await;
    }
}

/// Asks a name again and again.
pub async fn ask_until(peer: &Peer, key: &str, until: Instant) {
    let Ok(name) = ActorRef::<Name>::new(key) else { return };
    while Instant::now() < until {
        drop(peer.ask_within(&name, WhoMadeYou, MOMENT * 20).await);
        tokio::time::sleep(MOMENT).await;
    }
}

type Seen = (NameCall, End);

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
            (_, End::Exists) => (state.is_some(), *state),
            (_, End::Absent) => (state.is_none(), *state),
            (NameAct::Find, End::Done(by)) => (*state == Some(*by), *state),
            (NameAct::Create, End::Done(_)) => (state.is_none(), Some(call.number)),
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
pub fn judge(calls: &[Call<NameCall>]) -> Result<(), (&'static str, String)> {
    let mut names: BTreeMap<(u32, u64), Vec<Operation<OneName>>> = BTreeMap::new();
    for call in calls {
        let says_nothing = call.what.act == NameAct::Find && call.end == End::Unknown;
        if call.end == End::Not || says_nothing {
            continue;
        }
        // Whose outcome nobody knows may take effect at any later time, or never: after all others.
        let ended = if call.end == End::Unknown { i64::MAX } else { call.ended as i64 };
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
        if matches!((call.what.act, call.end), (NameAct::Create, End::Done(_))) {
            told(End::Unknown);
        }
    }
    for ((actor, generation), calls) in names {
        let explained = is_explained(&calls).map_err(|e| e.told(&key(actor, generation)))?;
        if !explained {
            let what = format!("{}: no order explains its {} calls", key(actor, generation), calls.len());
            return Err(("directory_is_linearizable", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(calls: &[(NameAct, u64, u64, End)]) -> bool {
        let call = |(number, (act, called, ended, end)): (usize, &_)| Call {
            client: number as u32,
            actor: 0,
            what: NameCall { act: *act, generation: 0, number: number as u64, home: 0 },
            called: *called,
            ended: *ended,
            end: *end,
        };
        judge(&calls.iter().enumerate().map(call).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn a_directory_that_lies_is_noticed() {
        use End::{Absent, Exists, Unknown};
        use NameAct::{Create, Find, Stop};
        const MADE: End = End::Done(0);
        let found = End::Done;
        assert!(history(&[(Create, 1, 2, MADE), (Find, 3, 4, found(0)), (Stop, 5, 6, MADE)]));
        assert!(!history(&[(Create, 1, 2, MADE), (Create, 3, 4, MADE)]), "two have the name");
        assert!(!history(&[(Create, 1, 2, MADE), (Find, 3, 4, Absent)]), "it is forgotten");
        assert!(!history(&[(Create, 1, 2, MADE), (Stop, 3, 4, MADE), (Find, 5, 6, found(0))]), "it lives on");
        let maybe = |end| [(Create, 1, 2, Unknown), (Find, 3, 4, end)];
        assert!(history(&maybe(Absent)) && history(&maybe(found(0))));
        assert!(!history(&[(Create, 1, 2, Unknown), (Find, 3, 4, found(0)), (Find, 5, 6, Absent)]));
        assert!(history(&[(Create, 1, 2, Unknown), (Create, 3, 4, Exists)]));
        assert!(!history(&[(Stop, 1, 2, Unknown), (Create, 3, 4, Exists)]), "nobody made it");
    }
}
