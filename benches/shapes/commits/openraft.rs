//! openraft without anything of ours: what it takes to agree, when neither disks nor packets cost anything.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use benches::Sample;
use openraft::error::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{Config, EmptyNode, SnapshotPolicy};
use serde::{Deserialize, Serialize};

use super::memory::{Entries, Machine};
use super::{Commits, VALUE, measure};
use crate::common::fail;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Put(Vec<u8>);

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put {}", self.0.len())
    }
}

openraft::declare_raft_types!(
    pub Types: D = Put, R = (), Node = EmptyNode, LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>
);

pub type Raft = openraft::Raft<Types, Machine>;

/// All members, once they are there.
#[derive(Clone, Default)]
struct Members(Arc<OnceLock<Vec<Raft>>>);

impl Members {
    fn get(&self, id: u64) -> Result<&Raft, RPCError<Types>> {
        let absent = || RPCError::Unreachable(Unreachable::new(&io::Error::other("it is not there")));
        self.0.get().and_then(|all| all.get(id as usize)).ok_or_else(absent)
    }
}

struct Way {
    members: Members,
    to: u64,
}

impl RaftNetworkFactory<Types> for Members {
    type Network = Way;

    async fn new_client(&mut self, to: u64, _: &EmptyNode) -> Way {
        Way { members: self.clone(), to }
    }
}

fn failed(e: impl std::error::Error + 'static) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&e))
}

impl RaftNetworkV2<Types> for Way {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.members.get(self.to)?.append_entries(rpc).await.map_err(failed)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.members.get(self.to)?.vote(rpc).await.map_err(failed)
    }

    async fn full_snapshot(
        &mut self,
        _: VoteOf<Types>,
        _: SnapshotOf<Types, ()>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(Unreachable::new(&io::Error::other("nothing is ever purged")).into())
    }
}

impl Commits for Raft {
    async fn commit(&self, _: u64) {
        self.client_write(Put(vec![7; VALUE])).await.unwrap_or_else(fail);
    }
}

pub async fn run(voters: usize) -> Sample {
    // Patient: many members on few cores must not lose their leader to the work that is measured.
    let config = Config {
        snapshot_policy: SnapshotPolicy::Never,
        heartbeat_interval: 1_000,
        election_timeout_min: 10_000,
        election_timeout_max: 20_000,
        ..Config::default()
    };
    let config = Arc::new(config.validate().unwrap_or_else(fail));
    let members = Members::default();
    let mut all = Vec::new();
    for id in 0..voters as u64 {
        let (entries, machine) = (Entries::default(), Machine::default());
        let raft = Raft::new(id, config.clone(), members.clone(), entries, machine).await;
        all.push(raft.unwrap_or_else(fail));
    }
    drop(members.0.set(all.clone()));
    let ids: BTreeMap<u64, EmptyNode> = (0..voters as u64).map(|id| (id, EmptyNode::new())).collect();
    all[0].initialize(ids).await.unwrap_or_else(fail);
    let elected = all[0].wait(Some(Duration::from_secs(10))).current_leader(0, "the first is elected").await;
    elected.unwrap_or_else(fail);
    // It takes entries once a quorum has answered it: its first one is committed then.
    let wait = all[0].wait(Some(Duration::from_secs(10)));
    wait.applied_index_at_least(Some(1), "its first entry is committed").await.unwrap_or_else(fail);
    measure(all[0].clone()).await
}
