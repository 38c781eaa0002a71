//! How large a model is: how often each thing may happen in it.

use std::fmt;

macro_rules! bounds {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// The sizes. Everything that could happen without end has a budget, so the states are finite.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct Bounds {
            $($(#[doc = $doc])* pub $name: u8),*
        }

        impl Bounds {
            /// A cluster of three in which nothing may happen.
            pub const NONE: Self = Self { peers: 3, skews: 1, ..Self { $($name: 0),* } };
        }

        /// What is to be larger or smaller than in the chosen scope.
        #[derive(Debug, Clone, Copy, Default, clap::Args)]
        pub struct Changes {
            $($(#[doc = $doc])* #[arg(long)] $name: Option<u8>),*
        }

        impl Changes {
            pub fn of(self, mut bounds: Bounds) -> Bounds {
                $(if let Some(count) = self.$name { bounds.$name = count; })*
                bounds
            }
        }

        impl fmt::Display for Bounds {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name)),*];
                let parts: Vec<String> = all
                    .iter()
                    .filter(|(_, count)| *count > 0)
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                write!(f, "{}", parts.join(", "))
            }
        }
    };
}

bounds! {
    /// Node ids, each with one process to begin with; the first one leads.
    peers,
    /// Actors, at home on the second node, the third, and so on.
    actors,
    /// Assignments of fast and slow clocks that are tried: 1 or 2.
    skews,
    /// New processes under an old node id: on an empty disk, beside the old process, or on its disk.
    replacements,
    /// Steps of time, three to a lease.
    ticks,
    /// Elections after the first.
    elections,
    /// Rounds of probes.
    probes,
    /// Heartbeats; at most one by each process between two steps of time.
    beats,
    /// Heartbeats and grants that do not arrive at once, but any time later, never, or often.
    delays,
    /// Rounds of probes whose answers do so.
    slow,
    /// Processes, the leader perhaps, that do not apply what is committed at once, but any time later.
    lags,
    /// Decisions that a leader keeps for a while before it hands them to Raft.
    late,
    /// Checkpoints.
    saves,
    /// Panics in handlers.
    panics,
    /// Wishes of processes that reach a leader (checkpoints, restarts, leaves and so on), repeats included.
    wishes,
    /// Processes that leave in good order.
    leaves,
    /// Actors, of those there are, that others may run while their home is away.
    stand_ins,
    /// Orders of a leader to take over what a node ran that has been away for a while. Without any, others take over
    /// as soon as it is marked down.
    take_overs,
    /// Activations that end so that another node may go on: a home that calls, a move, a drained peer.
    hand_overs,
    /// Steps of the voters towards what they should be.
    reconfigurations,
    /// Lost copies that are made again.
    repairs,
    /// Actors that are ended, and made anew elsewhere.
    recreations,
}
