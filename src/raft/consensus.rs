//! One peer's membership in the Raft group, for one disk.

use openraft::async_runtime::watch::WatchReceiver;
use openraft::error::{ClientWriteError, RaftError};
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Config, EmptyNode, RaftMetrics, SnapshotPolicy};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::admissions::Admissions;
use super::gather::Gatherer;
use super::link::RaftLink;
use super::log::{Log, VoteCell};
use super::machine::{Applied, Machine};
use super::network::Networks;
use super::types::{LogId, Raft, TypeConfig};
use super::view::View;
use crate::core::command::{Command, Response};
use crate::core::proposal::Proposal;
use crate::core::state::LastRun;
use crate::id::RaftId;
use crate::limits::{ENTRIES_PER_SNAPSHOT, LOG_KEPT_BEHIND_SNAPSHOT};
use crate::store::Store;

/// Consensus could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the disk: {0}")]
    Disk(#[from] io::Error),
    #[error("the timing does not fit together: {0}")]
    Timing(String),
    #[error("consensus: {0}")]
    Raft(String),
}

/// What became of a proposal that was not applied, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    /// Nothing was written. Ask the leader, if there is one.
    #[error("this peer does not lead")]
    NotLeader,
    /// The leader changed while the entry was under way: it may or may not be committed.
    #[error("the leader changed; the outcome is unknown")]
    Unknown,
    /// Consensus has stopped here for good.
    #[error("consensus has stopped: {0}")]
    Stopped(String),
    /// Nothing was written, and nothing ever will be: it would reach no follower.
    #[error("longer than an entry of the log may be")]
    TooLong,
}

/// Timing and names.
#[derive(Debug, Clone)]
pub(crate) struct ConsensusConfig {
    pub(crate) id: RaftId,
    pub(crate) cluster: String,
    pub(crate) election_min: Duration,
    pub(crate) election_max: Duration,
    pub(crate) snapshots: Snapshots,
}

/// When a snapshot is taken, in applied log entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshots {
    /// Between two snapshots.
    pub(crate) every: u64,
    /// Kept behind a snapshot, for followers that are only a little late.
    pub(crate) kept: u64,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { every: ENTRIES_PER_SNAPSHOT, kept: LOG_KEPT_BEHIND_SNAPSHOT }
    }
}

/// A running Raft member. Clones share it.
#[derive(Clone)]
pub(crate) struct Consensus {
    raft: Raft,
    applied: Arc<Applied>,
    vote: VoteCell,
    admissions: Admissions,
    gatherer: Gatherer,
}

fn millis(d: Duration) -> u64 {
    d.as_millis().try_into().unwrap_or(u64::MAX)
}

fn openraft_config(c: &ConsensusConfig) -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: c.cluster.clone(),
        // Who hears nothing waits for `election_max` and then for its own time out: several of these.
        heartbeat_interval: millis(c.election_min) * 5 / 6,
        election_timeout_min: millis(c.election_min),
        election_timeout_max: millis(c.election_max),
        enable_pre_vote: Some(true),
        // A leader that comes back after a restart must win an election, and wait a lease, again.
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(millis(c.election_max) * 4),
        install_snapshot_timeout: 10_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(c.snapshots.every),
        max_in_snapshot_log_to_keep: c.snapshots.kept,
        replication_lag_threshold: c.snapshots.every + c.snapshots.kept,
        purge_batch_size: 256,
        max_payload_entries: 1024,
        backoff: "50ms 100ms 200ms ..500ms".into(),
        ..Config::default()
    };
    Ok(Arc::new(config.validate().map_err(|e| StartError::Timing(e.to_string()))?))
}

impl Consensus {
    /// Starts Raft on a disk. Blocks for the reads of what the disk holds.
    pub(crate) async fn start(
        config: &ConsensusConfig,
        store: Arc<dyn Store>,
        link: Arc<dyn RaftLink>,
    ) -> Result<Self, StartError> {
        let log = Log::open(store.clone())?;
        let (vote, admissions) = (log.vote_cell(), log.admissions());
        let networks = Networks { link, floor: log.floor() };
        let machine = Machine::open(store)?;
        let applied = machine.applied.clone();
        let raft = Raft::new(config.id.0, openraft_config(config)?, networks, log, machine)
            .await
            .map_err(|e| StartError::Raft(e.to_string()))?;
        // A leader that comes back after a restart must win an election and wait a lease again.
        let gatherer = Gatherer::start(raft.clone());
        Ok(Self { raft, applied, vote, admissions, gatherer })
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Founds a group of one. For the bootstrap peer with an empty disk only.
    pub(crate) async fn found(&self) -> Result<(), StartError> {
        let me = BTreeMap::from([(*self.raft.node_id(), EmptyNode::new())]);
        self.raft.initialize(me).await.map_err(|e| StartError::Raft(e.to_string()))
    }

    /// Whether both are the same running member.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.applied, &other.applied)
    }

    /// The applied state.
    pub(crate) fn applied(&self) -> &Arc<Applied> {
        &self.applied
    }

    /// The newest process that was admitted on a disk, as far as this peer's log tells.
    pub(crate) fn last_run(&self, disk: RaftId) -> Option<LastRun> {
        let (known, applied) = self.applied.read_at(|s, index, _| (s.last_run(disk), index));
        self.admissions.newest_on(disk, applied).or(known)
    }

    /// Who leads, who votes, how far the log is.
    pub(crate) fn view(&self) -> View {
        // Copied out at once: a held watch reference can deadlock the core.
        View::of(&self.raft.metrics().borrow_watched())
    }

    /// When openraft believes that a quorum last followed this leader. Only to be wrong with: an answer to an append
    /// may be taken there for the answer to a later one that ends with the same entry, which nobody has seen yet.
    #[cfg(feature = "canary")]
    pub(crate) fn last_quorum_acked(&self) -> Option<Duration> {
        let acked = self.raft.metrics().borrow_watched().last_quorum_acked?;
        Some(openraft::Instant::elapsed(&acked.into_inner()))
    }

    /// Notices when who leads or who votes has changed, or consensus has stopped. How far the logs are
    /// changes with every message: whoever needs that looks when it has reason to.
    pub(crate) fn watch_view(&self) -> ViewWatcher {
        let metrics = self.raft.metrics();
        let seen = Standing::of(&metrics.borrow_watched());
        ViewWatcher { metrics, seen }
    }

    /// Whether this voter's vote, as of now or later, still is the given leader's in this term.
    pub(crate) fn follows(&self, term: u64, leader: RaftId) -> bool {
        self.vote.get().is_some_and(|v| v.leader_id.term == term && v.leader_id.voted_for == leader.0)
    }

    /// Writes one command, and waits until this peer has applied it: the log index, and the answer.
    /// Works on the leader only. What many peers propose at the same moments waits for the others.
    pub(crate) async fn propose(
        &self,
        command: impl Into<Proposal>,
    ) -> Result<(u64, Response), ProposeError> {
        let command = command.into();
        if !command.fits() {
            return Err(ProposeError::TooLong);
        }
        if matches!(*command, Command::Commit { .. } | Command::Create { .. }) {
            return self.gatherer.write(command).await;
        }
        match self.raft.client_write(command).await {
            Ok(written) => Ok((written.log_id.index, written.data)),
            Err(RaftError::APIError(e)) => Err(refused(&e)),
            Err(RaftError::Fatal(e)) => Err(ProposeError::Stopped(e.to_string())),
        }
    }

    /// Asks another voter to take over leadership.
    pub(crate) async fn hand_over(&self, to: RaftId) {
        drop(self.raft.trigger().transfer_leader(to.0).await);
    }

    /// Stops Raft and waits for it.
    pub(crate) async fn shutdown(&self) {
        drop(self.raft.shutdown().await);
    }
}

/// What a write that was not applied came to.
pub(super) fn refused(e: &ClientWriteError<TypeConfig>) -> ProposeError {
    match e {
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::Unknown,
        _ => ProposeError::NotLeader,
    }
}

type Metrics = RaftMetrics<TypeConfig>;

/// What a [`ViewWatcher`] looks at.
#[derive(PartialEq)]
struct Standing {
    term: u64,
    leader: Option<u64>,
    configured: Option<LogId>,
    stopped: bool,
}

impl Standing {
    fn of(metrics: &Metrics) -> Self {
        Self {
            term: metrics.current_term,
            leader: metrics.current_leader,
            configured: *metrics.membership_config.log_id(),
            stopped: metrics.running_state.is_err(),
        }
    }
}

/// See [`Consensus::watch_view`].
pub(crate) struct ViewWatcher {
    metrics: WatchReceiverOf<TypeConfig, Metrics>,
    seen: Standing,
}

impl ViewWatcher {
    /// Completes at the next change; false once consensus has stopped.
    pub(crate) async fn changed(&mut self) -> bool {
        while self.metrics.changed().await.is_ok() {
            let now = Standing::of(&self.metrics.borrow_watched());
            if now != self.seen {
                self.seen = now;
                return true;
            }
        }
        false
    }
}
