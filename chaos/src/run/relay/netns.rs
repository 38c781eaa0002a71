//! A network namespace for each host, where this process may make them.
//!
//! A host's processes have a network of their own, with one cable: to the namespace that the relay is in. There each
//! host has an address that stands for it; what a host sends to another one's goes through the relay. Cuts are rules of
//! the kernel's there, so that a packet is dropped before any program sees it.
//!
//! All names begin with the number of the run's process. What a run leaves that was killed, the next one removes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{Host, Link, NOBODY};

const PREFIX: &str = "standin-chaos-";
/// Where `ip netns` keeps them.
const NAMES: &str = "/run/netns";
/// How long one command may take, in seconds.
const COMMAND_S: &str = "20";

/// In the relay's namespace: packets that come from a host and are for what stands for another are dropped, if the
/// kernel is told so.
const RULES: &str = "table inet chaos {
    set cuts { type ifname . ipv4_addr; }
    chain input { type filter hook input priority 0; iifname . ip daddr @cuts drop; }
}
";

/// The namespaces of a run. They are removed with it.
pub struct Namespaces {
    run: u32,
    hosts: Mutex<BTreeSet<Host>>,
}

impl Namespaces {
    /// Makes the relay's, and removes what other runs have left.
    pub fn make() -> Result<Self, String> {
        let all = Self { run: std::process::id(), hosts: Mutex::default() };
        remove_leftovers(all.run);
        let middle = all.middle();
        ip(&["netns", "add", &middle], "")?;
        let lines = "link set lo up\nroute add local 10.78.0.0/16 dev lo\n";
        ip(&["-n", &middle, "-batch", "-"], lines)?;
        all.nft(RULES)?;
        Ok(all)
    }

    fn name(&self, host: Host) -> String {
        format!("{PREFIX}{}-{host}", self.run)
    }

    fn middle(&self) -> String {
        self.name(NOBODY)
    }

    /// The file of the relay's namespace.
    pub fn middle_path(&self) -> PathBuf {
        Path::new(NAMES).join(self.middle())
    }

    /// The command that runs a program on a host.
    pub fn on(&self, host: Host) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={NAMES}/{}", self.name(host))]
    }

    /// A host's own address.
    pub fn address(host: Host) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, host, 2)
    }

    /// The host that has an address.
    pub fn host_of(address: Ipv4Addr) -> Host {
        match address.octets() {
            [10, 77, host, 2] => host,
            _ => NOBODY,
        }
    }

    /// What stands for a host where the relay is.
    pub fn stand_in(host: Host) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 1, host)
    }

    /// Makes a host's namespace, if there is none.
    pub fn host(&self, host: Host) -> Result<(), String> {
        if !self.hosts().insert(host) {
            return Ok(());
        }
        let (name, middle) = (self.name(host), self.middle());
        let made = format!(
            "netns add {name}\nlink add eth0 netns {name} type veth peer name v{host} netns {middle}\n"
        );
        ip(&["-batch", "-"], &made)?;
        let inside = format!(
            "addr add 10.77.{host}.2/24 dev eth0\nlink set lo up\nlink set eth0 up\nroute add default via 10.77.{host}.1\n"
        );
        ip(&["-n", &name, "-batch", "-"], &inside)?;
        ip(
            &["-n", &middle, "-batch", "-"],
            &format!("addr add 10.77.{host}.1/24 dev v{host}\nlink set v{host} up\n"),
        )
    }

    /// A host is no more.
    pub fn forget(&self, host: Host) {
        if self.hosts().remove(&host) {
            drop(ip(&["netns", "del", &self.name(host)], ""));
        }
    }

    /// Drops what is sent on these links, and nothing else.
    pub fn cut(&self, links: &[Link]) -> Result<(), String> {
        let mut rules = String::from("flush set inet chaos cuts\n");
        for (from, to) in links {
            let to = Self::stand_in(*to);
            writeln!(rules, "add element inet chaos cuts {{ \"v{from}\" . {to} }}")
                .map_err(|e| e.to_string())?;
        }
        self.nft(&rules)
    }

    fn nft(&self, rules: &str) -> Result<(), String> {
        command("ip", &["netns", "exec", &self.middle(), "nft", "-f", "-"], rules).map(drop)
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, BTreeSet<Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all of them.
    pub fn remove(&self) {
        let hosts = std::mem::take(&mut *self.hosts());
        for host in hosts.into_iter().chain([NOBODY]) {
            drop(ip(&["netns", "del", &self.name(host)], ""));
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes the namespaces of runs that are no more.
fn remove_leftovers(own: u32) {
    let Ok(entries) = std::fs::read_dir(NAMES) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let run = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if run.is_some_and(|run| run == own || !is_a_run(run)) {
            drop(ip(&["netns", "del", &name], ""));
        }
    }
}

/// Whether a process of this number is one of this program's runs.
pub fn is_a_run(number: u32) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{number}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0);
    words.any(|word| word == b"run") && words.any(|word| word.starts_with(b"--out"))
}

fn ip(arguments: &[&str], lines: &str) -> Result<(), String> {
    command("ip", arguments, lines).map(drop)
}

/// Runs a program of the system's to its end, and says why if it fails.
pub fn command(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{program}: {e}");
    let mut child = Command::new("timeout")
        .args([COMMAND_S, program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it says why.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program} {}: {}", arguments.join(" "), said.lines().next().unwrap_or("failed")))
    }
}
