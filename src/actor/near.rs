//! Where a reference found its actor, for its next message.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

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

/// What whoever finds the way to other peers keeps of one.
type Far = Box<dyn Any + Send + Sync>;

/// What one reference and its clones remember; a hint only. One that was never called has no room for it.
#[derive(Clone, Default)]
pub(super) struct Memory(OnceLock<Arc<Places>>);

/// Most references find their actor at one place only: that is read without a word to other threads.
#[derive(Default)]
struct Places {
    first: OnceLock<Near>,
    newest: ArcSwapOption<Near>,
    far: OnceLock<ArcSwap<Far>>,
}

impl Memory {
    /// Where it was found first, if it still runs there, on the peer whose gate that is.
    #[inline]
    pub(super) fn first(&self, gate: &Arc<Gate>) -> Option<&Near> {
        self.0.get()?.first.get().filter(|near| near.is_of(gate))
    }

    /// Where it was found last; see whether it [is of](Near::is_of) the right peer.
    pub(super) fn newest(&self) -> Option<Guard<Option<Arc<Near>>>> {
        self.0.get().map(|places| places.newest.load())
    }

    /// What was kept last of a way to another peer.
    #[inline]
    pub(super) fn far<T: Any, U>(&self, look: impl FnOnce(&T) -> Option<U>) -> Option<U> {
        self.0.get()?.far.get()?.load().downcast_ref().and_then(look)
    }

    pub(super) fn keep_far(&self, far: impl Any + Send + Sync) {
        let (places, far) = (self.0.get_or_init(Arc::default), Arc::new(Box::new(far) as Far));
        places.far.get_or_init(|| ArcSwap::new(Arc::clone(&far))).store(far);
    }

    pub(super) fn keep(&self, near: Near) {
        let places = self.0.get_or_init(Arc::default);
        if let Err(near) = places.first.set(near) {
            places.newest.store(Some(Arc::new(near)));
        }
    }
}
