//! The messages that a kind handles.

use std::any::TypeId;

use super::api::{Actor, Handler, Message};
use super::mailbox::Readers;

/// By name for what comes from other peers, by type for what is sent here. Both in order: of few, which is usual, one
/// is found faster so than by a hash.
pub(super) struct Table<A: Actor> {
    readers: Vec<(&'static str, Readers<A>)>,
    types: Vec<TypeId>,
}

impl<A: Actor> Table<A> {
    pub(super) fn new() -> Self {
        Self { readers: Vec::new(), types: Vec::new() }
    }

    /// Adds a message; false if another one of its name was there, which it replaces.
    pub(super) fn insert<M: Message>(&mut self) -> bool
    where
        A: Handler<M>,
    {
        let id = TypeId::of::<M>();
        if let Err(at) = self.types.binary_search(&id) {
            self.types.insert(at, id);
        }
        let entry = (M::NAME, Readers::of::<M>());
        match self.at(M::NAME) {
            Ok(at) => {
                self.readers[at] = entry;
                false
            }
            Err(at) => {
                self.readers.insert(at, entry);
                true
            }
        }
    }

    fn at(&self, name: &str) -> Result<usize, usize> {
        self.readers.binary_search_by(|(other, _)| (*other).cmp(name))
    }

    pub(super) fn len(&self) -> usize {
        self.readers.len()
    }

    /// What reads a message of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Readers<A>> {
        self.at(name).ok().map(|at| &self.readers[at].1)
    }

    /// Whether the kind handles it.
    pub(super) fn has<M: Message>(&self) -> bool {
        self.types.binary_search(&TypeId::of::<M>()).is_ok()
    }
}
