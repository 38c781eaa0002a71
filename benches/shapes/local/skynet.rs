//! Skynet: an actor makes ten, asks each for the sum of its part, and adds up; five levels below the first.

use std::future::Future;
use std::pin::Pin;

use super::{MAILBOX, fail};

const WIDTH: u64 = 10;
const LEAVES: u64 = 100_000;

/// Which numbers an actor is to add up: so many, from this one.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u64,
    size: u64,
}

const WHOLE: Part = Part { first: 0, size: LEAVES };

impl Part {
    /// The parts of the ten below, or none if this is one number.
    fn split(self) -> Option<impl Iterator<Item = Part>> {
        let size = self.size / WIDTH;
        (size > 0).then(|| (0..WIDTH).map(move |n| Part { first: self.first + n * size, size }))
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks for all parts before it waits for any.
async fn sum<F: Future<Output = u64>>(parts: impl Iterator<Item = F>) -> u64 {
    futures_util::future::join_all(parts).await.into_iter().sum()
}

pub async fn floor() -> u64 {
    use tokio::sync::{mpsc, oneshot};

    fn spawn() -> mpsc::Sender<(Part, oneshot::Sender<u64>)> {
        let (sender, mut inbox) = mpsc::channel::<(Part, oneshot::Sender<u64>)>(MAILBOX);
        tokio::spawn(async move {
            while let Some((part, reply)) = inbox.recv().await {
                let _ = reply.send(handle(part).await);
            }
        });
        sender
    }
    fn handle(part: Part) -> Boxed<u64> {
        Box::pin(async move {
            match part.split() {
                None => part.first,
                Some(parts) => sum(parts.map(ask)).await,
            }
        })
    }
    async fn ask(part: Part) -> u64 {
        let (reply, answer) = oneshot::channel();
        spawn().send((part, reply)).await.unwrap_or_else(fail);
        answer.await.unwrap_or_else(fail)
    }
    ask(WHOLE).await
}

/// Local actors: like the others here, they live in one process and end with it.
pub async fn standin(peer: ::standin::Peer) -> u64 {
    use ::standin::{LocalActor, LocalContext, LocalHandler, Peer};

    struct Node;
    impl LocalActor for Node {
        const MAILBOX: usize = MAILBOX;
    }
    impl LocalHandler<Part> for Node {
        type Reply = u64;
        async fn handle(&mut self, part: Part, ctx: &mut LocalContext<Self>) -> u64 {
            match part.split() {
                None => part.first,
                Some(parts) => sum(parts.map(|part| ask(ctx.peer(), part))).await,
            }
        }
    }
    fn ask(peer: &Peer, part: Part) -> Boxed<u64> {
        let node = peer.spawn(Node).unwrap_or_else(fail);
        Box::pin(async move { node.ask(part).await.unwrap_or_else(fail) })
    }
    ask(&peer, WHOLE).await
}

pub async fn kameo() -> u64 {
    use ::kameo::Actor;
    use ::kameo::actor::Spawn;
    use ::kameo::mailbox;
    use ::kameo::message::{Context, Message};

    #[derive(Actor)]
    struct Node;
    impl Message<Part> for Node {
        type Reply = u64;
        async fn handle(&mut self, part: Part, _: &mut Context<Self, u64>) -> u64 {
            match part.split() {
                None => part.first,
                Some(parts) => sum(parts.map(ask)).await,
            }
        }
    }
    fn ask(part: Part) -> Boxed<u64> {
        Box::pin(async move {
            let node = Node::spawn_with_mailbox(Node, mailbox::bounded(MAILBOX));
            node.ask(part).await.unwrap_or_else(fail)
        })
    }
    ask(WHOLE).await
}

pub async fn ractor() -> u64 {
    use ::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

    struct Node;
    struct Ask(Part, RpcReplyPort<u64>);
    impl ::ractor::Message for Ask {}
    impl Actor for Node {
        type Msg = Ask;
        type State = ();
        type Arguments = ();
        async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
        async fn handle(
            &self,
            me: ActorRef<Ask>,
            Ask(part, reply): Ask,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            let sum = match part.split() {
                None => part.first,
                Some(parts) => sum(parts.map(ask)).await,
            };
            let _ = reply.send(sum);
            me.stop(None);
            Ok(())
        }
    }
    fn ask(part: Part) -> Boxed<u64> {
        Box::pin(async move {
            let (node, _) = Actor::spawn(None, Node, ()).await.unwrap_or_else(fail);
            call!(node, Ask, part).unwrap_or_else(fail)
        })
    }
    ask(WHOLE).await
}

pub async fn actix() -> u64 {
    use ::actix::{Actor, Context, Handler, Message, ResponseFuture};

    struct Node;
    impl Actor for Node {
        type Context = Context<Self>;
    }
    struct Ask(Part);
    impl Message for Ask {
        type Result = u64;
    }
    impl Handler<Ask> for Node {
        type Result = ResponseFuture<u64>;
        fn handle(&mut self, Ask(part): Ask, _: &mut Context<Self>) -> ResponseFuture<u64> {
            Box::pin(async move {
                match part.split() {
                    None => part.first,
                    Some(parts) => sum(parts.map(|part| Node.start().send(Ask(part))).map(answer)).await,
                }
            })
        }
    }
    async fn answer(asked: impl Future<Output = Result<u64, ::actix::MailboxError>>) -> u64 {
        asked.await.unwrap_or_else(fail)
    }
    answer(Node.start().send(Ask(WHOLE))).await
}
