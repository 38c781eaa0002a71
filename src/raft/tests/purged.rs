//! A follower that lacks what the leader has purged gets a snapshot, and never entries with a gap before them.

use futures_util::{StreamExt, TryStreamExt, stream};
use openraft::entry::RaftEntry;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::AppendEntriesRequest;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::{EmptyNode, EntryPayload};
use std::sync::Arc;
use std::time::Duration;

use super::super::log::Log;
use super::super::network::Networks;
use super::super::types::{Entry, LogId, TypeConfig, Vote};
use super::net::Net;
use crate::id::RaftId;
use crate::store::MemoryStore;

fn patience() -> RPCOption {
    RPCOption::new(Duration::from_secs(5))
}

fn id(index: u64) -> LogId {
    LogId { leader_id: 1.into(), index }
}

/// A log from 5 to 9.
async fn purged() -> Log {
    let mut log = Log::open(Arc::new(MemoryStore::new(Duration::ZERO))).unwrap();
    log.blocking_append((0..10).map(|i| Entry::new(id(i), EntryPayload::Blank))).await.unwrap();
    log.purge(id(4)).await.unwrap();
    log
}

#[tokio::test]
async fn nothing_is_read_across_a_gap() {
    let mut log = purged().await;
    assert_eq!(log.limited_get_log_entries(5, 9).await.unwrap().len(), 4);
    assert_eq!(log.limited_get_log_entries(2, 9).await.unwrap(), vec![]);
    let applied: Result<Vec<Entry>, _> = log.entries_stream(2..9_u64).await.try_collect().await;
    assert_eq!(applied.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn who_lacks_what_is_purged_is_sent_nothing() {
    let (net, leader, follower) = (Net::default(), RaftId(1), RaftId(0));
    for id in [leader, follower] {
        net.start(id, &MemoryStore::new(Duration::ZERO)).await;
    }
    let mut networks = Networks { link: net.link(leader), floor: purged().await.floor() };
    let append = |prev| AppendEntriesRequest::<TypeConfig> {
        vote: Vote { leader_id: openraft::vote::RaftLeaderId::new(7, leader.0), committed: true },
        prev_log_id: prev,
        entries: vec![],
        leader_commit: None,
    };
    let mut heartbeats = networks.new_heartbeat_client(follower.0, &EmptyNode::new()).await;
    heartbeats.append_entries(append(Some(id(3))), patience()).await.unwrap();
    let mut network = networks.new_client(follower.0, &EmptyNode::new()).await;
    network.append_entries(append(Some(id(3))), patience()).await.unwrap_err();
    network.append_entries(append(Some(id(4))), patience()).await.unwrap();
    for (prev, is_sent) in [(None, false), (Some(id(3)), false), (Some(id(4)), true)] {
        let replies = network.stream_append(stream::iter([append(prev)]), patience()).await.unwrap();
        let replies: Vec<_> = replies.collect().await;
        assert_eq!(replies.len(), 1, "{prev:?}");
        assert_eq!(replies[0].is_ok(), is_sent, "{prev:?}");
    }
    net.kill(follower).await;
    net.kill(leader).await;
}
