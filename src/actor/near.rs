//! Where a reference found its actor, for its next message.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use super::gate::Gate;
use super::life::Life;
use super::mailbox::Door;

/// An activation on a peer of this process. A reference that keeps it keeps the empty mailbox alive, nothing else.
pub(super) struct Near {
    pub(super) life: Arc<Life>,
    pub(super) door: Arc<dyn Door>,
}

impl Near {
    /// Whether it is on the peer whose gate that is, and has not ended.
    pub(super) fn is_of(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.life.gate, gate) && !self.life.is_over()
    }
}

/// What one reference remembers; a hint only.
#[derive(Default)]
pub(super) struct Memory(ArcSwapOption<Near>);

impl Memory {
    /// What is remembered; see whether it [is of](Near::is_of) the right peer.
    pub(super) fn load(&self) -> Guard<Option<Arc<Near>>> {
        self.0.load()
    }

    pub(super) fn keep(&self, near: Near) {
        self.0.store(Some(Arc::new(near)));
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self(ArcSwapOption::new(self.0.load_full()))
    }
}
