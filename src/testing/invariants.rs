//! The library's promises, each one a check.
//!
//! What can be seen at one moment is looked at here; what must hold all the time is noted by the watch
//! that every cluster has.

use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

use super::{Cluster, PATIENCE};
use crate::core::command::Command;
use crate::core::lease::Status as Standing;
use crate::core::lines::Line;
use crate::core::state::State;
use crate::id::{NodeId, RaftId};
use crate::limits::CONDITION_POLL;
use crate::peer::{Peer, PhaseStatus, Shared};
use crate::store::CopyKey;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    /// The name of the check.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

type Check = Result<(), Violation>;

fn broken(invariant: &'static str, what: impl std::fmt::Display) -> Check {
    Err(Violation { invariant, what: what.to_string() })
}

/// What one sender's messages are called, and in which order one receiver executed them: the number that
/// the sender gave each must rise.
///
/// # Errors
/// [`Violation`] names the first that was executed twice or too late.
pub fn per_sender_order<S: PartialEq + std::fmt::Debug>(journal: &[(S, u64)]) -> Result<(), Violation> {
    for (at, (sender, number)) in journal.iter().enumerate() {
        let before = journal[..at].iter().rev().find(|(other, _)| other == sender);
        if let Some((_, before)) = before.filter(|(_, before)| before >= number) {
            return broken("per_sender_order", format!("{sender:?}: {number} came after {before}"));
        }
    }
    Ok(())
}

impl Cluster {
    /// Mends all links, waits until the cluster is well again, and checks everything that the library
    /// promises, over all that this cluster has lived through.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub async fn check_invariants(&self) -> Result<(), Violation> {
        self.heal_all();
        self.everything_lives_again().await?;
        self.watch.look_at_all();
        self.raft_is_safe()?;
        self.one_live_incarnation_per_node()?;
        self.one_executing_host()?;
        self.no_write_under_an_old_epoch()?;
        self.checkpoints_are_on_their_holders()?;
        self.directory_is_linearizable().await?;
        self.bad_input_reaches_no_handler()
    }

    /// What must never be seen was not seen so far.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn nothing_was_violated(&self) -> Result<(), Violation> {
        self.watch.first_violation().map_or(Ok(()), Err)
    }

    /// Whether, at this moment, [`Cluster::everything_lives_again`] has nothing left to wait for.
    pub fn is_well(&self) -> bool {
        self.peers().all(|peer| ailment(peer).is_none())
    }

    fn seen(&self, invariant: &str) -> Check {
        self.watch.violation(invariant).map_or(Ok(()), Err)
    }

    /// One leader per term; the same entry at the same index everywhere, for ever; and the same state
    /// after the same entries.
    pub fn raft_is_safe(&self) -> Check {
        self.seen("raft_is_safe")?;
        let mut states: Vec<(u64, State)> = vec![];
        for peer in self.peers() {
            let Some(consensus) = peer.shared.consensus() else { continue };
            let (index, state) = consensus.applied().read_at(|s, index, _| (index, s.clone()));
            if states.iter().any(|(other, differs)| *other == index && *differs != state) {
                return broken("raft_is_safe", format!("{peer:?} has another state than others at {index}"));
            }
            states.push((index, state));
        }
        Ok(())
    }

    /// No two processes of one node held a lease at once, no disk's id was used by two, and no retired
    /// disk votes.
    pub fn one_live_incarnation_per_node(&self) -> Check {
        self.seen("one_live_incarnation_per_node")
    }

    /// No handler's poll began under an older epoch than one before, and no two ran under the same one.
    pub fn one_executing_host(&self) -> Check {
        self.seen("one_executing_host")
    }

    /// Epochs and checkpoints only ever went forward in every directory, and no retired process hosts.
    pub fn no_write_under_an_old_epoch(&self) -> Check {
        self.seen("no_write_under_an_old_epoch")
    }

    /// How many streams of their own the peers that run here have taken from others.
    pub fn streams(&self) -> u64 {
        self.peers().filter_map(|peer| Some(peer.shared.transport()?.counters().streams)).sum()
    }

    /// Every holder that runs here has the bytes that the directory says it has.
    pub fn checkpoints_are_on_their_holders(&self) -> Check {
        for peer in self.peers() {
            let Some(disk) = peer.status().raft_id else { continue };
            for key in held(peer, disk) {
                // A newer checkpoint may have taken its place between the two looks.
                if !peer.shared.is_whole_now(&key) && held(peer, disk).contains(&key) {
                    let what = format!("{peer:?} has no whole copy {} of {}", key.seq, key.actor);
                    return broken("checkpoints_are_on_their_holders", what);
                }
            }
        }
        Ok(())
    }

    /// A read through the leader sees everything that anybody had applied before the question.
    pub async fn directory_is_linearizable(&self) -> Check {
        let name = "directory_is_linearizable";
        for peer in self.peers() {
            let applied = self.peers().map(|p| p.status().applied).max().unwrap_or(0);
            if let Err(why) = peer.shared.catch_up(Instant::now() + PATIENCE).await {
                return broken(name, format!("{peer:?}: {why}"));
            }
            let seen = peer.status().applied;
            if seen < applied {
                return broken(name, format!("{peer:?} read at {seen} what was decided at {applied}"));
            }
        }
        Ok(())
    }

    /// Nobody's consensus ended, and peers among themselves sent nothing that a peer must refuse. A test
    /// that sends bad input itself checks the counters instead.
    pub fn bad_input_reaches_no_handler(&self) -> Check {
        for peer in self.peers() {
            let Some(counters) = peer.shared.transport().map(|t| t.counters()) else { continue };
            if counters.bad_frames + counters.refused_malformed + counters.noise > 0 {
                return broken("bad_input_reaches_no_handler", format!("{peer:?} counted {counters:?}"));
            }
        }
        Ok(())
    }

    /// Within [`PATIENCE`] all running peers hold their leases, every actor whose home runs is there, or where it was
    /// moved to, others stand in for those whose home is away where they may, copies are complete,
    /// the voters are those that should vote, and fresh writes commit.
    pub async fn everything_lives_again(&self) -> Check {
        let name = "everything_lives_again";
        let end = Instant::now() + PATIENCE;
        loop {
            let ill = self.peers().find_map(|peer| Some((peer, ailment(peer)?)));
            match ill {
                None => break,
                Some((peer, why)) if Instant::now() >= end => {
                    return broken(name, format!("{peer:?}: {why}; {:?}", peer.status()));
                }
                Some(_) => tokio::time::sleep(CONDITION_POLL).await,
            }
        }
        for peer in self.peers() {
            // Changes nothing, and commits like anything else.
            let nothing = Command::DropHolders { items: vec![] };
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
            if let Err(e) = peer.shared.propose(nothing, left).await {
                return broken(name, format!("{peer:?} cannot write: {e}"));
            }
        }
        Ok(())
    }
}

/// The copies that a peer's own directory says are on its disk.
fn held(peer: &Peer, disk: RaftId) -> BTreeSet<CopyKey> {
    let key = |line: Line<'_>| {
        let (epoch, c) = line.actor().checkpoint.filter(|(_, c)| c.holders.contains(disk))?;
        Some(CopyKey { actor: line.id(), epoch, seq: c.seq, digest: c.digest })
    };
    peer.shared.state(|s| s.actors.iter().filter_map(key).collect()).unwrap_or_default()
}

/// Why a running peer is not well yet.
fn ailment(peer: &Peer) -> Option<String> {
    let status = peer.status();
    if status.phase != PhaseStatus::Member || !status.holds_lease || status.leader.is_none() {
        return Some("is no member with a lease and a leader".into());
    }
    peer.shared.state(|s| voters_ailment(&peer.shared, s).or_else(|| actors_ailment(&peer.shared, s)))?
}

/// Whether a peer's newest configuration is one set of voters, and those that should vote are in it.
pub(super) fn all_vote(peer: &Peer) -> bool {
    peer.shared.state(|s| voters_ailment(&peer.shared, s).is_none()).unwrap_or(false)
}

fn voters_ailment(shared: &Shared, state: &State) -> Option<String> {
    let configuration = shared.consensus()?.view().configuration;
    let [voters] = configuration.voters.as_slice() else {
        return Some("the configuration is joint".into());
    };
    let present = state.members.values().filter(|m| m.standing != Standing::Left);
    let present: BTreeSet<RaftId> = present.map(|m| m.raft_id).collect();
    if let Some(retired) = voters.iter().find(|id| !present.contains(id)) {
        return Some(format!("{retired} votes and is retired"));
    }
    let most = state.cluster.as_ref().map_or(0, |(_, settings)| settings.max_voters);
    if voters.len() < present.len().min(most) || present.iter().any(|id| !configuration.has(*id)) {
        return Some(format!("of {present:?} only {configuration:?} take part"));
    }
    None
}

fn actors_ailment(shared: &Shared, state: &State) -> Option<String> {
    let me = shared.incarnation()?;
    for actor in state.actors.iter().filter(|a| !a.is_unborn() && !a.lost()) {
        let id = &actor.id();
        if state.homesick(&actor).is_some() {
            return Some(format!("{id} is not at its home"));
        }
        let runs = actor.host.is_some_and(|host| state.is_up(host));
        if !runs && state.able_host(id, &NodeId::of(actor.home)).is_some() {
            return Some(format!("{id} runs nowhere"));
        }
        if actor.host == Some(me) && !actor.failed() && shared.host()?.running(id) != Some(actor.epoch) {
            return Some(format!("{id} does not run under its epoch"));
        }
    }
    let away = state.members.iter().filter(|(_, m)| m.standing != Standing::Up);
    let soon = |after: u32| Duration::from_millis(after.into()) < PATIENCE / 4;
    if let Some((node, _)) = away.into_iter().find(|(node, _)| state.next_take_over(node).is_some_and(soon)) {
        return Some(format!("nobody stands in for {node}"));
    }
    let short = state.actors.iter().filter(|a| !a.lost() && short_of_copies(state, &a.actor())).count();
    (short > 0).then(|| format!("{short} checkpoints are short of copies"))
}

fn short_of_copies(state: &State, actor: &crate::core::state::Actor) -> bool {
    let Some((_, c)) = &actor.checkpoint else { return false };
    let others: BTreeSet<RaftId> =
        state.living().filter(|(_, m)| Some(m.incarnation) != actor.host).map(|(_, m)| m.raft_id).collect();
    let has = c.holders.iter().filter(|disk| others.contains(disk)).count();
    // Nobody to copy from: all holders are away.
    let reachable = state.living().any(|(_, m)| c.holders.contains(m.raft_id));
    reachable && has < usize::from(c.copies).min(others.len())
}

#[cfg(test)]
mod tests {
    use super::per_sender_order;

    #[test]
    fn a_senders_messages_are_in_order_or_the_check_says_which_is_not() {
        assert!(per_sender_order(&[("a", 1), ("b", 1), ("a", 2), ("b", 5), ("a", 4)]).is_ok());
        assert!(per_sender_order(&[("a", 1), ("b", 1), ("a", 1)]).is_err());
        assert!(per_sender_order(&[("a", 2), ("b", 1), ("a", 1)]).is_err());
    }
}
