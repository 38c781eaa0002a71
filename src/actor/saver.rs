//! What a host needs from its peer: somewhere to write checkpoints, and a log that decides epochs.

use tokio::sync::oneshot;

use crate::id::{ActorId, Epoch};

/// State that is to become a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// Whose state it is.
    pub actor: ActorId,
    /// Under which activation it was taken; only while this is the current one may it commit.
    pub epoch: Epoch,
    /// Rises within the epoch, from the one that was restored. Never given out twice, also not
    /// after a failure: the failed one may still commit.
    pub seq: u64,
    /// The kind's `VERSION`.
    pub kind_version: u32,
    /// The encoded state.
    pub bytes: Vec<u8>,
    /// Its reliable messages: those taken, and those not arrived yet.
    pub sessions: Vec<u8>,
    /// How many other peers shall keep it.
    pub copies: u8,
    /// Whether it is wanted at once. Others may wait for company.
    pub is_urgent: bool,
}

/// Why a checkpoint did not become durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// A newer epoch of the actor exists: this activation is over.
    #[error("a newer epoch of the actor exists")]
    Fenced,
    /// The state cannot be written. It was not taken.
    #[error("{0}")]
    Codec(String),
    /// It may commit yet, or not. A later one is taken after a while; the actor goes on.
    #[error("{0}")]
    Failed(String),
}

/// The peer, as its host sees it. No method may block.
pub trait Saver: Send + Sync + 'static {
    /// Makes a checkpoint durable. The answer comes when it is committed, or is known not to be
    /// for now; dropping the sender counts as [`SaveError::Failed`]. At most one for each
    /// activation is on its way.
    fn save(&self, checkpoint: NewCheckpoint) -> oneshot::Receiver<Result<(), SaveError>>;

    /// A handler panicked, its state is dropped, and the back-off has passed: ask the log for a new
    /// epoch, and call [`Host::start`](super::Host::start) with what is restored under that.
    fn restart(&self, actor: &ActorId, epoch: Epoch, panic: String);

    /// Handlers panicked as often as the kind's policy allows: tell the log that the actor has failed.
    fn fail(&self, actor: &ActorId, epoch: Epoch, panic: String);

    /// A handler called [`Context::stop`](super::Context::stop); its loop has ended. Ask the log to
    /// end the actor.
    fn stop(&self, actor: &ActorId, epoch: Epoch);
}
