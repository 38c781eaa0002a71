//! Where an actor lives and who keeps copies of its checkpoints: rendezvous hashing.
//!
//! Highest Random Weight (Thaler and Ravishankar, 1998): every candidate gets a score from (actor,
//! candidate), and the highest wins. So a lost candidate moves only what was on it, and a new one takes
//! only its share. Scores go by node id, not by disk: a replacement inherits the places of the machine
//! that it replaces.
//!
//! The scores are part of what peers of different versions must agree on. Do not change them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::id::{ActorId, NodeId, RaftId};

/// A peer that may keep copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub node: NodeId,
    /// Its disk.
    pub raft_id: RaftId,
    /// Its `zone` label; empty if it has none. All peers without one share that zone.
    pub zone: String,
}

/// The candidates that should keep copies of the checkpoints of actors that `host` runs, best first: at
/// most `copies`, fewer if there are fewer. `own_zone` is the host's; the host itself is no candidate.
///
/// They are the same for all its actors. So what one peer saves at a time goes to few others in few
/// pieces; and when several peers are lost at once, they are less likely to be all that held something
/// (Copysets, Cidon et al., 2013).
///
/// Zones come first: no zone gets a second copy (the host's state counts as one) while another that
/// has a candidate left has fewer.
pub fn holders<'a>(
    host: &NodeId,
    candidates: &'a [Candidate],
    own_zone: &str,
    copies: usize,
) -> Vec<&'a Candidate> {
    let mut ranked: Vec<&Candidate> = candidates.iter().collect();
    ranked.sort_by_cached_key(|candidate| rank([host.as_str()], &candidate.node));
    let mut copies_in: BTreeMap<&str, usize> = BTreeMap::from([(own_zone, 1)]);
    let mut chosen = Vec::new();
    while chosen.len() < copies {
        let in_zone = |candidate: &Candidate| copies_in.get(candidate.zone.as_str()).copied().unwrap_or(0);
        // `min_by_key` takes the first of equals, which has the highest score.
        let best = ranked.iter().enumerate().min_by_key(|(_, candidate)| in_zone(candidate));
        let Some(best) = best.map(|(place, _)| place) else { break };
        let best = ranked.remove(best);
        *copies_in.entry(best.zone.as_str()).or_default() += 1;
        chosen.push(best);
    }
    chosen
}

/// The node that a new `actor` should live on. `None` if there is no candidate.
pub fn home<'a>(actor: &ActorId, candidates: impl IntoIterator<Item = &'a NodeId>) -> Option<&'a NodeId> {
    candidates.into_iter().min_by_key(|node| rank([actor.kind(), actor.key()], node))
}

/// The order in which `candidates`, each with its zone, stand in for a lost node: no zone's second before every
/// zone's first. Another lost node gets another order.
pub fn stand_ins<'a>(
    lost: &NodeId,
    candidates: impl IntoIterator<Item = (&'a NodeId, &'a str)>,
) -> Vec<&'a NodeId> {
    let mut ranked: Vec<(&NodeId, &str)> = candidates.into_iter().collect();
    ranked.sort_by_cached_key(|(node, _)| rank([lost.as_str()], node));
    let mut seen_in: BTreeMap<&str, usize> = BTreeMap::new();
    let mut in_turns: Vec<(usize, &NodeId)> = Vec::with_capacity(ranked.len());
    for (node, zone) in ranked {
        let seen = seen_in.entry(zone).or_default();
        in_turns.push((*seen, node));
        *seen += 1;
    }
    // Stable: within a turn the rank decides.
    in_turns.sort_by_key(|(turn, _)| *turn);
    in_turns.into_iter().map(|(_, node)| node).collect()
}

/// Sorts the best first; the name breaks a tie.
fn rank<const N: usize>(what: [&str; N], node: &NodeId) -> (Reverse<u64>, NodeId) {
    (Reverse(score(what, node)), node.clone())
}

fn score<const N: usize>(what: [&str; N], node: &NodeId) -> u64 {
    let mut hash = blake3::Hasher::new();
    for part in what.into_iter().chain([node.as_str()]) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut first = [0; 8];
    hash.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn actors(count: usize) -> Vec<ActorId> {
        (0..count).map(|key| ActorId::new("rank-partition", key.to_string()).unwrap()).collect()
    }

    fn hosts(count: usize) -> Vec<NodeId> {
        (0..count).map(|n| NodeId::new(format!("host-{n}")).unwrap()).collect()
    }

    fn candidates(zones: &[&str]) -> Vec<Candidate> {
        let candidate = |(n, zone): (usize, &&str)| Candidate {
            node: NodeId::new(format!("worker-{n}")).unwrap(),
            raft_id: RaftId(n as u64),
            zone: (*zone).to_owned(),
        };
        zones.iter().enumerate().map(candidate).collect()
    }

    fn nodes(candidates: &[Candidate]) -> Vec<NodeId> {
        candidates.iter().map(|candidate| candidate.node.clone()).collect()
    }

    #[test]
    fn scores_never_change_between_versions() {
        let node = NodeId::new("worker-7").unwrap();
        assert_eq!(score(["rank-partition", "17"], &node), 4_995_072_563_479_797_059);
    }

    #[test]
    fn parts_of_a_name_do_not_run_into_each_other() {
        let node = NodeId::new("n").unwrap();
        assert_ne!(score(["ab", "c"], &node), score(["a", "bc"], &node));
    }

    #[test]
    fn homes_are_balanced() {
        let nodes = nodes(&candidates(&[""; 10]));
        let mut load: BTreeMap<&NodeId, usize> = BTreeMap::new();
        for actor in actors(10_000) {
            *load.entry(home(&actor, &nodes).unwrap()).or_default() += 1;
        }
        assert_eq!(load.len(), 10);
        assert!(load.values().all(|actors| (880..1_120).contains(actors)), "{load:?}");
    }

    #[test]
    fn a_lost_node_moves_its_own_share_only_and_a_new_one_takes_its_share_only() {
        let all = nodes(&candidates(&[""; 10]));
        let fewer = &all[..9];
        let gone = &all[9];
        let mut moved = 0;
        for actor in actors(5_000) {
            let (before, after) = (home(&actor, &all).unwrap(), home(&actor, fewer).unwrap());
            if before == gone {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!((400..600).contains(&moved), "{moved}");
    }

    #[test]
    fn the_order_in_which_candidates_are_listed_does_not_matter() {
        let forward = candidates(&["a", "b", "a", "c", "b"]);
        let mut backward = forward.clone();
        backward.reverse();
        for host in hosts(100) {
            assert_eq!(holders(&host, &forward, "a", 3), holders(&host, &backward, "a", 3));
        }
        for actor in actors(100) {
            assert_eq!(home(&actor, &nodes(&forward)), home(&actor, &nodes(&backward)));
        }
    }

    #[test]
    fn copies_go_to_other_zones_before_any_zone_gets_a_second() {
        let candidates = candidates(&["a", "a", "a", "b", "b", "c"]);
        for host in hosts(200) {
            let zones = |copies| -> Vec<&str> {
                holders(&host, &candidates, "a", copies).iter().map(|holder| holder.zone.as_str()).collect()
            };
            assert_eq!(BTreeSet::from_iter(zones(2)), BTreeSet::from(["b", "c"]));
            assert_eq!(zones(4).iter().filter(|zone| **zone == "a").count(), 1, "host and one copy");
            assert_eq!(zones(6).len(), 6, "when zones run out, all serve");
        }
    }

    #[test]
    fn stand_ins_take_turns_by_zone_and_other_nodes_have_others_first() {
        let candidates = candidates(&["a", "a", "a", "b", "b", "c"]);
        let zone_of = |node: &NodeId| &candidates.iter().find(|one| one.node == *node).unwrap().zone;
        let mut first = BTreeSet::new();
        for lost in hosts(100) {
            let order = stand_ins(&lost, candidates.iter().map(|one| (&one.node, one.zone.as_str())));
            let zones =
                |part: &[&NodeId]| part.iter().map(|node| zone_of(node)).collect::<BTreeSet<_>>().len();
            assert_eq!((order.len(), zones(&order[..3]), zones(&order[3..5])), (6, 3, 2), "{order:?}");
            first.insert(order[0].clone());
        }
        assert_eq!(first.len(), 6, "whoever is lost, another is first");
    }

    #[test]
    fn fewer_candidates_than_copies_give_what_there_is() {
        let host = &hosts(1)[0];
        assert!(holders(host, &[], "", 2).is_empty());
        assert_eq!(holders(host, &candidates(&[""]), "", 2).len(), 1);
        assert!(holders(host, &candidates(&[""; 3]), "", 0).is_empty());
        assert_eq!(home(&actors(1)[0], []), None);
    }

    #[test]
    fn a_lost_candidate_changes_only_the_holders_of_what_it_held() {
        let all = candidates(&["a", "b", "c", "a", "b", "c", "d"]);
        for lost in 0..all.len() {
            let fewer: Vec<Candidate> =
                all.iter().filter(|one| one.raft_id.0 != lost as u64).cloned().collect();
            for host in hosts(200) {
                let before = holders(&host, &all, "a", 2);
                if !before.contains(&&all[lost]) {
                    assert_eq!(before, holders(&host, &fewer, "a", 2));
                }
            }
        }
    }

    #[test]
    fn copies_are_balanced_without_zones() {
        let candidates = candidates(&[""; 10]);
        let mut load: BTreeMap<RaftId, usize> = BTreeMap::new();
        for host in hosts(5_000) {
            for holder in holders(&host, &candidates, "", 2) {
                *load.entry(holder.raft_id).or_default() += 1;
            }
        }
        assert!(load.values().all(|copies| (860..1_140).contains(copies)), "{load:?}");
    }

    #[test]
    fn a_replacement_with_a_fresh_disk_inherits_the_places_of_the_old_one() {
        let old = candidates(&["a", "b", "c", "a"]);
        let mut new = old.clone();
        new[1].raft_id = RaftId(99);
        for host in hosts(100) {
            let names = |from| -> Vec<NodeId> {
                holders(&host, from, "a", 2).iter().map(|one| one.node.clone()).collect()
            };
            assert_eq!(names(&old), names(&new));
        }
    }
}
