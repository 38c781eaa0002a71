//! How many requests to one actor may be under way to one process: credit for each target, so that slow ones leave
//! room for others on the connection that they share.
//!
//! Dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998):
//! a target may have a fourth of the room that is left. However much greedy ones ask for, they leave some for others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

use super::shared::lock;
use crate::id::{ActorId, Incarnation};
use crate::limits::{MAX_MEMBERS, MAX_REQUESTS_IN_FLIGHT};

/// While there are fewer, nobody counts whose they are.
const PLENTY: usize = MAX_REQUESTS_IN_FLIGHT / 4;
/// The rest is for targets that have nothing under way yet: their first is always let through.
const SHARED: usize = MAX_REQUESTS_IN_FLIGHT / 8 * 7;

/// The credit of all processes that this one calls.
#[derive(Default)]
pub(crate) struct Credits(Mutex<BTreeMap<Incarnation, Arc<Flow>>>);

impl Credits {
    /// What is under way to a process.
    pub(super) fn to(&self, process: Incarnation) -> Arc<Flow> {
        let mut flows = lock(&self.0);
        if flows.len() >= MAX_MEMBERS && !flows.contains_key(&process) {
            flows.retain(|_, flow| Arc::strong_count(flow) > 1);
        }
        flows.entry(process).or_default().clone()
    }
}

/// Requests to one process.
#[derive(Debug, Default)]
pub(super) struct Flow {
    total: AtomicUsize,
    targets: Mutex<BTreeMap<ActorId, Target>>,
}

#[derive(Debug, Default)]
struct Target {
    under_way: usize,
    /// First come, first served.
    waiting: VecDeque<oneshot::Sender<Credit>>,
}

/// The right to have one request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Credit {
    flow: Arc<Flow>,
    /// None if it was not counted.
    target: Option<ActorId>,
}

impl Flow {
    /// A credit, or where it will come.
    pub(super) fn take(self: &Arc<Self>, target: &ActorId) -> Result<Credit, oneshot::Receiver<Credit>> {
        if self.total.fetch_add(1, Ordering::Relaxed) < PLENTY {
            return Ok(Credit { flow: self.clone(), target: None });
        }
        self.total.fetch_sub(1, Ordering::Relaxed);
        let mut targets = lock(&self.targets);
        let counted = targets.entry(target.clone()).or_default();
        if counted.waiting.is_empty() && self.has_room(counted) {
            return Ok(self.grant(target, counted));
        }
        let (credit, wait) = oneshot::channel();
        counted.waiting.push_back(credit);
        Err(wait)
    }

    fn has_room(&self, counted: &Target) -> bool {
        let free = SHARED.saturating_sub(self.total.load(Ordering::Relaxed));
        counted.under_way < (free / 4).max(1)
    }

    fn grant(self: &Arc<Self>, target: &ActorId, counted: &mut Target) -> Credit {
        counted.under_way += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        Credit { flow: self.clone(), target: Some(target.clone()) }
    }

    /// One of a target's requests has ended: those that wait for that.
    fn release(self: &Arc<Self>, target: &ActorId) -> Vec<(oneshot::Sender<Credit>, Credit)> {
        let mut targets = lock(&self.targets);
        let mut granted = Vec::new();
        let Some(counted) = targets.get_mut(target) else { return granted };
        counted.under_way = counted.under_way.saturating_sub(1);
        while self.has_room(counted) {
            let Some(waiting) = counted.waiting.pop_front() else { break };
            // Who gave up meanwhile takes none.
            if !waiting.is_closed() {
                granted.push((waiting, self.grant(target, counted)));
            }
        }
        if counted.under_way == 0 && counted.waiting.is_empty() {
            targets.remove(target);
        }
        granted
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.flow.total.fetch_sub(1, Ordering::Relaxed);
        let Some(target) = &self.target else { return };
        for (waiting, credit) in self.flow.release(target) {
            // One that gives up just now drops it, and that is its end.
            drop(waiting.send(credit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(key: &str) -> ActorId {
        ActorId::new("a", key).unwrap()
    }

    fn greedy(flow: &Arc<Flow>, key: &str) -> (Vec<Credit>, oneshot::Receiver<Credit>) {
        let mut credits = Vec::new();
        loop {
            match flow.take(&actor(key)) {
                Ok(credit) => credits.push(credit),
                Err(wait) => return (credits, wait),
            }
        }
    }

    #[test]
    fn greedy_targets_leave_a_part_for_another_one() {
        let flow = Arc::new(Flow::default());
        let taken: Vec<_> = (0..20).map(|n| greedy(&flow, &n.to_string())).collect();
        let under_way: usize = taken.iter().map(|(credits, _)| credits.len()).sum();
        assert!((SHARED / 2..SHARED).contains(&under_way), "{under_way} are under way");
        assert!((0..10).all(|_| flow.take(&actor("modest")).is_ok()));
        let frozen: Vec<_> = (20..500).map(|n| flow.take(&actor(&n.to_string())).unwrap()).collect();
        assert!(frozen.len() + under_way < MAX_REQUESTS_IN_FLIGHT, "the first of each is let through");
    }

    #[test]
    fn who_waits_is_served_in_turn_and_who_gave_up_is_left_out() {
        let flow = Arc::new(Flow::default());
        let (mut credits, mut first) = greedy(&flow, "slow");
        let second = flow.take(&actor("slow")).unwrap_err();
        let mut third = flow.take(&actor("slow")).unwrap_err();
        drop(second);
        // One that was counted: the first are not.
        drop(credits.pop());
        let credit = first.try_recv().expect("it is the first one's turn");
        assert!(third.try_recv().is_err());
        drop(credit);
        assert!(third.try_recv().is_ok(), "the second has given up");
    }

    #[test]
    fn nothing_is_left_of_what_has_ended() {
        let flow = Arc::new(Flow::default());
        let taken: Vec<_> = (0..5).map(|n| greedy(&flow, &n.to_string())).collect();
        drop(taken);
        assert_eq!(flow.total.load(Ordering::Relaxed), 0);
        assert!(lock(&flow.targets).is_empty());
    }
}
