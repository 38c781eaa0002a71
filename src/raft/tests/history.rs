//! Why a user's name for a machine is not its Raft id, on five voters.
//!
//! An entry is acknowledged by three voters. One of them loses its disk, one dies, and the third is cut
//! off for a moment. What is left must not go on without that entry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::net::{Net, until};
use crate::core::command::{Admit, Command, Create, Response, Settings};
use crate::id::{ActorId, ClusterId, Incarnation, NodeId, RaftId};
use crate::raft::Consensus;
use crate::store::MemoryStore;

struct Five {
    net: Net,
    all: Vec<RaftId>,
    peers: BTreeMap<RaftId, Consensus>,
}

fn disk() -> MemoryStore {
    MemoryStore::new(Duration::from_millis(1))
}

fn entry(name: &str) -> Command {
    let items = vec![Create { actor: ActorId::new("k", name).unwrap(), nonce: 1, stand_in_ms: None }];
    Command::Create { by: Incarnation(0), items }
}

/// Whether a peer's applied state reflects the entry: its founder has the incarnation that creates.
fn has(peer: &Consensus, name: &str) -> bool {
    peer.applied().read(|s| s.actors.contains(&ActorId::new("k", name).unwrap()))
}

impl Five {
    /// Five voters, of which the founder leads.
    async fn new() -> Self {
        let net = Net::default();
        let founder = net.start(RaftId(0), &disk()).await;
        founder.found().await.unwrap();
        let mut five = Self { net, all: vec![RaftId(0)], peers: BTreeMap::from([(RaftId(0), founder)]) };
        let settings = Settings { lease_ms: 1000, max_voters: 15 };
        five.write(RaftId(0), Command::Found { cluster_id: ClusterId([1; 16]), settings }).await;
        five.admit(RaftId(0), "a", Some(RaftId(0)), None).await;
        for node in ["b", "c", "d", "e"] {
            let id = five.admit(RaftId(0), node, None, None).await;
            five.join(RaftId(0), id, None).await;
        }
        five
    }

    fn peer(&self, id: RaftId) -> &Consensus {
        &self.peers[&id]
    }

    /// Writes through a peer that leads or is about to.
    async fn write(&self, at: RaftId, command: Command) -> Response {
        until("a write", async || self.peer(at).propose(command.clone()).await.ok()).await.1
    }

    /// What the leader does for a process that asks: its log index is the disk's new Raft id.
    async fn admit(
        &self,
        leader: RaftId,
        node: &str,
        own: Option<RaftId>,
        replaces: Option<Incarnation>,
    ) -> RaftId {
        let admit = Admit {
            node: NodeId::new(node).unwrap(),
            addr: ([127, 0, 0, 1], 1).into(),
            raft_id: own,
            nonce: self.peer(leader).view().last_log.unwrap_or(0).into(),
            kinds: BTreeSet::new(),
            labels: BTreeMap::new(),
            replaces,
            term: self.peer(leader).view().term,
            silent_ms: 0,
        };
        match self.write(leader, Command::Admit(admit)).await {
            Response::Admitted(place) => place.raft_id,
            other => panic!("{other:?}"),
        }
    }

    /// What the reconciler does: learner first, then one change that swaps it in for the old disk.
    async fn join(&mut self, leader: RaftId, id: RaftId, instead_of: Option<RaftId>) {
        let started = self.net.start(id, &disk()).await;
        self.peers.insert(id, started);
        self.all.push(id);
        let at = self.peer(leader);
        at.add_learner(id).await.unwrap();
        until("the learner to catch up", async || {
            (at.view().matched.get(&id) >= at.view().committed.as_ref()).then_some(())
        })
        .await;
        let view = at.view();
        let remove = instead_of.into_iter().collect();
        at.swap_voters(&BTreeSet::from([id]), &remove, &view.configuration).await.unwrap();
    }

    async fn leader_of(&self, some: &[RaftId]) -> RaftId {
        until("a leader", async || some.iter().copied().find(|id| self.peer(*id).view().leads())).await
    }

    /// The entry "x", acknowledged by the first three; then the third's machine is gone, disk and all, the
    /// first is dead, and the second is cut off. Ids of: the second, the third, the fourth and the fifth.
    async fn suffer(&mut self) -> [RaftId; 4] {
        let [one, two, three, four, five] = self.all[..] else { panic!("not five: {:?}", self.all) };
        self.net.cut_off(&[four, five], &self.all);
        let founder = Incarnation(
            self.peer(one).applied().read(|s| s.members[&NodeId::new("a").unwrap()].incarnation.0),
        );
        let items = vec![Create { actor: ActorId::new("k", "x").unwrap(), nonce: 1, stand_in_ms: None }];
        self.write(one, Command::Create { by: founder, items }).await;
        until("two and three to apply it", async || {
            (has(self.peer(two), "x") && has(self.peer(three), "x")).then_some(())
        })
        .await;
        for id in [three, one] {
            self.net.kill(id).await;
            self.peers.remove(&id);
        }
        self.net.heal();
        self.net.cut_off(&[two], &self.all);
        [two, three, four, five]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_reborn_under_its_old_raft_id_loses_an_acknowledged_entry() {
    let mut five = Five::new().await;
    let [_, three, four, five_] = five.suffer().await;
    let reborn = five.net.start(three, &disk()).await;
    five.peers.insert(three, reborn);
    let leader = five.leader_of(&[four, five_]).await;
    let index = five.write(leader, entry("unrelated")).await;
    assert!(!has(five.peer(leader), "x"), "this is the loss that fresh ids prevent: {index:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_under_a_fresh_raft_id_keeps_what_was_acknowledged() {
    let mut five = Five::new().await;
    let [two, three, four, five_] = five.suffer().await;
    let before = (five.net.calls(four), five.net.calls(five_));
    let asked =
        async || (five.net.calls(four) > before.0 + 8 && five.net.calls(five_) > before.1 + 8).then_some(());
    until("both to ask for votes again and again", asked).await;
    assert!(
        !five.peer(four).view().leads() && !five.peer(five_).view().leads(),
        "two of five elected a leader"
    );

    five.net.heal();
    let leader = five.leader_of(&[two, four, five_]).await;
    assert_eq!(leader, two, "only it has all that was acknowledged");
    let third =
        five.peer(leader).applied().read(|s| s.disk(three).map(|(node, m)| (node.clone(), m.incarnation)));
    let (node, old) = third.unwrap();
    let fresh = five.admit(leader, node.as_str(), None, Some(old)).await;
    assert!(!five.all.contains(&fresh), "an id was given out twice");
    five.join(leader, fresh, Some(three)).await;
    let voters = five.peer(leader).view().configuration.voters;
    assert_eq!(voters, vec![BTreeSet::from([five.all[0], two, four, five_, fresh])]);
    for id in [two, four, five_, fresh] {
        until("everybody to have the entry", async || has(five.peer(id), "x").then_some(())).await;
    }
}
