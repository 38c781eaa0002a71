//! Snapshots that are built while others are installed.

use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, entry::RaftEntry};
use std::sync::Arc;
use std::time::Duration;

use super::super::codec::{encode, encode_state};
use super::super::machine::Machine;
use super::super::types::{Entry, LogId, TypeConfig};
use crate::core::apply::{At, Changes};
use crate::core::command::{Admit, Command, Create, Settings};
use crate::core::state::State;
use crate::id::{ActorId, ClusterId, Incarnation, NodeId, RaftId};
use crate::limits::LINES_PER_TURN;
use crate::store::{MemoryStore, Store};

fn log_id(index: u64) -> LogId {
    LogId { leader_id: 1.into(), index }
}

fn blank(index: u64) -> Entry {
    Entry::new(log_id(index), EntryPayload::Blank)
}

async fn apply(machine: &mut Machine, indexes: std::ops::RangeInclusive<u64>) {
    let entries = indexes.map(|i| Ok::<EntryResponder<TypeConfig>, std::io::Error>((blank(i), None)));
    machine.apply(futures_util::stream::iter(entries)).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_built_slowly_does_not_replace_a_newer_one_that_was_installed_meanwhile() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Duration::ZERO));
    let mut follower = Machine::open(store.clone()).unwrap();
    apply(&mut follower, 0..=4).await;
    let mut slow = follower.get_snapshot_builder().await;

    let mut leader = Machine::open(Arc::new(MemoryStore::new(Duration::ZERO))).unwrap();
    apply(&mut leader, 0..=9).await;
    let newer = leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
    follower.install_snapshot(&newer.meta, newer.snapshot).await.unwrap();

    assert_eq!(slow.build_snapshot().await.unwrap().meta.last_log_id, Some(log_id(4)));
    let kept = follower.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(kept.meta.last_log_id, Some(log_id(9)), "the log up to 9 may be purged by now");
    let mut reopened = Machine::open(store).unwrap();
    assert_eq!(reopened.applied_state().await.unwrap().0, Some(log_id(9)));
}

#[tokio::test]
async fn a_snapshot_written_in_parts_is_the_state_as_it_is_encoded_at_once() {
    let by = Incarnation(2);
    let admit = Admit {
        node: NodeId::new("a").unwrap(),
        addr: ([127, 0, 0, 1], 1).into(),
        raft_id: Some(RaftId(0)),
        nonce: 1,
        kinds: ["k".to_owned()].into(),
        labels: [("zone".to_owned(), "z".to_owned())].into(),
        replaces: None,
        term: 1,
        silent_ms: 0,
    };
    let create =
        |n| Create { actor: ActorId::new("k", format!("{n}")).unwrap(), nonce: n, stand_in_ms: Some(7) };
    let settings = Settings { lease_ms: 1000, max_voters: 15 };
    let commands = [
        Command::Found { cluster_id: ClusterId([7; 16]), settings },
        Command::Admit(admit),
        Command::Create { by, items: (0..2 * LINES_PER_TURN as u128 + 1).map(create).collect() },
        Command::OpenSession { by, nonce: 9, resume: None },
    ];
    let mut state = State::default();
    for (index, command) in (1..).zip(commands) {
        assert_eq!(encode_state(&state).await.unwrap(), encode(&state).unwrap());
        state.apply(At { index, term: 1 }, &command, &mut Changes::default());
    }
    assert_eq!((state.actors.len(), state.sessions.len()), (2 * LINES_PER_TURN + 1, 1));
    assert_eq!(encode_state(&state).await.unwrap(), encode(&state).unwrap());
}
