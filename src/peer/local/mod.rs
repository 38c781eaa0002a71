//! Local actors: they live in one process and end with it. They are in no directory, have no checkpoints and no name;
//! whoever holds a [`LocalRef`] on the same peer can call them. What they are for is what lasts shorter than the
//! machine does, a fan-out of one actor's work, say. They act under the peer's lease like any other actor.

mod crowd;
mod letter;
mod reference;
mod running;
#[cfg(test)]
mod tests;

pub(super) use crowd::Crowd;
pub use reference::LocalRef;
pub use running::LocalContext;

use super::Peer;
use super::shared::Shared;
use crate::actor::GateState;
use crate::channel::channel;
use crate::error::Reason;
use crate::limits::{DEFAULT_MAILBOX, MAX_LOCAL_ACTORS, MAX_MAILBOX};
use running::run;

/// State that handles one message at a time, for as long as somebody refers to it. It neither outlives its process nor
/// moves to another one: what must not be lost belongs into an [`Actor`](crate::actor::Actor).
///
/// It ends when its last [`LocalRef`] is dropped and what waits is handled; when it
/// [stops itself](LocalContext::stop); when a handler panics, which its caller is told; and when its peer shuts down or
/// is retired.
///
/// ```
/// # use standin::{Peer, id::NodeId, identity::Identity};
/// use standin::{LocalActor, LocalContext, LocalHandler};
///
/// /// Counts words, far from the actor that asked for it.
/// struct Words(usize);
/// impl LocalActor for Words {}
///
/// impl LocalHandler<String> for Words {
///     type Reply = usize;
///     async fn handle(&mut self, text: String, _: &mut LocalContext<Self>) -> usize {
///         self.0 += text.split_whitespace().count();
///         self.0
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (dir, node) = (tempfile::tempdir()?, NodeId::new("one")?);
/// # let identity = Identity::development("words", &node)?;
/// # let peer = Peer::builder(node).identity(identity).data_dir(dir.path()).bootstrap(true).start().await?;
/// let words = peer.spawn(Words(0))?; // in a handler: ctx.peer().spawn(...)
/// words.tell("one machine dies".to_owned()).await?;
/// assert_eq!(words.ask("the job goes on".to_owned()).await?, 7);
/// # peer.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub trait LocalActor: Sized + Send + 'static {
    /// Messages that may wait; at most [`MAX_MAILBOX`].
    const MAILBOX: usize = DEFAULT_MAILBOX;
}

/// How a local actor answers one type of message. Write it as an `async fn`.
///
/// Like any other handler it is not polled while the peer holds no lease.
pub trait LocalHandler<M: Send + 'static>: LocalActor {
    /// What it returns.
    type Reply: Send + 'static;

    /// Handles one message.
    ///
    /// A panic is caught: the caller is told, and the actor ends.
    fn handle(
        &mut self,
        message: M,
        ctx: &mut LocalContext<Self>,
    ) -> impl Future<Output = Self::Reply> + Send;
}

/// A local actor that was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// As many run as may.
    #[error("{MAX_LOCAL_ACTORS} local actors run on this peer already; wait until some have ended")]
    TooMany,
    /// This peer will never again be a member.
    #[error(transparent)]
    Over(Reason),
}

impl Shared {
    /// Why no local actor runs any more, if so. One that leaves holds no lease from before it is over.
    fn why_locals_end(&self) -> Option<Reason> {
        let leaves = || (self.gate.state() == GateState::Retired).then_some(Reason::Shutdown);
        self.over().or_else(leaves)
    }
}

impl Peer {
    /// Begins a [local actor](LocalActor) on this peer. At once, and without a word to others; its handlers run while
    /// this peer holds its lease.
    ///
    /// # Errors
    /// [`SpawnError`]; the actor was dropped then.
    pub fn spawn<A: LocalActor>(&self, actor: A) -> Result<LocalRef<A>, SpawnError> {
        let crowd = &self.shared.crowd;
        let seat =
            crowd.enter().map_err(|error| self.shared.why_locals_end().map_or(error, SpawnError::Over))?;
        let (items, inbox) = channel(A::MAILBOX.clamp(1, MAX_MAILBOX), self.clone());
        let ctx = LocalContext::new(items.downgrade(), seat);
        let task = self.shared.actors.spawn(run(actor, inbox, ctx));
        crowd.begun(seat, task.abort_handle());
        Ok(LocalRef { items })
    }
}
