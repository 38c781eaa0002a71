//! Which peers are reached through a third one for now, because the link to them is cut.
//!
//! Without this memory every request on a cut link would first wait for its deadline, longer than
//! consensus waits for a heartbeat; and the log would not reach a peer whose lease depends on it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

use super::shared::lock;
use crate::clock::Mono;
use crate::id::NodeId;
use crate::limits::MAX_MEMBERS;

#[derive(Debug, Default)]
pub(crate) struct Detours {
    /// When the direct way was last tried.
    tried: Mutex<BTreeMap<NodeId, Mono>>,
    /// When the direct way last worked.
    worked: Mutex<BTreeMap<NodeId, Mono>>,
    found: Notify,
}

impl Detours {
    /// The direct way to a peer fails, and the way around works.
    pub(super) fn note(&self, node: &NodeId, now: Mono, why: impl Display) {
        let mut tried = lock(&self.tried);
        if tried.contains_key(node) || tried.len() >= MAX_MEMBERS {
            return;
        }
        tracing::info!(%node, %why, "reached through others for now");
        tried.insert(node.clone(), now);
        self.found.notify_waiters();
    }

    /// A peer reaches this one through others. Then this one should not wait for the direct way
    /// either, unless it has just worked: else two peers could keep each other on a detour for ever.
    pub(super) fn heard_around(&self, node: &NodeId, now: Mono, just: Duration) {
        let worked = lock(&self.worked).get(node).copied();
        if worked.is_none_or(|worked| now.since(worked) >= just) {
            self.note(node, now, "it reaches us through others");
        }
    }

    /// The direct way works.
    pub(super) fn works(&self, node: &NodeId, now: Mono) {
        let mut worked = lock(&self.worked);
        if let Some(worked) = worked.get_mut(node) {
            *worked = now;
        } else if worked.len() < MAX_MEMBERS {
            worked.insert(node.clone(), now);
        }
        drop(worked);
        self.end(node);
    }

    /// The direct way works again, or no way does.
    pub(super) fn end(&self, node: &NodeId) {
        lock(&self.tried).remove(node);
    }

    pub(super) fn has(&self, node: &NodeId) -> bool {
        lock(&self.tried).contains_key(node)
    }

    /// Whether a request should go around first. One in every `pause` is to try the direct way instead.
    pub(super) fn goes_around(&self, node: &NodeId, now: Mono, pause: Duration) -> bool {
        match lock(&self.tried).get_mut(node) {
            Some(tried) if now.since(*tried) < pause => true,
            Some(tried) => {
                *tried = now;
                false
            }
            None => false,
        }
    }

    /// Completes once a peer is reached around a cut link.
    pub(super) async fn until_found(&self, node: &NodeId) {
        loop {
            let mut found = std::pin::pin!(self.found.notified());
            // Listen before looking, or what is noted between the two goes unheard.
            found.as_mut().enable();
            if self.has(node) {
                return;
            }
            found.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_is_used_until_the_direct_way_works_which_is_tried_now_and_then() {
        let (detours, node) = (Detours::default(), NodeId::new("a").unwrap());
        let (start, pause) = (Mono(0), Duration::from_secs(1));
        assert!(!detours.goes_around(&node, start, pause));
        detours.note(&node, start, "test");
        assert!(detours.goes_around(&node, start, pause));
        let later = start + pause;
        assert!(!detours.goes_around(&node, later, pause), "time to try the direct way");
        assert!(detours.goes_around(&node, later, pause), "others need not wait for that");
        detours.note(&node, later + pause, "test");
        assert!(!detours.goes_around(&node, later + pause, pause), "a note does not put the trial off");
        detours.end(&node);
        assert!(!detours.has(&node));
    }

    #[test]
    fn who_is_heard_around_is_reached_around_unless_the_direct_way_has_just_worked() {
        let (detours, node) = (Detours::default(), NodeId::new("a").unwrap());
        let (start, just) = (Mono(0), Duration::from_millis(300));
        detours.heard_around(&node, start, just);
        assert!(detours.has(&node), "nothing is known of the direct way");
        detours.works(&node, start);
        assert!(!detours.has(&node));
        detours.heard_around(&node, start + just / 2, just);
        assert!(!detours.has(&node), "the other has yet to try the direct way again");
        detours.heard_around(&node, start + just, just);
        assert!(detours.has(&node));
    }
}
