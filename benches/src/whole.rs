//! Whole ways of messages, in pieces that can be repeated: on one thread, with a network and disks of memory and a clock
//! that stands still while there is work. So nothing else happens meanwhile, and twice the same work is twice the same.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use standin::actor::ActorRef;
use standin::clock::{Clock, Mono};
use standin::id::NodeId;
use standin::identity::DevAuthority;
use standin::testing::pieces::{Failure, PIECES, Piece, Round};
use standin::testing::{Weather, World};
use standin::{Peer, Placement};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::counter::{Add, Sum};

const LOCAL: u64 = 500;
const REMOTE: u64 = 50;
/// Callers that ask at once.
const AT_ONCE: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(30);

const WHOLE: [Piece; 6] = [
    Piece { name: "local ask, in turn", times: LOCAL, begin: || asks(1, 1, LOCAL) },
    Piece { name: "local ask, 16 at once", times: AT_ONCE * LOCAL, begin: || asks(1, AT_ONCE, LOCAL) },
    Piece { name: "local tell, and its handling", times: LOCAL, begin: || tells(1, LOCAL) },
    Piece { name: "remote ask, in turn", times: REMOTE, begin: || asks(2, 1, REMOTE) },
    Piece { name: "remote ask, 16 at once", times: AT_ONCE * REMOTE, begin: || asks(2, AT_ONCE, REMOTE) },
    Piece { name: "remote tell, and its handling", times: REMOTE, begin: || tells(2, REMOTE) },
];

/// All that is looked at: whole ways, and parts of them.
pub fn all_pieces() -> impl Iterator<Item = Piece> {
    WHOLE.into_iter().chain(PIECES)
}

/// A clock that goes as the runtime's does.
pub struct RuntimeClock(Instant);

impl RuntimeClock {
    /// One of a machine that was started a while ago.
    #[allow(clippy::new_without_default, reason = "what it is depends on when it is made")]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Mono {
        // Longer than a lease after the machine was started.
        Mono(0) + PATIENCE + self.0.elapsed()
    }
}

/// Some peers, and an actor on the last one.
struct Small {
    runtime: Runtime,
    peers: Vec<Peer>,
    sum: ActorRef<Sum>,
}

impl Small {
    fn start(peers: usize) -> Result<Self, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let (peers, sum) = runtime.block_on(start(peers))?;
        Ok(Self { runtime, peers, sum })
    }
}

async fn start(peers: usize) -> Result<(Vec<Peer>, ActorRef<Sum>), Failure> {
    let world = World::new(1);
    let authority = DevAuthority::create("bench")?;
    let mut all: Vec<Peer> = Vec::new();
    for at in 0..peers {
        let node = NodeId::new(format!("peer-{at}"))?;
        let network = world.network().bind(SocketAddr::new(World::host(at), 0))?;
        let builder = Peer::builder(node.clone())
            .identity(authority.issue(&node)?)
            .network(network)
            .store(Arc::new(world.disk(Path::new(node.as_str()))))
            .clock(Arc::new(RuntimeClock::new()))
            .bootstrap(at == 0)
            .contacts(all.first().and_then(|first| first.status().addr))
            .kind(Sum::kind());
        let peer = builder.start().await?;
        peer.joined(PATIENCE).await?;
        all.push(peer);
    }
    let home = Placement::On(NodeId::new(format!("peer-{}", peers - 1))?);
    let sum = all[0].create("sum", Sum(0), home).await?;
    let at_once = Weather { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0, duplicated: 0 };
    world.network().set_weather(at_once);
    Ok((all, sum))
}

/// So many callers ask the actor so often, each one after the other.
fn asks(peers: usize, callers: u64, each: u64) -> Result<Round, Failure> {
    let Small { runtime, peers, sum } = Small::start(peers)?;
    Ok(Box::new(move |measure| {
        measure(&mut || {
            let caller = |_| {
                let (peer, sum) = (peers[0].clone(), sum.clone());
                async move {
                    for _ in 0..each {
                        peer.ask(&sum, Add(1)).await.expect("the actor answers");
                    }
                }
            };
            runtime.block_on(async { (0..callers).map(caller).collect::<JoinSet<()>>().join_all().await });
        });
    }))
}

/// One caller tells the actor so many messages, and asks once at the end.
fn tells(peers: usize, times: u64) -> Result<Round, Failure> {
    let Small { runtime, peers, sum } = Small::start(peers)?;
    Ok(Box::new(move |measure| {
        measure(&mut || {
            let (peer, sum) = (peers[0].clone(), sum.clone());
            let caller = async move {
                for _ in 1..times {
                    peer.tell(&sum, Add(1)).await.expect("the actor has room");
                }
                peer.ask(&sum, Add(1)).await.expect("the actor answers");
            };
            runtime.block_on(async { JoinSet::from_iter([caller]).join_all().await });
        });
    }))
}
