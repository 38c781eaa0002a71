//! All ways to other peers, bounded, and what this peer knows of who is too old to talk to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::link::{Link, LinkKey};
use super::lock;
use super::request::Dest;
use crate::canary::{Mistake, made};
use crate::id::{Incarnation, NodeId};
use crate::limits::{MAX_LINKS, MAX_MEMBERS};

/// Ordered, so that a simulation visits links in the same order every time.
#[derive(Default)]
pub(super) struct Links(Mutex<BTreeMap<LinkKey, Arc<Link>>>);

impl Links {
    /// The link to `dest`, made if it is new. None if there are too many in use.
    pub(super) fn to(&self, dest: &Dest) -> Option<Arc<Link>> {
        let key = LinkKey { addr: dest.addr, node_id: dest.node_id.clone() };
        let mut links = lock(&self.0);
        if let Some(link) = links.get(&key) {
            return Some(link.clone());
        }
        if links.len() >= MAX_LINKS {
            links.retain(|_, link| !link.is_unused());
        }
        if links.len() >= MAX_LINKS {
            return None;
        }
        let link = Arc::new(Link::new(key.clone()));
        links.insert(key, link.clone());
        Some(link)
    }

    pub(super) fn get(&self, dest: &Dest) -> Option<Arc<Link>> {
        let key = LinkKey { addr: dest.addr, node_id: dest.node_id.clone() };
        lock(&self.0).get(&key).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        lock(&self.0).values().cloned().collect()
    }

    /// A peer said hello and named `addr` as its own.
    pub(super) fn heard_of(&self, addr: SocketAddr, node: &NodeId) {
        for node_id in [None, Some(node.clone())] {
            let link = lock(&self.0).get(&LinkKey { addr, node_id }).cloned();
            link.iter().for_each(|link| link.hope());
        }
    }
}

/// The newest known life of each node.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<BTreeMap<NodeId, Incarnation>>);

impl Newest {
    pub(super) fn raise(&self, node: &NodeId, newest: Incarnation) {
        let mut known = lock(&self.0);
        if let Some(current) = known.get_mut(node) {
            *current = newest.max(*current);
        } else if known.len() < MAX_MEMBERS {
            known.insert(node.clone(), newest);
        }
    }

    /// The life that retired this one, if any. A process without an incarnation is a joiner, not an old one.
    pub(super) fn retired(&self, node: &NodeId, incarnation: Option<Incarnation>) -> Option<Incarnation> {
        if made(Mistake::RetiredAccepted) {
            return None;
        }
        let newest = *lock(&self.0).get(node)?;
        incarnation.is_some_and(|life| life < newest).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_life_is_retired_and_the_newest_never_falls() {
        let (newest, node) = (Newest::default(), NodeId::new("worker-7").unwrap());
        assert_eq!(newest.retired(&node, Some(Incarnation(1))), None);
        newest.raise(&node, Incarnation(5));
        newest.raise(&node, Incarnation(3));
        assert_eq!(newest.retired(&node, Some(Incarnation(4))), Some(Incarnation(5)));
        assert_eq!(newest.retired(&node, Some(Incarnation(5))), None);
        assert_eq!(newest.retired(&node, Some(Incarnation(6))), None);
        assert_eq!(newest.retired(&node, None), None);
    }
}
