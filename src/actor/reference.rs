//! A name that calls can be made to.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use super::api::Actor;
use super::near::Memory;
use crate::id::{ActorId, InvalidName};

/// The name of an actor of kind `A`. It holds no address, so it can be stored, sent in messages,
/// and outlives every failure of the machine that the actor runs on.
///
/// One that is used again and again is faster than one that is made anew for each call: it remembers where on this
/// machine its actor runs.
pub struct ActorRef<A> {
    id: ActorId,
    memory: Memory,
    kind: PhantomData<fn() -> A>,
}

impl<A: Actor> ActorRef<A> {
    /// Names the actor of kind `A` with this key. Whether it exists is seen when it is called.
    ///
    /// # Errors
    /// [`InvalidName`] if the key is longer than 256 bytes, or the kind's name breaks its rules.
    pub fn new(key: impl AsRef<str>) -> Result<Self, InvalidName> {
        ActorId::new(A::KIND, key).map(Self::named)
    }

    /// The reference to `id`, if that is of kind `A`.
    pub fn from_id(id: ActorId) -> Option<Self> {
        (id.kind() == A::KIND).then(|| Self::named(id))
    }

    /// For an `id` that is known to be of kind `A`.
    pub(super) fn named(id: ActorId) -> Self {
        Self { id, memory: Memory::default(), kind: PhantomData }
    }
}

impl<A> ActorRef<A> {
    /// Kind and key.
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What was kept last of a way to it on another peer: a hint.
    #[inline]
    pub(crate) fn far<T: Any, U>(&self, look: impl FnOnce(&T) -> Option<U>) -> Option<U> {
        self.memory.far(look)
    }

    pub(crate) fn keep_far(&self, far: impl Any + Send + Sync) {
        self.memory.keep_far(far);
    }

    /// Which one of its kind it is.
    pub fn key(&self) -> &str {
        self.id.key()
    }
}

// By hand, because a derive would ask the same of `A`.
impl<A> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), memory: self.memory.clone(), kind: PhantomData }
    }
}

impl<A> PartialEq for ActorRef<A> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<A> Eq for ActorRef<A> {}

impl<A> Hash for ActorRef<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<A> fmt::Display for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<A> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.id)
    }
}

impl<A> Serialize for ActorRef<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.id.serialize(serializer)
    }
}

impl<'de, A: Actor> Deserialize<'de> for ActorRef<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = ActorId::deserialize(deserializer)?;
        let text = id.to_string();
        Self::from_id(id).ok_or_else(|| D::Error::custom(format!("{text} is not of kind {}", A::KIND)))
    }
}
