//! The disks of a run: directories, every other one on a small file system of its own where this process may mount
//! such. That one can fill up, as a disk does: to the last byte, in the middle of a write.
//!
//! The small ones are in memory; what is on them is put into a plain directory at the end. What a run leaves mounted
//! that was killed, the next one unmounts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::relay::{command, is_a_run};

const PREFIX: &str = "standin-chaos-";
/// Room for what a store keeps of ten minutes' work, and little more: it is filled up to the last byte.
const SIZE: &str = "96m";
/// What makes a small file system full lies beside a peer's directory.
const BALLAST: &str = "ballast";
const DATA: &str = "data";
/// More than the largest small file system holds.
const MOST_BALLAST: u64 = 128 << 20;

/// All disks of a run.
pub struct Disks {
    folder: PathBuf,
    may_mount: bool,
    mounted: Mutex<BTreeSet<PathBuf>>,
}

impl Disks {
    /// Their folder, and whether small file systems can be mounted there.
    pub fn create(folder: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        unmount_leftovers();
        let probe = folder.join("probe");
        let mounted = std::fs::create_dir(&probe).map_err(|e| e.to_string()).and_then(|()| mount(&probe));
        if mounted.is_ok() {
            unmount(&probe);
        }
        drop(std::fs::remove_dir(&probe));
        Ok(Self { folder, may_mount: mounted.is_ok(), mounted: Mutex::default() })
    }

    pub fn are_small(&self) -> bool {
        self.may_mount
    }

    /// Where a new disk of a node is, the first being number 1.
    pub fn place(&self, node: &str, seat: usize, number: u32) -> PathBuf {
        let place = self.folder.join(format!("{node}.{number}"));
        let is_small = self.may_mount && (seat as u32 + number).is_multiple_of(2);
        // If it cannot be mounted now, a plain one serves as well.
        if is_small && std::fs::create_dir(&place).is_ok() && mount(&place).is_ok() {
            self.mounted().insert(place.clone());
            return place.join(DATA);
        }
        place
    }

    /// Takes all room that is left on a disk but so many bytes. Whether that could be.
    pub fn fill(&self, dir: &Path, but: u64) -> bool {
        let Some(ballast) = self.ballast_of(dir) else { return false };
        let filled = || -> std::io::Result<()> {
            let mut file = File::create(&ballast)?;
            let (chunk, mut written) = ([0; 4096], 0);
            while written < MOST_BALLAST {
                match file.write(&chunk) {
                    Ok(n @ 1..) => written += n as u64,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
            file.set_len(written.saturating_sub(but))
        };
        filled().is_ok()
    }

    /// Makes room on a disk that was filled.
    pub fn make_room(&self, dir: &Path) {
        self.ballast_of(dir).map(std::fs::remove_file);
    }

    fn ballast_of(&self, dir: &Path) -> Option<PathBuf> {
        let place = dir.parent()?;
        self.mounted().contains(place).then(|| place.join(BALLAST))
    }

    /// Removes those that nobody has any more.
    pub fn tidy(&self, in_use: impl Fn(&Path) -> bool) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for place in entries.flatten().map(|entry| entry.path()) {
            if !in_use(&place) && !in_use(&place.join(DATA)) {
                if self.mounted().remove(&place) {
                    unmount(&place);
                }
                drop(std::fs::remove_dir_all(&place));
            }
        }
    }

    /// Puts what is on small file systems into plain directories, once nobody uses them.
    pub fn settle(&self) {
        for place in std::mem::take(&mut *self.mounted()) {
            drop(std::fs::remove_file(place.join(BALLAST)));
            let kept = place.with_extension("kept");
            let (from, to) = (place.display().to_string(), kept.display().to_string());
            let copied = command("cp", &["-a", "--", &from, &to], "");
            unmount(&place);
            if copied.is_ok() && std::fs::remove_dir(&place).is_ok() {
                drop(std::fs::rename(&kept, &place));
            }
        }
    }

    fn mounted(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mount(place: &Path) -> Result<(), String> {
    let (name, options) = (format!("{PREFIX}{}", std::process::id()), format!("size={SIZE}"));
    let place = place.display().to_string();
    command("mount", &["-t", "tmpfs", "-o", &options, &name, &place], "").map(drop)
}

fn unmount(place: &Path) {
    // Whoever still has a file there keeps that one, and nothing else.
    drop(command("umount", &["-l", &place.display().to_string()], ""));
}

fn unmount_leftovers() {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else { return };
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let run = words.next().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let is_left = run.is_some_and(|run| run == std::process::id() || !is_a_run(run));
        if let Some(place) = words.next().filter(|_| is_left) {
            unmount(Path::new(&unescaped(place)));
        }
    }
}

/// A path as the kernel lists it: some characters are octal numbers there.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (escaped, character)| path.replace(escaped, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_fills_up_has_room_again_and_stays_as_a_directory() {
        let folder = std::env::temp_dir().join(format!("chaos-disks-{}", std::process::id()));
        let disks = Disks::create(folder.clone()).unwrap();
        let dirs = [1, 2].map(|number| disks.place("peer", 1, number));
        assert_ne!(dirs[0], dirs[1]);
        for dir in &dirs {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join("before"), "something").unwrap();
        }
        let small: Vec<_> = dirs.iter().filter(|dir| disks.fill(dir, 0)).collect();
        assert_eq!(small.len(), usize::from(disks.are_small()), "every other one");
        for dir in small {
            assert!(std::fs::write(dir.join("more"), vec![1; 1 << 16]).is_err(), "it is full");
            disks.make_room(dir);
            std::fs::write(dir.join("more"), vec![1; 1 << 16]).unwrap();
        }
        disks.settle();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
        for dir in &dirs {
            assert_eq!(std::fs::read_to_string(dir.join("before")).unwrap(), "something");
        }
        disks.tidy(|_| false);
        std::fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn paths_are_read_as_the_kernel_lists_them() {
        assert_eq!(unescaped("/tmp/a\\040b\\134c"), "/tmp/a b\\c");
    }
}
