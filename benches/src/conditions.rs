//! Under which conditions something was measured.

use std::fs::read_to_string;
use std::process::Command;

/// The machine and the tools, as one paragraph.
pub fn conditions() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model).trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let says = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let (rustc, date) = (says("rustc", &["--version"]), says("date", &["-u", "+%F %R UTC"]));
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let crc =
        if cfg!(all(target_feature = "sse4.2", target_feature = "pclmulqdq")) { "with" } else { "without" };
    format!(
        "{date}: {cores} cores ({model}), Linux {}, {rustc}, built {crc} SSE 4.2 and PCLMULQDQ; load {load} at the end.",
        kernel.trim()
    )
}
