//! Named restrictions of what a seed draws, for whoever wants to look at one kind of trouble alone.

use clap::ValueEnum;

use crate::plan::family;

/// What a plan may be made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Whatever the seed draws
    #[default]
    Default,
    /// Partitions, storms and bad links only
    Network,
    /// Killed and stopped processes, power cuts and replaced machines only
    Crash,
    /// Rotten copies, flipped bits, and disks that fail or hang only
    Disks,
    /// Drifting clocks and frozen processes only
    Clocks,
    /// No faults: the clients' work alone
    Calm,
    /// Whatever the seed draws, with 21 peers
    Large,
}

const NETWORK: [u64; 6] =
    [family::ISOLATE, family::SPLIT, family::RING, family::SWIZZLE, family::STORM, family::BAD_LINK];
const CRASH: [u64; 15] = [
    family::KILL,
    family::POWER_CUT,
    family::USURP,
    family::CRASH_AT,
    family::STOP,
    family::DRAIN,
    family::MOVE,
    family::OVERTHROW,
    family::WHEN,
    family::MISLEAD,
    family::FORGET,
    family::RELAPSE,
    family::DISOWN,
    family::OTHER_VERSION,
    family::ECHO,
];
const DISKS: [u64; 5] = [family::ROT, family::BAD_DISK, family::STALL, family::FLIP_BITS, family::LAG];
const CLOCKS: [u64; 3] = [family::FREEZE, family::DRIFT, family::WAKE];

impl Profile {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// How many peers there are, if the seed has no say in it.
    pub fn peers(self) -> Option<usize> {
        (self == Self::Large).then_some(21)
    }

    fn families(self) -> Option<&'static [u64]> {
        match self {
            Self::Default | Self::Large => None,
            Self::Network => Some(&NETWORK),
            Self::Crash => Some(&CRASH),
            Self::Disks => Some(&DISKS),
            Self::Clocks => Some(&CLOCKS),
            Self::Calm => Some(&[]),
        }
    }

    /// Those of the families drawn that are allowed; all that are allowed, if the seed drew none of them.
    pub fn narrow(self, drawn: Vec<u64>) -> Vec<u64> {
        let Some(allowed) = self.families() else { return drawn };
        let both: Vec<u64> = drawn.into_iter().filter(|family| allowed.contains(family)).collect();
        if both.is_empty() { allowed.to_vec() } else { both }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use std::collections::BTreeSet;

    /// The names of all faults that many seeds draw.
    fn drawn(profile: Profile) -> BTreeSet<String> {
        let plans = (0..60).map(|seed| Plan::draw(seed, None, 60, profile));
        plans.flat_map(|plan| plan.steps).map(|step| step.fault.family()).collect()
    }

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_profile_draws_its_own_faults_only_and_all_of_them() {
        assert_eq!(
            drawn(Profile::Crash),
            names(&[
                "Kill",
                "PowerCut",
                "Usurp",
                "CrashAt",
                "Stop",
                "Drain",
                "Move",
                "Overthrow",
                "When",
                "Mislead",
                "Forget",
                "Relapse",
                "Disown",
                "OtherVersion",
                "Echo"
            ])
        );
        let network = ["Isolate", "Split", "Ring", "Swizzle", "Storm", "BadLink"];
        assert_eq!(drawn(Profile::Network), names(&network));
        assert_eq!(drawn(Profile::Disks), names(&["Rot", "BadDisk", "Stall", "FlipBits", "Lag"]));
        assert_eq!(drawn(Profile::Clocks), names(&["Freeze", "Drift", "Wake"]));
        assert_eq!(drawn(Profile::Calm), names(&[]));
        assert!(drawn(Profile::Default).len() >= 14);
    }

    #[test]
    fn a_profile_leaves_the_rest_of_a_plan_alone() {
        for seed in 0..40 {
            let usual = Plan::draw(seed, None, 60, Profile::Default);
            let crash = Plan::draw(seed, None, 60, Profile::Crash);
            let large = Plan::draw(seed, None, 60, Profile::Large);
            assert_eq!((usual.peers, usual.wide), (crash.peers, crash.wide));
            assert_eq!((21, &usual.steps), (large.peers, &large.steps));
            assert_eq!(Plan::draw(seed, Some(4), 60, Profile::Large).peers, 4, "--nodes wins");
        }
    }
}
