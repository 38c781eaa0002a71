//! From a disk to a member: founding, joining, coming back.

use std::sync::Arc;

use super::disk::Disk;
use super::join::Round;
use super::reach::Link;
use super::shared::{Phase, Shared};
use crate::core::command::{Admission, Command};
use crate::core::event::Event;
use crate::id::{ClusterId, Incarnation, RaftId};
use crate::limits::FOUNDING_DEADLINE;
use crate::raft::{Consensus, ConsensusConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Shared {
    /// Runs until this process is a member, or cannot become one.
    pub(super) async fn enter(self: Arc<Self>) {
        match self.try_enter().await {
            Ok(()) => {}
            Err(_) if self.is_stopped() => {}
            Err(why) => self.fail(why),
        }
    }

    async fn try_enter(self: &Arc<Self>) -> Result<(), Failure> {
        let mut disk = Disk::read(self.store.as_ref())?;
        if let Some(found) = disk.as_ref().filter(|d| d.node != self.node) {
            return Err(format!(
                "the data directory belongs to {}; choose another for {}",
                found.node, self.node
            )
            .into());
        }
        if let Some(disk) = &mut disk {
            // Before it is a member again: a peer of another cluster must not answer it, nor get an answer.
            if let Some(transport) = self.transport() {
                transport.set_hello(None, None, Some(disk.cluster_id));
            }
            disk.note_asking(self.nonce, self.store.as_ref()).await?;
            self.note_own_disk(disk);
        }
        loop {
            let round = self.ask_to_join(disk.as_ref()).await;
            self.lay_down_old_copy(&mut disk).await?;
            match round {
                Round::Admitted(admission, cluster_id) => {
                    return self.settle(admission, cluster_id, disk).await;
                }
                Round::Refused(why) => return Err(why.into()),
                Round::Later(wait) => {
                    if !self.pause(wait).await {
                        return Ok(());
                    }
                    continue;
                }
                Round::Nobody { all, founded } => self.without_leader(&mut disk, all, founded).await?,
            }
            if !self.pause(self.timing.heartbeat).await {
                return Ok(());
            }
        }
    }

    /// Nobody knows a leader: after a power cut this disk's vote is needed for one to be; and a
    /// cluster that does not exist yet must be founded by somebody.
    async fn without_leader(
        self: &Arc<Self>,
        disk: &mut Option<Disk>,
        all: bool,
        founded: bool,
    ) -> Result<(), Failure> {
        if self.consensus().is_some() {
            return Ok(());
        }
        if disk.is_none() && self.bootstrap && all && !founded {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(|e| format!("no random numbers: {e}"))?;
            let founder = Disk {
                cluster_id: ClusterId(id),
                node: self.node.clone(),
                raft_id: RaftId(0),
                incarnation: Incarnation(0),
                asked: vec![self.nonce],
                is_old: false,
            };
            founder.write(self.store.as_ref()).await?;
            *disk = Some(founder);
        }
        let Some(disk) = disk.as_ref().filter(|disk| !disk.is_old) else { return Ok(()) };
        let consensus = self.start_raft(disk).await?;
        if disk.incarnation == Incarnation(0) {
            self.found(&consensus, disk.cluster_id).await?;
        }
        Ok(())
    }

    /// Writes the first entries of a cluster; done before, it changes nothing.
    async fn found(&self, consensus: &Consensus, cluster_id: ClusterId) -> Result<(), Failure> {
        if consensus.view().last_log.is_none() {
            consensus.found().await?;
        }
        let command = Command::Found { cluster_id, settings: self.settings.clone() };
        self.propose(command, FOUNDING_DEADLINE).await?;
        tracing::info!(node = %self.node, %cluster_id, "founded a cluster");
        Ok(())
    }

    async fn start_raft(self: &Arc<Self>, disk: &Disk) -> Result<Consensus, Failure> {
        let config = ConsensusConfig {
            id: disk.raft_id,
            cluster: self.cluster.clone(),
            election_min: self.timing.election_min,
            election_max: self.timing.election_max,
            snapshots: self.snapshots,
        };
        if let Some(transport) = self.transport() {
            transport.set_hello(self.incarnation(), Some(disk.raft_id), Some(disk.cluster_id));
        }
        self.note_own_disk(disk);
        let link = Arc::new(Link(Arc::downgrade(self)));
        let consensus = Consensus::start(&config, self.store.clone(), link).await?;
        self.set_consensus(Some(consensus.clone()));
        self.spawn(self.clone().follow(consensus.clone()));
        self.spawn(self.clone().reign(consensus.clone()));
        Ok(consensus)
    }

    /// Takes the place that the log has given to this process.
    async fn settle(
        self: &Arc<Self>,
        admission: Admission,
        cluster_id: ClusterId,
        disk: Option<Disk>,
    ) -> Result<(), Failure> {
        if disk.as_ref().is_some_and(|d| d.cluster_id != cluster_id) {
            return Err("the data directory belongs to another cluster; choose another directory, or other \
                contacts"
                .into());
        }
        let fresh = Disk {
            cluster_id,
            node: self.node.clone(),
            raft_id: admission.raft_id,
            incarnation: admission.incarnation,
            asked: vec![],
            is_old: false,
        };
        let same_disk = disk.as_ref().is_some_and(|d| d.raft_id == fresh.raft_id);
        if same_disk {
            fresh.write(self.store.as_ref()).await?;
        } else {
            if let Some(consensus) = self.consensus() {
                tracing::warn!(node = %self.node, "this disk is not the node's newest one; its log is discarded");
                self.set_consensus(None);
                consensus.shutdown().await;
            }
            fresh.renew(self.store.as_ref()).await?;
        }
        self.note_own_disk(&fresh);
        self.admission.store(Some(Arc::new(admission)));
        let consensus = match self.consensus() {
            Some(running) => running,
            None => self.start_raft(&fresh).await?,
        };
        if let Some(transport) = self.transport() {
            transport.set_hello(Some(admission.incarnation), Some(admission.raft_id), Some(cluster_id));
        }
        self.reconcile_all();
        self.phase.send_if_modified(|phase| {
            let joining = *phase == Phase::Joining;
            if joining {
                *phase = Phase::Member;
            }
            joining
        });
        tracing::info!(node = %self.node, incarnation = admission.incarnation.0, raft_id = admission.raft_id.0,
            fresh_disk = !same_disk, "admitted");
        self.spawn(self.clone().keep_lease());
        self.spawn(self.clone().call_home());
        self.spawn(self.clone().offer_copies(consensus, disk.is_some() && !same_disk));
        self.spawn(self.clone().collect_copies());
        Ok(())
    }

    /// Tells the user whether this peer's actors run, whenever that changes.
    pub(super) async fn report_lease(self: Arc<Self>) {
        let mut states = self.gate.watch();
        let mut open = false;
        while states.changed().await.is_ok() {
            let now_open = self.gate.is_open();
            if now_open != open {
                open = now_open;
                self.emit(if open { Event::LeaseResumed } else { Event::LeasePaused });
            }
        }
    }
}
