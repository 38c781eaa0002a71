//! What can be asked for.

use clap::Parser;

/// Accounts that pay each other on peers that are killed at random; and the total, which stays.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// How many peers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..=31))]
    pub peers: u64,
    /// How many accounts, each with 1000 in it; the last one is closed, and sends back what it gets
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub accounts: u32,
    /// How many transfers
    #[arg(long, default_value_t = 5000)]
    pub transfers: u64,
    /// How many peers are killed, at least; it goes on until all is paid
    #[arg(long, default_value_t = 5)]
    pub kills: u32,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// One JSON object a second, and at the end, instead of a picture
    #[arg(long)]
    pub json: bool,
}
