//! Which peers are reached through a third one for now, because the link to them is cut.
//!
//! Without this memory every request on a cut link would first wait for its deadline, longer than
//! consensus waits for a heartbeat; and the log would not reach a peer whose lease depends on it.

use std::collections::BTreeMap;
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
    found: Notify,
}

impl Detours {
    /// The direct way to a peer fails, and the way around works.
    pub(super) fn note(&self, node: &NodeId, now: Mono) {
        let mut tried = lock(&self.tried);
        if tried.contains_key(node) || tried.len() >= MAX_MEMBERS {
            return;
        }
        tracing::info!(%node, "reached through others for now");
        tried.insert(node.clone(), now);
        self.found.notify_waiters();
    }

    /// The direct way works again, or no way does.
    pub(super) fn end(&self, node: &NodeId) {
        lock(&self.tried).remove(node);
    }

    pub(crate) fn has(&self, node: &NodeId) -> bool {
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
        detours.note(&node, start);
        assert!(detours.goes_around(&node, start, pause));
        let later = start + pause;
        assert!(!detours.goes_around(&node, later, pause), "time to try the direct way");
        assert!(detours.goes_around(&node, later, pause), "others need not wait for that");
        detours.note(&node, later + pause);
        assert!(!detours.goes_around(&node, later + pause, pause), "a note does not put the trial off");
        detours.end(&node);
        assert!(!detours.has(&node));
    }
}
