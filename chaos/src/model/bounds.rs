//! How large a model is: how often each thing may happen in it.

/// The sizes. Everything that could happen without end has a budget, so the states are finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::Args)]
pub struct Bounds {
    /// Node ids, each with one process to begin with; the first one leads.
    #[arg(long, default_value_t = 3)]
    pub peers: u8,
    /// Actors, at home on the second node, the third, and so on.
    #[arg(long, default_value_t = 2)]
    pub actors: u8,
    /// New processes under an old node id: on an empty disk, beside the old process, or on its disk.
    #[arg(long, default_value_t = 2)]
    pub replacements: u8,
    /// Steps of time, two to a lease.
    #[arg(long, default_value_t = 3)]
    pub ticks: u8,
    /// Assignments of fast and slow clocks that are tried: 1 or 2.
    #[arg(long, default_value_t = 1)]
    pub skews: u8,
    /// Elections after the first.
    #[arg(long, default_value_t = 1)]
    pub elections: u8,
    /// Rounds of probes.
    #[arg(long, default_value_t = 2)]
    pub probes: u8,
    /// Heartbeats; at most one by each process between two steps of time.
    #[arg(long, default_value_t = 1)]
    pub beats: u8,
    /// Proposals that a process keeps for a while before it hands them to Raft.
    #[arg(long, default_value_t = 0)]
    pub late: u8,
    /// Messages that do not arrive at once, but any time later, never, or often.
    #[arg(long, default_value_t = 1)]
    pub delays: u8,
    /// Commits that the leader itself does not apply at once.
    #[arg(long, default_value_t = 0)]
    pub lags: u8,
    /// Checkpoints.
    #[arg(long, default_value_t = 0)]
    pub saves: u8,
    /// Panics in handlers.
    #[arg(long, default_value_t = 0)]
    pub panics: u8,
    /// Wishes of processes that reach a leader: checkpoints, restarts, leaves, and so on, repeats included.
    #[arg(long, default_value_t = 2)]
    pub wishes: u8,
    /// Processes that leave in good order.
    #[arg(long, default_value_t = 0)]
    pub leaves: u8,
    /// Steps of the voters towards what they should be.
    #[arg(long, default_value_t = 0)]
    pub reconfigurations: u8,
    /// Lost copies that are made again.
    #[arg(long, default_value_t = 0)]
    pub repairs: u8,
    /// Actors that are ended, and made anew elsewhere.
    #[arg(long, default_value_t = 0)]
    pub recreations: u8,
}
