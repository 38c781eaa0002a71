//! What supersteps cost, as far as Linux tells: elsewhere nothing is known, and all is 0.

use std::fs;

/// Since the start of the machine, or of the processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Processor time of all peers.
    pub cpu_s: f64,
    /// What went over the loopback interface, whoever sent it.
    pub loopback_bytes: f64,
}

impl Cost {
    /// Up to now.
    pub fn so_far(processes: impl Iterator<Item = u32>) -> Self {
        Self { cpu_s: processes.map(cpu_s).sum(), loopback_bytes: loopback_bytes() }
    }

    pub fn since(self, before: Self) -> Self {
        Self { cpu_s: self.cpu_s - before.cpu_s, loopback_bytes: self.loopback_bytes - before.loopback_bytes }
    }
}

/// Processor time that a process has used, in seconds. Linux counts it in hundredths.
pub fn cpu_s(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// What went over the loopback interface, whoever sent it.
pub fn loopback_bytes() -> f64 {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
