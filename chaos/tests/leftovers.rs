//! What a run of real processes makes outside of its directory is gone when it ends, however that comes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A run in a new directory, once its peers are up.
fn begin(name: &str) -> (Child, PathBuf) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&out));
    let mut run = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["run", "--minutes", "5", "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("peers up")), "it ended");
    // Somebody reads on, or it could not go on telling.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (run, out)
}

/// Namespaces, mounts and processes of a run.
fn left_of(run: &Child, out: &Path) -> Vec<String> {
    let prefix = format!("standin-chaos-{}", run.id());
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let namespaces = namespaces.filter_map(|entry| entry.file_name().into_string().ok());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(String::from).collect::<Vec<_>>().into_iter();
    let found = namespaces.chain(mounts).filter(|line| line.starts_with(&prefix));
    let disks = out.join("disks");
    let uses = |pid: &PathBuf| {
        let files = std::fs::read_dir(pid.join("fd")).into_iter().flatten().flatten();
        files.into_iter().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.starts_with(&disks)))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(uses);
    found.chain(processes.map(|path| path.display().to_string())).collect()
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_and_removes_what_a_killed_one_left() {
    let (mut killed, first) = begin("killed");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (mut interrupted, second) = begin("interrupted");
    assert_eq!(left_of(&killed, &first), Vec::<String>::new(), "what was killed");
    let told = Command::new("kill").args(["-INT", &interrupted.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(interrupted.wait().unwrap().code(), Some(130));
    assert_eq!(left_of(&interrupted, &second), Vec::<String>::new(), "what was interrupted");
    let disks = std::fs::read_dir(second.join("disks")).unwrap().flatten();
    assert!(disks.into_iter().all(|disk| disk.path().read_dir().unwrap().next().is_some()), "disks are kept");
    for out in [first, second] {
        std::fs::remove_dir_all(out).unwrap();
    }
}
