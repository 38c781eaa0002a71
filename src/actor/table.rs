//! The messages that a kind handles.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::api::{Actor, Handler, Message};
use super::mailbox::Readers;

/// By name for what comes from other peers, by type for what is sent here.
pub(super) struct Table<A: Actor> {
    readers: HashMap<&'static str, Readers<A>>,
    types: HashSet<TypeId, BuildHasherDefault<TypeIdHasher>>,
}

impl<A: Actor> Table<A> {
    pub(super) fn new() -> Self {
        Self { readers: HashMap::new(), types: HashSet::default() }
    }

    /// Adds a message; false if another one of its name was there, which it replaces.
    pub(super) fn insert<M: Message>(&mut self) -> bool
    where
        A: Handler<M>,
    {
        self.types.insert(TypeId::of::<M>());
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
        self.types.contains(&TypeId::of::<M>())
    }
}

/// A type's id is a hash already.
#[derive(Default)]
struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
