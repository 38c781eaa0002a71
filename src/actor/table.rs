//! The messages that a kind handles.

use std::any::TypeId;
use std::collections::HashMap;

use super::api::{Actor, Handler, Message};
use super::mailbox::Readers;

/// By name for what comes from other peers, by type for what is sent here.
pub(super) struct Table<A: Actor> {
    readers: HashMap<&'static str, Readers<A>>,
    /// In order: of few, which is usual, one is found faster so than by a hash.
    types: Vec<TypeId>,
}

impl<A: Actor> Table<A> {
    pub(super) fn new() -> Self {
        Self { readers: HashMap::new(), types: Vec::new() }
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
        self.readers.insert(M::NAME, Readers::of::<M>()).is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.readers.len()
    }

    /// What reads a message of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Readers<A>> {
        self.readers.get(name)
    }

    /// Whether the kind handles it.
    pub(super) fn has<M: Message>(&self) -> bool {
        self.types.binary_search(&TypeId::of::<M>()).is_ok()
    }
}
