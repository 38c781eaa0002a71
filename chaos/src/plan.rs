//! What happens to a cluster in one run, drawn from a seed: sizes, weather, faults.

use serde::{Deserialize, Serialize};
use standin::testing::Prng;

/// One run. As data, so that it can be printed, kept, and made smaller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Where everything in the run comes from.
    pub seed: u64,
    /// How many peers.
    pub peers: usize,
    /// Timing for wide-area links instead of a data centre's.
    pub wide: bool,
    /// How long the faults go on, in simulated seconds.
    pub seconds: u64,
    /// How many clients.
    pub clients: u32,
    /// The longest pause of a client, in milliseconds.
    pub pause_ms: u64,
    /// How many actors of each kind.
    pub actors: u32,
    /// In order of time.
    pub steps: Vec<Step>,
}

/// One fault and its moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// What happens then.
    pub fault: Fault,
}

/// Whom a fault strikes, by the part it has at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Who {
    /// The Raft leader.
    Leader,
    /// Where an actor lives: one of them, by number.
    Host(u32),
    /// Anybody, by number.
    Peer(u32),
    /// Who joined last.
    Newest,
}

/// How a machine comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Back {
    /// With what a power failure left of its disk.
    Disk,
    /// The same, at another address, if enough others are there to tell it to.
    DiskMoved,
    /// Another machine with an empty disk.
    Empty,
    /// The same, at the old address.
    EmptySamePort,
    /// With a backup of its disk, made some time before.
    Backup,
}

/// Which direction of its links a peer loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Both,
    In,
    Out,
}

/// A fault, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// A process ends, and a machine takes its place later.
    Kill { who: Who, away_ms: u64, back: Back },
    /// A process stops for a while, and goes on where it was.
    Freeze { who: Who, for_ms: u64 },
    /// A peer is cut off.
    Isolate { who: Who, way: Way, for_ms: u64 },
    /// Two parts do not hear each other; which peers are in which is drawn from the number.
    Split { draw: u64, for_ms: u64 },
    /// Every peer hears two others only.
    Ring { for_ms: u64 },
    /// Peers are cut off one by one, and come back in another order.
    Swizzle { draw: u64, for_ms: u64 },
    /// Bad weather everywhere.
    Storm { loss: u32, duplicated: u32, delay_ms: u64, jitter_ms: u64, for_ms: u64 },
    /// One link is slow or loses much, one way.
    BadLink { from: u32, to: u32, loss: u32, delay_ms: u64, for_ms: u64 },
    /// Every machine loses power at once.
    PowerCut { away_ms: u64 },
    /// A clock runs fast or slow from now on.
    Drift { who: Who, ppm: i64 },
    /// Every copy of one actor's state on one disk rots.
    Rot { who: Who, actor: u32 },
    /// A disk takes no more writes, or fails to sync; its machine is restarted later.
    BadDisk { who: Who, full: bool, away_ms: u64 },
    /// A peer is cut off, and another machine is started under its name; then it is heard again.
    Usurp { who: Who, way: Way, for_ms: u64 },
    /// Bytes that are no packets arrive.
    Noise { who: Who, draw: u64 },
}

/// Clocks differ by at most this many parts per million where leases must hold.
pub const MAX_DRIFT_PPM: u64 = 5000;

/// Families of faults, by number.
pub mod family {
    pub const KILL: u64 = 0;
    pub const FREEZE: u64 = 1;
    pub const ISOLATE: u64 = 2;
    pub const SPLIT: u64 = 3;
    pub const RING: u64 = 4;
    pub const SWIZZLE: u64 = 5;
    pub const STORM: u64 = 6;
    pub const BAD_LINK: u64 = 7;
    pub const POWER_CUT: u64 = 8;
    pub const DRIFT: u64 = 9;
    pub const ROT: u64 = 10;
    pub const BAD_DISK: u64 = 11;
    pub const USURP: u64 = 12;
    pub const NOISE: u64 = 13;
}

/// Where all that a seed decides is drawn from.
pub struct Draw(pub Prng);

impl Draw {
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    pub fn who(&mut self) -> Who {
        match self.0.below(10) {
            0..=2 => Who::Leader,
            3..=5 => Who::Host(self.0.below(1000) as u32),
            6 => Who::Newest,
            _ => Who::Peer(self.0.below(1000) as u32),
        }
    }

    fn back(&mut self) -> Back {
        *self.0.pick(&[
            Back::Disk,
            Back::DiskMoved,
            Back::Empty,
            Back::Empty,
            Back::EmptySamePort,
            Back::Backup,
        ])
    }

    /// One fault of a family.
    pub fn fault(&mut self, of: u64, scale: u64) -> Fault {
        let for_ms = scale * self.between(1, 60) * self.between(1, 10) * 10;
        let draw = self.0.any();
        match of {
            family::KILL => Fault::Kill { who: self.who(), away_ms: for_ms, back: self.back() },
            family::FREEZE => Fault::Freeze { who: self.who(), for_ms },
            family::ISOLATE => {
                let way = *self.0.pick(&[Way::Both, Way::In, Way::Out]);
                Fault::Isolate { who: self.who(), way, for_ms }
            }
            family::SPLIT => Fault::Split { draw, for_ms },
            family::RING => Fault::Ring { for_ms },
            family::SWIZZLE => Fault::Swizzle { draw, for_ms: for_ms + 1000 },
            family::STORM => Fault::Storm {
                loss: self.between(0, 150) as u32,
                duplicated: self.between(0, 100) as u32,
                delay_ms: self.between(0, 20) * scale,
                jitter_ms: self.between(0, 30) * scale,
                for_ms: for_ms * 2,
            },
            family::BAD_LINK => Fault::BadLink {
                from: self.0.below(1000) as u32,
                to: self.0.below(1000) as u32,
                loss: self.between(0, 600) as u32,
                delay_ms: self.between(0, 500),
                for_ms: for_ms * 2,
            },
            family::POWER_CUT => Fault::PowerCut { away_ms: for_ms / 2 },
            family::DRIFT => {
                let size = self.between(0, MAX_DRIFT_PPM) as i64;
                Fault::Drift { who: self.who(), ppm: if self.0.chance(50) { size } else { -size } }
            }
            family::ROT => Fault::Rot { who: self.who(), actor: self.0.below(1000) as u32 },
            family::BAD_DISK => Fault::BadDisk { who: self.who(), full: self.0.chance(50), away_ms: for_ms },
            family::USURP => {
                let way = *self.0.pick(&[Way::Both, Way::Both, Way::In, Way::Out]);
                Fault::Usurp { who: self.who(), way, for_ms: for_ms / 2 + 300 * scale }
            }
            _ => Fault::Noise { who: self.who(), draw },
        }
    }
}

/// How many kinds of faults there are.
const FAMILIES: u64 = family::NOISE + 1;

impl Plan {
    /// The run of a seed. Each draws its own mix of faults, so that none of them hides behind another in
    /// all runs (Groce and others: Swarm Testing, 2012).
    pub fn draw(seed: u64, peers: Option<usize>, seconds: u64) -> Self {
        let mut draw = Draw(Prng::new(seed));
        let size = match draw.0.below(100) {
            0..=79 => draw.between(3, 5),
            80..=96 => draw.between(6, 11),
            _ => 21,
        };
        let peers = peers.unwrap_or(size as usize);
        let wide = draw.0.chance(15);
        let scale = if wide { 4 } else { 1 };
        let mut families: Vec<u64> = (0..FAMILIES).filter(|_| draw.0.chance(40)).collect();
        if families.is_empty() {
            families.push(family::KILL);
        }
        let most_gap = *draw.0.pick(&[1_500, 4_000, 10_000, 25_000]) * scale;
        let mut steps = vec![];
        let mut at_ms = draw.between(0, most_gap);
        while at_ms < seconds * 1000 {
            let one = *draw.0.pick(&families);
            steps.push(Step { at_ms, fault: draw.fault(one, scale) });
            at_ms += draw.between(50, most_gap);
        }
        Self {
            seed,
            peers,
            wide,
            seconds,
            clients: draw.between(2, 8) as u32,
            pause_ms: *draw.0.pick(&[20, 100, 400, 1500]),
            actors: draw.between(1, 6) as u32,
            steps,
        }
    }
}
