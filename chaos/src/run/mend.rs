//! How faults end, and machines come back.

use tokio::time::Instant;

use super::process::Process;
use super::stage::{Act, Stage};
use crate::plan::Back;
use crate::sim::Violation;

impl Stage {
    pub async fn act(&mut self, id: u64, act: Act) -> Result<(), Violation> {
        match act {
            Act::Begin(strike, waits) => {
                if !self.is_put_off(id, strike, waits) {
                    self.begin(id, strike).await;
                }
            }
            Act::Return(at, back) => self.bring_back(at, back).await,
            Act::Thaw(process) => process.thaw(),
            Act::Cut(links) => self.act_cut(&links),
            Act::Hear(links) => self.fleet.obeys(self.relay.heal(&links)),
            Act::Stop(first) => {
                let is_first = |ghost: &Process| ghost.name().number == first.name().number;
                self.fleet.end_ghosts(|fleet, ghost| is_first(ghost) && !fleet.is_superseded(ghost)).await;
            }
            Act::Fair => self.relay.links().set_weather(None),
            Act::FairLink(link) => {
                self.relay.links().set_link(link, None);
                self.relay.links().set_rate(link, None);
            }
            Act::End(ending) => self.end(id, ending).await,
            Act::Restart(at) => {
                // Another process may have taken its place meanwhile.
                if self.fleet.runs(at) && self.fleet.seats[at].sick {
                    self.kill(at).await;
                    self.bring_back(at, Back::Disk).await;
                }
            }
            Act::Roll(next, before) => self.roll(id, next, before).await,
        }
        self.nothing_was_violated()
    }

    /// Starts a process in a dead one's place.
    pub async fn bring_back(&mut self, at: usize, back: Back) {
        if self.fleet.runs(at) {
            return;
        }
        let back = self.as_allowed(at, back);
        match back {
            Back::Disk | Back::DiskMoved => {}
            Back::Empty | Back::EmptySamePort => self.fleet.new_disk(at),
            Back::Backup => self.fleet.old_disk(at),
        }
        self.recorder.count(match back {
            Back::Disk => "restart",
            Back::DiskMoved => "restart at another port",
            Back::Empty => "replacement with an empty disk",
            Back::EmptySamePort => "replacement with an empty disk, same port",
            Back::Backup => "replacement with an old disk",
        });
        self.launch(at, matches!(back, Back::Disk | Back::EmptySamePort)).await;
    }

    /// Starts a process on the disk that there is.
    pub async fn launch(&mut self, at: usize, same_address: bool) {
        match self.fleet.start(at, same_address).await {
            Ok(process) => {
                self.newest = at;
                self.desk.set(at, Some(process));
            }
            Err(why) => {
                let node = &self.fleet.seats[at].node;
                self.recorder.violated("a_peer_starts", format!("{node} did not: {why}"));
            }
        }
    }

    /// Not every machine may come back as planned: too many lost disks are more than a cluster promises to
    /// survive; and who moves while not everybody is there to hear of it may never be found again.
    fn as_allowed(&mut self, at: usize, back: Back) -> Back {
        // Only a disk that another has replaced is an old one.
        let newest = self.fleet.newest_process(at);
        let replaced = self.fleet.seats[at].attic.as_ref().is_some_and(|(_, then)| newest > *then);
        if back == Back::Backup && !replaced {
            return Back::Disk;
        }
        let keeps = matches!(back, Back::Disk | Back::DiskMoved);
        if !keeps && self.fleet.seats[at].wiped.is_none() && !self.may_lose_a_disk() {
            return Back::Disk;
        }
        if !keeps {
            self.fleet.seats[at].wiped = Some(Instant::now());
        }
        let others = self.fleet.running().len();
        if back == Back::DiskMoved && others + 1 < self.fleet.size() { Back::Disk } else { back }
    }
}
