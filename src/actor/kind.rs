//! What a peer can host: kinds of actors, and the messages that each handles.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{Actor, Handler, Message};
use super::codec::{StateError, decode_state};
use super::policy::Policy;
use super::supervise::{Newborn, Revived};
use super::table::Table;
use crate::limits::{MAX_KIND_BYTES, MAX_KINDS, MAX_MESSAGE_NAME_BYTES, MAX_MESSAGES_PER_KIND};

/// A kind that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// Its name breaks the rules.
    #[error("the kind's name {0:?} is not 1 to {MAX_KIND_BYTES} bytes")]
    KindName(&'static str),
    /// A message's name breaks the rules.
    #[error("the message's name {1:?} of kind {0} is not 1 to {MAX_MESSAGE_NAME_BYTES} bytes")]
    MessageName(&'static str, &'static str),
    /// Two kinds of one name.
    #[error("two kinds are called {0}")]
    TwoKinds(&'static str),
    /// Two messages of one name.
    #[error("kind {0} handles two messages called {1}")]
    TwoMessages(&'static str, &'static str),
    /// More kinds than a peer may have.
    #[error("more than {MAX_KINDS} kinds")]
    ManyKinds,
    /// More messages than a kind may have.
    #[error("kind {0} handles more than {MAX_MESSAGES_PER_KIND} messages")]
    ManyMessages(&'static str),
}

/// A kind under construction: name every message that other peers may send to it.
pub struct KindOf<A: Actor> {
    table: Table<A>,
    fault: Option<KindError>,
}

impl<A: Actor> KindOf<A> {
    /// Adds a message. A fault in its name is reported when the kind is registered.
    #[must_use]
    pub fn handles<M: Message>(mut self) -> Self
    where
        A: Handler<M>,
    {
        if M::NAME.is_empty() || M::NAME.len() > MAX_MESSAGE_NAME_BYTES {
            self.fault.get_or_insert(KindError::MessageName(A::KIND, M::NAME));
        }
        if !self.table.insert::<M>() {
            self.fault.get_or_insert(KindError::TwoMessages(A::KIND, M::NAME));
        }
        if self.table.len() > MAX_MESSAGES_PER_KIND {
            self.fault.get_or_insert(KindError::ManyMessages(A::KIND));
        }
        self
    }
}

/// A kind of actor, whatever its Rust type.
#[derive(Clone)]
pub struct Kind {
    name: &'static str,
    version: u32,
    policy: Policy,
    fault: Option<KindError>,
    reader: Arc<dyn Reader>,
}

impl Kind {
    /// Begins the description of a kind.
    pub fn of<A: Actor>() -> KindOf<A> {
        let named = (1..=MAX_KIND_BYTES).contains(&A::KIND.len());
        let fault = (!named).then_some(KindError::KindName(A::KIND));
        KindOf { table: Table::new(), fault }
    }

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version of the state that this program writes.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How its state is kept.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether it handles messages of that name.
    pub(super) fn handles(&self, message: &str) -> bool {
        self.reader.handles(message)
    }

    pub(super) fn revive(&self, version: u32, state: &[u8]) -> Result<Box<dyn Revived>, StateError> {
        self.reader.revive(version, state)
    }
}

impl<A: Actor> From<KindOf<A>> for Kind {
    fn from(of: KindOf<A>) -> Self {
        let reader = Arc::new(TypedReader { table: Arc::new(of.table) });
        Self { name: A::KIND, version: A::VERSION, policy: A::policy(), fault: of.fault, reader }
    }
}

/// Turns bytes back into an actor of the type that was registered.
trait Reader: Send + Sync {
    fn handles(&self, message: &str) -> bool;
    fn revive(&self, version: u32, state: &[u8]) -> Result<Box<dyn Revived>, StateError>;
}

struct TypedReader<A: Actor> {
    table: Arc<Table<A>>,
}

impl<A: Actor> Reader for TypedReader<A> {
    fn handles(&self, message: &str) -> bool {
        self.table.get(message).is_some()
    }

    fn revive(&self, version: u32, state: &[u8]) -> Result<Box<dyn Revived>, StateError> {
        let actor = decode_state::<A>(version, state)?;
        Ok(Box::new(Newborn { actor, table: Arc::clone(&self.table) }))
    }
}

/// Every kind that a peer can host.
#[derive(Clone, Default)]
pub struct Kinds {
    by_name: BTreeMap<&'static str, Kind>,
}

impl Kinds {
    /// Registers a kind.
    ///
    /// # Errors
    /// [`KindError`] if a name is taken or breaks its rules, or a bound is passed. Nothing is
    /// registered then.
    pub fn add(&mut self, kind: impl Into<Kind>) -> Result<(), KindError> {
        let kind = kind.into();
        if let Some(fault) = kind.fault {
            return Err(fault);
        }
        if self.by_name.contains_key(kind.name) {
            return Err(KindError::TwoKinds(kind.name));
        }
        if self.by_name.len() >= MAX_KINDS {
            return Err(KindError::ManyKinds);
        }
        self.by_name.insert(kind.name, kind);
        Ok(())
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.by_name.get(name)
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.by_name.keys().copied()
    }
}
