//! Names: who is who, which life of it, and which activation of an actor.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::{SmolStr, SmolStrBuilder};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::limits::{MAX_ACTOR_KEY_BYTES, MAX_KIND_BYTES, MAX_NODE_ID_BYTES};

/// A name that breaks the rules of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        let value = value.chars().take(80).collect();
        Self { what, value, rule }
    }
}

/// The stable name that a user gives a machine's role, such as `worker-7`.
///
/// It outlives machines, disks and addresses. 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`InvalidName`] if it is empty, longer than 64 bytes, or has another character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        let name = name.as_ref();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > MAX_NODE_ID_BYTES || !name.chars().all(legal) {
            return Err(InvalidName::new("node id", name, "1 to 64 characters of A-Z a-z 0-9 . _ -"));
        }
        Ok(Self(name.into()))
    }

    /// One that was checked before.
    pub(crate) fn of(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidName;
    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl std::str::FromStr for NodeId {
    type Err = InvalidName;
    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> String {
        id.0.as_ref().to_owned()
    }
}

macro_rules! text_forms {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )*};
}
text_forms!(NodeId, Incarnation, RaftId, Epoch);

/// One process lifetime of a [`NodeId`]: the log index of its committed `Admit` entry, so it is
/// unique and only rises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// One *disk* lifetime: the incarnation under which that disk was first admitted (0 for the
/// founder's). Never given out twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RaftId(pub u64);

/// One activation of an actor: the log index of the command that activated it. The fencing token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// A cluster's random identity, made when it was founded. Peers of two clusters never mix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

/// An actor's name: its kind and its key. Never an address.
#[derive(Clone)]
pub struct ActorId {
    /// The kind, and then the key. There are many names, and most are short: those take no piece of memory.
    both: SmolStr,
    kind_bytes: u8,
}

impl ActorId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`InvalidName`] if the kind is empty or longer than 64 bytes, or the key longer than 256.
    pub fn new(kind: impl AsRef<str>, key: impl AsRef<str>) -> Result<Self, InvalidName> {
        let (kind, key) = (kind.as_ref(), key.as_ref());
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES {
            return Err(InvalidName::new("actor kind", kind, "1 to 64 bytes"));
        }
        if key.len() > MAX_ACTOR_KEY_BYTES {
            return Err(InvalidName::new("actor key", key, "at most 256 bytes"));
        }
        Ok(Self::of(ActorName { kind, key }))
    }

    /// One that was checked before.
    pub(crate) fn of(name: ActorName<'_>) -> Self {
        let mut both = SmolStrBuilder::new();
        both.push_str(name.kind);
        both.push_str(name.key);
        // A kind is at most 64 bytes long.
        Self { both: both.finish(), kind_bytes: name.kind.len() as u8 }
    }

    /// It, to look at.
    pub(crate) fn name(&self) -> ActorName<'_> {
        let (kind, key) = self.both.split_at(self.kind_bytes.into());
        ActorName { kind, key }
    }

    /// What sort of actor it is.
    pub fn kind(&self) -> &str {
        self.name().kind
    }

    /// Which one of its kind it is.
    pub fn key(&self) -> &str {
        self.name().key
    }
}

impl PartialEq for ActorId {
    fn eq(&self, other: &Self) -> bool {
        self.kind_bytes == other.kind_bytes && self.both == other.both
    }
}

impl Eq for ActorId {}

impl PartialOrd for ActorId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ActorId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(&other.name())
    }
}

impl Hash for ActorId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// What a name is in a frame. Not copied from there before it is checked.
#[derive(Deserialize)]
struct Parts<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for ActorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts(kind, key) = Parts::deserialize(deserializer)?;
        Self::new(kind, key).map_err(de::Error::custom)
    }
}

impl Serialize for ActorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.kind(), self.key()).serialize(serializer)
    }
}

/// An actor's name as it stands in a frame: nobody has checked whether it can be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorName<'a> {
    /// See [`ActorId::kind`].
    pub kind: &'a str,
    /// See [`ActorId::key`].
    pub key: &'a str,
}

impl hashbrown::Equivalent<ActorId> for ActorName<'_> {
    fn equivalent(&self, id: &ActorId) -> bool {
        *self == id.name()
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.key())
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn node_ids_are_checked_also_when_they_arrive_in_a_frame() {
        for good in ["worker-7", "a", "A.b_c-9"] {
            assert_eq!(NodeId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "ä", "a b", &"x".repeat(65)] {
            assert!(NodeId::new(bad).is_err(), "{bad:?}");
            let frame = rmp_serde::to_vec(bad).unwrap();
            assert!(rmp_serde::from_slice::<NodeId>(&frame).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_actor_is_found_by_a_name_that_is_only_looked_at() {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let id = ActorId::new("rank-partition", "17").unwrap();
        assert_eq!(hasher.hash_one(&id), hasher.hash_one(id.name()));
        let map: hashbrown::HashMap<ActorId, u8> = [(id, 7)].into_iter().collect();
        assert_eq!(map.get(&ActorName { kind: "rank-partition", key: "17" }), Some(&7));
        assert_eq!(map.get(&ActorName { kind: "rank-partitio", key: "n17" }), None);
    }

    #[test]
    fn actor_ids_survive_a_round_trip_and_refuse_oversized_parts() {
        let id = ActorId::new("rank-partition", "17").unwrap();
        let frame = rmp_serde::to_vec(&id).unwrap();
        assert_eq!(rmp_serde::from_slice::<ActorId>(&frame).unwrap(), id);
        assert!(ActorId::new("", "17").is_err());
        assert!(ActorId::new("k", "x".repeat(257)).is_err());
        let oversized = rmp_serde::to_vec(&("k", "x".repeat(257))).unwrap();
        assert!(rmp_serde::from_slice::<ActorId>(&oversized).is_err());
        assert_eq!(
            rmp_serde::from_read::<_, ActorId>(&frame[..]).unwrap(),
            id,
            "also where nothing can be borrowed"
        );
    }

    #[test]
    fn names_are_told_apart_and_in_order_by_their_kinds_first() {
        let ids = [("a", "b"), ("a", "bc"), ("ab", ""), ("ab", "a"), ("ab", "c"), ("b", "")];
        let ids = ids.map(|(kind, key)| ActorId::new(kind, key).unwrap());
        assert!(ids.is_sorted_by(|a, b| a < b && a != b), "{ids:?}");
    }
}
