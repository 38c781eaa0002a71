//! What happens to a cluster in one run, drawn from a seed: sizes, weather, faults.

use serde::{Deserialize, Serialize};
use standin::actor::Down;
use standin::store::{Moment, WriteKind};
use standin::testing::Prng;
use std::time::Duration;

use crate::profile::Profile;

/// One run. As data, so that it can be printed, kept, and made smaller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// How many requests of a hundred let a handler panic.
    pub panics: u64,
    /// How long a disk takes to sync, in microseconds.
    pub sync_us: u64,
    /// Raft log entries between two snapshots; a quarter as many are kept behind one.
    pub snapshot_every: u64,
    /// How many of a hundred actors others stand in for while their home is away.
    #[serde(default)]
    pub stand_ins: u64,
    /// Into how many parts a graph is dealt out whose nodes are ranked all the while; none: nobody does.
    #[serde(default)]
    pub parts: u32,
    /// Whether even small checkpoints are cut into chunks.
    #[serde(default)]
    pub chunked: bool,
    /// Clocks may drift by more than leases allow for: the real-time half of "one at a time" is not promised then.
    pub wild_clocks: bool,
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
    /// Who has a copy of an actor's state: one of them, by number.
    Holder(u32),
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
    /// A disk syncs nothing for a while.
    Stall { who: Who, for_ms: u64 },
    /// A process ends at a moment around its next write of a kind.
    CrashAt { who: Who, write: WriteKind, moment: Moment, away_ms: u64 },
    /// Bits of what is on a disk flip while its process is away.
    FlipBits { who: Who, what: WriteKind, draw: u64, away_ms: u64 },
    /// A machine is stopped in good order, and started again.
    Stop { who: Who, away_ms: u64 },
    /// A peer's actors are moved away and it leaves, if it has the time; later it is started again.
    Drain { who: Who, away_ms: u64 },
    /// Some actors of one number are told to move to a peer.
    Move { actor: u32, to: u32 },
    /// The leader is asked to let another one lead.
    HandOver { to: u32 },
    /// The same, while somebody hears nobody but the old leader; when another one leads, a machine takes that one's name.
    Overthrow { who: Who, to: u32, for_ms: u64 },
    /// What the leader says reaches one peer only, and what it hears of the others is old. When another one leads, a
    /// machine takes that one's name.
    Mislead { who: Who, delay_ms: u64, for_ms: u64 },
    /// A leader writes one entry, of which it hears late from all but one peer, from each a little later than from the one
    /// before; and says nothing more to them. When another one leads, a machine takes the one peer's name.
    Echo { who: Who, delay_ms: u64, for_ms: u64 },
    /// A frozen peer goes on at the very moment at which it is decided to let a machine take its name, and is cut off
    /// soon after.
    Wake { who: Who, for_ms: u64 },
    /// A peer is cut off, and when it is heard again its disk hangs: it learns late of what it missed.
    Lag { who: Who, for_ms: u64 },
    /// The leader lets another one lead, and is cut off; those who elect that one crash, the old leader is heard again,
    /// and the new one is cut off.
    Forget { to: u32, for_ms: u64 },
    /// A peer's disk goes back to a backup that is older than its newest process, just when what was acknowledged since
    /// is on it and on disks that are away, and the others were cut off meanwhile.
    Relapse { who: Who, lag_ms: u64, away_ms: u64 },
    /// An actor's host is cut off, and goes on asking it; meanwhile the actor is stopped, and made anew elsewhere.
    Disown { who: Who, to: u32, for_ms: u64 },
    /// A process of another release, which speaks another version of the protocol, is started in a peer's place.
    OtherVersion { who: Who, newer: bool, for_ms: u64 },
    /// The next time that the cluster is in a situation, somebody is struck.
    When { situation: Situation, who: Who, blow: Blow },
    /// Bytes that are no packets arrive.
    Noise { who: Who, draw: u64 },
}

/// What a cluster goes through now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Situation {
    /// The Raft configuration is joint.
    Joint,
    /// A process asks to be let in.
    Joining,
    /// Nobody leads.
    Leaderless,
    /// Somebody else leads than before.
    NewLeader,
    /// Fewer peers vote than could.
    Learning,
    /// A leader has proposed to mark a peer down, or to give its name away.
    Deciding,
}

/// How somebody is struck then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Blow {
    Kill { away_ms: u64, back: Back },
    Freeze { for_ms: u64 },
    Isolate { way: Way, for_ms: u64 },
    Usurp { for_ms: u64 },
    PowerCut { away_ms: u64 },
}

impl Blow {
    /// The fault that it is.
    pub fn against(self, who: Who) -> Fault {
        match self {
            Blow::Kill { away_ms, back } => Fault::Kill { who, away_ms, back },
            Blow::Freeze { for_ms } => Fault::Freeze { who, for_ms },
            Blow::Isolate { way, for_ms } => Fault::Isolate { who, way, for_ms },
            Blow::Usurp { for_ms } => Fault::Usurp { who, way: Way::Both, for_ms },
            Blow::PowerCut { away_ms } => Fault::PowerCut { away_ms },
        }
    }
}

/// Clocks differ by at most this many parts per million where leases must hold.
pub const MAX_DRIFT_PPM: u64 = 5000;

/// And where they need not hold, by up to this many.
pub const WILD_DRIFT_PPM: u64 = 400_000;

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
    pub const STALL: u64 = 13;
    pub const CRASH_AT: u64 = 14;
    pub const FLIP_BITS: u64 = 15;
    pub const STOP: u64 = 16;
    pub const HAND_OVER: u64 = 17;
    pub const OVERTHROW: u64 = 18;
    pub const WHEN: u64 = 19;
    pub const NOISE: u64 = 20;
    pub const MISLEAD: u64 = 21;
    pub const WAKE: u64 = 22;
    pub const LAG: u64 = 23;
    pub const FORGET: u64 = 24;
    pub const DRAIN: u64 = 25;
    pub const MOVE: u64 = 26;
    pub const RELAPSE: u64 = 27;
    pub const DISOWN: u64 = 28;
    pub const OTHER_VERSION: u64 = 29;
    pub const ECHO: u64 = 30;
}

/// Where all that a seed decides is drawn from.
pub struct Draw {
    pub random: Prng,
    max_drift_ppm: u64,
}

impl Draw {
    /// Draws from a seed, with clocks that drift as leases allow for.
    pub fn new(seed: u64) -> Self {
        Self { random: Prng::new(seed), max_drift_ppm: MAX_DRIFT_PPM }
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.below(most - least + 1)
    }

    pub fn who(&mut self) -> Who {
        match self.random.below(12) {
            0..=2 => Who::Leader,
            3..=5 => Who::Host(self.random.below(1000) as u32),
            6 => Who::Newest,
            7 | 8 => Who::Holder(self.random.below(1000) as u32),
            _ => Who::Peer(self.random.below(1000) as u32),
        }
    }

    fn back(&mut self) -> Back {
        *self.random.pick(&[
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
        let draw = self.random.any();
        match of {
            family::KILL => Fault::Kill { who: self.who(), away_ms: for_ms, back: self.back() },
            family::FREEZE => Fault::Freeze { who: self.who(), for_ms },
            family::ISOLATE => {
                let way = *self.random.pick(&[Way::Both, Way::In, Way::Out]);
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
                from: self.random.below(1000) as u32,
                to: self.random.below(1000) as u32,
                loss: self.between(0, 600) as u32,
                delay_ms: self.between(0, 500),
                for_ms: for_ms * 2,
            },
            family::POWER_CUT => Fault::PowerCut { away_ms: for_ms / 2 },
            family::DRIFT => {
                let size = self.between(0, self.max_drift_ppm) as i64;
                Fault::Drift { who: self.who(), ppm: if self.random.chance(50) { size } else { -size } }
            }
            family::ROT => Fault::Rot { who: self.who(), actor: self.random.below(1000) as u32 },
            family::BAD_DISK => {
                Fault::BadDisk { who: self.who(), full: self.random.chance(50), away_ms: for_ms }
            }
            family::USURP => {
                let way = *self.random.pick(&[Way::Both, Way::Both, Way::In, Way::Out]);
                Fault::Usurp { who: self.who(), way, for_ms: for_ms / 2 + 300 * scale }
            }
            family::STALL => Fault::Stall { who: self.who(), for_ms },
            family::CRASH_AT => Fault::CrashAt {
                who: self.who(),
                write: *self.random.pick(WriteKind::ALL),
                moment: *self.random.pick(Moment::ALL),
                away_ms: for_ms / 2,
            },
            family::FLIP_BITS => {
                let what = [WriteKind::Append, WriteKind::Append, WriteKind::Vote, WriteKind::Snapshot];
                Fault::FlipBits { who: self.who(), what: *self.random.pick(&what), draw, away_ms: for_ms }
            }
            family::STOP => Fault::Stop { who: self.who(), away_ms: for_ms / 2 },
            family::HAND_OVER => Fault::HandOver { to: self.random.below(1000) as u32 },
            family::OVERTHROW => {
                Fault::Overthrow { who: self.who(), to: self.random.below(1000) as u32, for_ms }
            }
            family::WHEN => self.when(for_ms),
            family::MISLEAD => {
                let delay_ms = scale * self.between(500, 4000);
                Fault::Mislead { who: self.who(), delay_ms, for_ms: for_ms / 2 + 1000 * scale }
            }
            family::WAKE => Fault::Wake { who: self.who(), for_ms: for_ms / 2 + 300 * scale },
            family::LAG => Fault::Lag { who: self.who(), for_ms: for_ms + 1500 * scale },
            family::FORGET => {
                Fault::Forget { to: self.random.below(1000) as u32, for_ms: for_ms / 2 + 3000 * scale }
            }
            family::DRAIN => Fault::Drain { who: self.who(), away_ms: for_ms / 2 },
            family::MOVE => {
                Fault::Move { actor: self.random.below(1000) as u32, to: self.random.below(1000) as u32 }
            }
            family::RELAPSE => Fault::Relapse {
                who: self.who(),
                lag_ms: scale * self.between(300, 2500),
                away_ms: for_ms / 2 + 1500 * scale,
            },
            family::DISOWN => {
                Fault::Disown { who: self.who(), to: self.random.below(1000) as u32, for_ms: 2500 * scale }
            }
            family::OTHER_VERSION => {
                Fault::OtherVersion { who: self.who(), newer: self.random.chance(50), for_ms }
            }
            family::ECHO => {
                let delay_ms = scale * self.between(1100, 2000);
                Fault::Echo { who: self.who(), delay_ms, for_ms: for_ms / 2 + delay_ms + 1000 * scale }
            }
            _ => Fault::Noise { who: self.who(), draw },
        }
    }

    fn when(&mut self, for_ms: u64) -> Fault {
        use Situation::{Deciding, Joining, Joint, Leaderless, Learning, NewLeader};
        let blow = match self.random.below(5) {
            0 | 1 => Blow::Kill { away_ms: for_ms / 2, back: self.back() },
            2 => Blow::Freeze { for_ms },
            3 => Blow::Isolate { way: Way::Both, for_ms },
            _ if self.random.chance(80) => Blow::Usurp { for_ms: for_ms / 2 + 300 },
            _ => Blow::PowerCut { away_ms: for_ms / 2 },
        };
        let situation =
            *self.random.pick(&[Joint, Joint, Joining, Leaderless, NewLeader, Learning, Deciding]);
        Fault::When { situation, who: self.who(), blow }
    }
}

/// How many kinds of faults there are.
const FAMILIES: u64 = family::ECHO + 1;

impl Plan {
    /// The run of a seed. Each draws its own mix of faults, so that none of them hides behind another in
    /// all runs (Groce and others: Swarm Testing, 2012).
    pub fn draw(seed: u64, peers: Option<usize>, seconds: u64, profile: Profile) -> Self {
        let mut draw = Draw::new(seed);
        let wild_clocks = draw.random.chance(3);
        if wild_clocks {
            draw.max_drift_ppm = WILD_DRIFT_PPM;
        }
        let size = match draw.random.below(100) {
            0..=79 => draw.between(3, 5),
            80..=96 => draw.between(6, 11),
            _ => 21,
        };
        let peers = peers.or(profile.peers()).unwrap_or(size as usize);
        let wide = draw.random.chance(15);
        let scale = if wide { 4 } else { 1 };
        let mut families: Vec<u64> = (0..FAMILIES).filter(|_| draw.random.chance(30)).collect();
        if families.is_empty() {
            families.push(family::KILL);
        }
        let families = profile.narrow(families);
        let most_gap = *draw.random.pick(&[1_500, 4_000, 10_000, 25_000]) * scale;
        let mut steps = vec![];
        let mut at_ms = draw.between(0, most_gap);
        while at_ms < seconds * 1000 && !families.is_empty() {
            let one = *draw.random.pick(&families);
            steps.push(Step { at_ms, fault: draw.fault(one, scale) });
            at_ms += draw.between(50, most_gap);
        }
        Self {
            seed,
            peers,
            wide,
            seconds,
            clients: draw.between(2, 8) as u32,
            pause_ms: *draw.random.pick(&[20, 100, 400, 1500]),
            actors: draw.between(1, 6) as u32,
            panics: *draw.random.pick(&[0, 1, 4, 15]),
            sync_us: *draw.random.pick(&[500, 1500, 1500, 8000, 40_000, 120_000]) * scale,
            snapshot_every: *draw.random.pick(&[40, 150, 600, 20_000]),
            stand_ins: *draw.random.pick(&[0, 50, 50, 100]),
            parts: *draw.random.pick(&[0, 0, 2, 5]),
            chunked: draw.random.chance(50),
            wild_clocks,
            steps,
        }
    }

    /// What becomes of an actor while its home is away.
    pub fn down(&self, actor: u32, kind: u32) -> Down {
        let mut random = Prng::new(self.seed ^ (u64::from(actor) << 8) ^ u64::from(kind));
        match random.chance(self.stand_ins) {
            true => Down::StandIn { after: Duration::from_millis(*random.pick(&[0, 0, 300, 2500])) },
            false => Down::Wait,
        }
    }
}
