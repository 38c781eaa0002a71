//! What was proposed about a node and is not applied yet. While there is anything, it gets no grant.

use std::collections::BTreeMap;

use crate::id::NodeId;

/// A proposal that ends an incarnation's right to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flight {
    /// It is presumed dead.
    MarkDown,
    /// Another process takes over its node id.
    Admit,
    /// It is retired without a successor.
    Retire,
    /// It leaves by its own wish.
    Leave,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Open {
    proposals: u32,
    /// The newest index at which one of them was applied.
    applied_at: u64,
}

/// The proposals in flight of one term. Those of an older term need no entry here: a leader grants only
/// after it applied an entry of its own term, and by then they are applied or can never be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Flights(BTreeMap<(NodeId, Flight), Open>);

impl Flights {
    pub fn begin(&mut self, node: &NodeId, what: Flight) {
        let open = self.0.entry((node.clone(), what)).or_default();
        open.proposals = open.proposals.saturating_add(1);
    }

    /// One proposal's outcome is known: applied at an index, or certain never to be in the log.
    pub fn end(&mut self, node: &NodeId, what: Flight, at: Option<u64>) {
        if let Some(open) = self.0.get_mut(&(node.clone(), what)) {
            open.proposals = open.proposals.saturating_sub(1);
            open.applied_at = open.applied_at.max(at.unwrap_or(0));
        }
    }

    /// Forgets what has ended and whose effect is in the member table as of `applied`.
    pub fn settle(&mut self, applied: u64) {
        self.0.retain(|_, open| open.proposals > 0 || open.applied_at > applied);
    }

    pub fn has(&self, node: &NodeId, what: Flight) -> bool {
        self.0.contains_key(&(node.clone(), what))
    }

    pub fn any(&self, node: &NodeId) -> bool {
        [Flight::MarkDown, Flight::Admit, Flight::Retire, Flight::Leave]
            .iter()
            .any(|what| self.has(node, *what))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_lasts_until_its_effect_is_in_the_member_table() {
        let (mut flights, node) = (Flights::default(), NodeId::new("a").unwrap());
        flights.begin(&node, Flight::Admit);
        flights.settle(100);
        assert!(flights.any(&node), "nobody said how it ended");
        flights.end(&node, Flight::Admit, Some(7));
        flights.settle(6);
        assert!(flights.any(&node), "the member table does not show it yet");
        flights.settle(7);
        assert!(!flights.any(&node));
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn each_of_two_equal_proposals_must_end() {
        let (mut flights, node) = (Flights::default(), NodeId::new("a").unwrap());
        flights.begin(&node, Flight::MarkDown);
        flights.begin(&node, Flight::MarkDown);
        flights.end(&node, Flight::MarkDown, None);
        flights.settle(0);
        assert!(flights.has(&node, Flight::MarkDown));
        flights.end(&node, Flight::MarkDown, None);
        flights.settle(0);
        assert!(!flights.has(&node, Flight::MarkDown));
    }

    #[test]
    fn an_end_without_a_beginning_changes_nothing() {
        let (mut flights, node) = (Flights::default(), NodeId::new("a").unwrap());
        flights.begin(&node, Flight::Admit);
        flights.end(&node, Flight::Leave, None);
        flights.end(&NodeId::new("b").unwrap(), Flight::Admit, None);
        flights.settle(0);
        assert!(flights.any(&node));
        assert_eq!(flights.len(), 1);
    }
}
