//! Messages without a reply from one process to another: plain ones, and reliable ones.

use std::path::Path;
use std::time::Instant;

use ::standin::actor::{Actor, ActorRef, Context, Handler, Kind, Message, Outbox, Policy};
use ::standin::id::NodeId;
use ::standin::{Builder, Peer, Placement};
use benches::counter::Add;
use benches::{Sample, median};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{SERIES, Server, by_callers, fail};
use crate::common::on_tokio;
use crate::ours::{self, make_authority};

pub const RATE: &str = "told, a second";
const TELLS: u64 = 200_000;
/// Reliable messages that one message makes the sender send.
const BURST: u64 = 256;

/// How they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tell {
    /// By many tasks, each of which waits until its message is in the mailbox. Who dies may take it along.
    Plain,
    /// By an actor, whose checkpoints hold them until those of the receiver do: exactly once, whoever dies.
    #[value(name = "standin")]
    Reliable,
}

/// Adds up what it is sent.
#[derive(Serialize, Deserialize)]
struct Tally(u64);

/// Sends to it.
#[derive(Serialize, Deserialize)]
struct Teller;

fn eager() -> Policy {
    Policy { outbox: Outbox::Eager, ..Policy::default() }
}

impl Actor for Tally {
    const KIND: &'static str = "tally";
    fn policy() -> Policy {
        eager()
    }
}

impl Actor for Teller {
    const KIND: &'static str = "teller";
    fn policy() -> Policy {
        eager()
    }
}

/// Send so many.
#[derive(Serialize, Deserialize)]
struct Burst(u64);
impl Message for Burst {
    const NAME: &'static str = "burst";
    type Reply = ();
}

impl Handler<Add> for Tally {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.0 += n;
        self.0
    }
}

impl Handler<Burst> for Teller {
    async fn handle(&mut self, Burst(many): Burst, ctx: &mut Context<Self>) {
        let tally = tally();
        for _ in 0..many {
            ctx.send(&tally, Add(1)).unwrap_or_else(fail);
        }
    }
}

fn tally() -> ActorRef<Tally> {
    ActorRef::new("tally").unwrap_or_else(fail)
}

fn kinds(peer: Builder) -> Builder {
    peer.kind(Kind::of::<Tally>().handles::<Add>()).kind(Kind::of::<Teller>().handles::<Burst>())
}

/// Founds the cluster.
pub fn serve(dir: &Path) {
    on_tokio(async { ours::serve(ours::peer(dir, "server", None, kinds).await).await });
}

/// Measures one way, with a second process of this program.
pub fn run(how: Tell) -> Sample {
    let dir = tempfile::tempdir().unwrap_or_else(fail);
    on_tokio(measure(how, dir.path()))
}

async fn measure(how: Tell, dir: &Path) -> Sample {
    make_authority(dir);
    let server = Server::start(["serve-tells".into(), dir.into()]);
    let contact = server.greeting.parse().unwrap_or_else(fail);
    let peer = ours::peer(dir, "client", Some(contact), kinds).await;
    let on = |node| Placement::On(NodeId::new(node).unwrap_or_else(fail));
    let tally = peer.create("tally", Tally(0), on("server")).await.unwrap_or_else(fail);
    let teller = peer.create("teller", Teller, on("client")).await.unwrap_or_else(fail);
    let (mut rates, mut sum) = (Vec::new(), 0);
    // The first does not count.
    for _ in 0..=SERIES {
        let begin = Instant::now();
        let told = match how {
            Tell::Plain => tell(&peer, &tally).await,
            Tell::Reliable => send(&peer, &teller).await,
        };
        sum += told;
        // Until all of them are in the receiver's state.
        while peer.ask(&tally, Add(0)).await.unwrap_or_else(fail) < sum {}
        rates.push(told as f64 / begin.elapsed().as_secs_f64());
    }
    peer.shutdown().await;
    [(RATE.to_owned(), median(&rates[1..]))].into()
}

async fn tell(peer: &Peer, tally: &ActorRef<Tally>) -> u64 {
    let tellers = by_callers(TELLS, |share| {
        let (peer, tally) = (peer.clone(), tally.clone());
        async move {
            for _ in 0..share {
                peer.tell(&tally, Add(1)).await.unwrap_or_else(fail);
            }
        }
    });
    tellers.await
}

async fn send(peer: &Peer, teller: &ActorRef<Teller>) -> u64 {
    for _ in 0..TELLS / BURST {
        peer.ask(teller, Burst(BURST)).await.unwrap_or_else(fail);
    }
    TELLS / BURST * BURST
}
