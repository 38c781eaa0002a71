//! A process that writes to its store is killed, again and again: everything acknowledged is there.

mod model;
mod writer;

pub use writer::write_until_killed;

use standin::store::RocksStore;
use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};

use self::model::{Dice, Model};
use self::writer::Wrote;
use super::process::command;
use super::words::{MARK, Role, WriterRole};

const LIVES: u64 = 200;

/// What is known of a store from outside.
#[derive(Debug, Default)]
struct Known {
    /// Acknowledged, or found after a restart (somebody may have acted on it since).
    at_least: u64,
    /// Begun: a later operation cannot be there.
    at_most: u64,
    /// Large chunks that were acknowledged in the newest life that read the disk.
    large: Vec<u64>,
    /// How many of them were found again.
    large_found: usize,
    /// Whether the newest life got as far as reading the disk.
    opened: bool,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let Some((_, said)) = line.split_once(MARK) else { return };
        // The last line may have been cut short by the kill.
        match serde_json::from_str(said) {
            Ok(Wrote::Found(n)) => {
                assert!((self.at_least..=self.at_most).contains(&n), "found {n}, but {self:?}");
                self.large_found += self.large.len();
                *self = Self { at_least: n, at_most: n, opened: true, large: vec![], ..*self };
            }
            Ok(Wrote::Began(n)) => self.at_most = n,
            Ok(Wrote::Acknowledged(n)) => self.at_least = n,
            Ok(Wrote::Large(n)) => self.large.push(n),
            Ok(Wrote::Wrong(why)) => panic!("{self:?}: {why}"),
            Err(_) => {}
        }
    }
}

/// When a life ends.
enum End {
    /// As soon as it has said so much.
    Lines(u64),
    /// So long after its start, whatever it does then.
    After(Duration),
}

#[expect(clippy::disallowed_methods, reason = "the moment of the kill is the test's input, not a wait")]
fn live_and_die(dir: &std::path::Path, seed: u64, known: &mut Known, end: &End) {
    let mut child = command(&[]).spawn().unwrap();
    let born = Instant::now();
    let (at_least, at_most, large) = (known.at_least, known.at_most, known.large.clone());
    let role = WriterRole { dir: dir.into(), seed, at_least, at_most, large };
    let role = serde_json::to_string(&Role::Writer(role)).unwrap();
    // Open until the end: without it the child would stop by itself.
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{role}").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    match end {
        End::Lines(n) => {
            for _ in 0..*n {
                let Some(Ok(line)) = lines.next() else { break };
                known.hear(&line);
            }
        }
        End::After(delay) => std::thread::sleep(delay.saturating_sub(born.elapsed())),
    }
    child.kill().unwrap();
    lines.map_while(Result::ok).for_each(|line| known.hear(&line));
    child.wait().unwrap();
}

#[test]
fn whatever_a_store_has_acknowledged_is_there_after_200_kills_at_random_points() {
    let seed = 0x5eed;
    let dir = tempfile::tempdir().unwrap();
    let (mut known, mut dice, mut cut_short) = (Known::default(), Dice::new(seed), 0);
    for life in 0..LIVES {
        // The lines: four by the test runner, what was found, then about two for each operation.
        let end = match life % 2 {
            0 => End::Lines(5 + dice.below(120)),
            _ => End::After(Duration::from_micros(dice.below(60_000))),
        };
        known.opened = false;
        live_and_die(dir.path(), seed, &mut known, &end);
        cut_short += u64::from(!known.opened);
    }
    let store = RocksStore::open(dir.path()).unwrap();
    let (found, _) = Model::locate(&store, seed, known.at_least, known.at_most).unwrap();
    println!(
        "{found} operations, {} large chunks, {LIVES} lives, {cut_short} of them ended before it was open",
        known.large_found
    );
    assert!(known.large_found > LIVES as usize / 10, "only {} large chunks", known.large_found);
    assert!(found > 10 * LIVES, "only {found} operations: the kills came too early to mean anything");
}
