//! The run: starts the peers, drives the job, kills and replaces, and looks at the clock.

mod child;
pub mod cost;
mod drive;
mod fleet;
mod progress;
mod recovery;
mod screen;
mod strike;
mod summary;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::cli::{Checkpoints, Kill, Replace, RunArgs};
use crate::graph::Graph;
use crate::rank;
use child::{News, Who};
use cost::Cost;
pub use fleet::Issue;
use fleet::{Fleet, Shared, State};
use progress::{Expected, Phase, Progress};
use recovery::Recovery;
pub use screen::Style;
use screen::{Row, Screen};
pub use summary::Summary;

/// News of all peers that wait for the run.
const NEWS_WAITING: usize = 1024;
/// How often the bars may move.
const REDRAW: Duration = Duration::from_millis(100);
/// How long peers may take to end in good order.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a run needs besides its arguments.
pub struct Setup<W> {
    /// What peers are processes of.
    pub program: PathBuf,
    /// Where their directories and logs are.
    pub dir: PathBuf,
    pub issue: Issue,
    pub style: Style,
    pub out: W,
}

/// Everything that changes while it runs.
struct Run<'a, W: Write> {
    args: &'a RunArgs,
    /// None if there is nothing to compare with.
    expected: Option<&'a Expected>,
    fleet: Fleet,
    progress: Progress,
    screen: Screen<W>,
    /// Kills that are yet to come.
    kills: Vec<Kill>,
    recoveries: Vec<Recovery>,
    /// The Raft leader: term and place.
    leader: (u64, Option<usize>),
    copies_repaired: u64,
    /// The peer that works on the job's present command.
    driving: Option<usize>,
    timers: Vec<(Instant, Todo)>,
    start: Instant,
    /// When the first superstep began.
    first_step: Option<(Instant, Cost)>,
    /// When all partitions had done the last one.
    last_step: Option<(Instant, Cost)>,
}

/// What is to be done at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Todo {
    /// Tell somebody the command that leads on.
    Drive,
    /// Start a process in the place of a dead one.
    Replace(usize),
}

/// Runs the job with all that is to go wrong in it.
///
/// # Errors
/// It did not end in time, and where it hung; or a peer ended by itself; or a rank was wrong.
pub async fn run<W: Write>(args: &RunArgs, graph: &Graph, setup: Setup<W>) -> Result<Summary, String> {
    let start = Instant::now();
    let partitions = args.partitions as usize;
    let expected =
        (!args.unchecked).then(|| Expected::compute(graph, args.jumps(), args.iterations, partitions));
    let (inbox, mut news) = mpsc::channel(NEWS_WAITING);
    let Setup { program, dir, issue, style, out } = setup;
    let shared = Shared {
        program,
        dir,
        issue,
        checkpoint_every: match args.checkpoints {
            Checkpoints::Reliable => args.checkpoint_every.saturating_mul(args.partitions),
            Checkpoints::EverySecond | Checkpoints::Off => 0,
        },
        inbox,
    };
    let mut run = Run {
        args,
        expected: expected.as_ref(),
        fleet: Fleet::new(shared, args.nodes()),
        progress: Progress::new(args.iterations, partitions, graph.len()),
        screen: Screen::new(out, style, args.iterations),
        kills: args.kills.clone(),
        recoveries: Vec::new(),
        leader: (0, None),
        copies_repaired: 0,
        driving: None,
        timers: Vec::new(),
        start,
        first_step: None,
        last_step: None,
    };
    run.event(&format!("{} peers, {} nodes, {} edges", args.peers, graph.len(), graph.edges().len()));
    let done = run.until_done(&mut news).await;
    run.screen.close();
    done?;
    let summary = run.summary(graph)?;
    run.say_farewell(&mut news).await;
    Ok(summary)
}

impl<W: Write> Run<'_, W> {
    async fn until_done(&mut self, inbox: &mut mpsc::Receiver<(Who, News)>) -> Result<(), String> {
        let deadline = self.start + Duration::from_secs_f64(self.args.deadline);
        let mut redraw = interval(REDRAW);
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        self.fleet.found()?;
        while !self.is_over() {
            let next = self.timers.iter().map(|(at, _)| *at).min().unwrap_or(deadline);
            tokio::select! {
                Some((who, news)) = inbox.recv() => self.on_news(who, news)?,
                () = sleep_until(next.min(deadline)) => {
                    if Instant::now() >= deadline {
                        return Err(self.where_it_hangs());
                    }
                    self.on_timers()?;
                }
                _ = redraw.tick() => self.draw(),
                _ = &mut interrupt => return Err("interrupted".to_owned()),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.progress.phase == Phase::Done
            && (self.args.replace == Replace::None || self.recoveries.iter().all(Recovery::is_over))
    }

    fn on_timers(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let (due, later) = self.timers.drain(..).partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Todo)> = due;
        for (_, todo) in due {
            match todo {
                Todo::Drive => self.drive(),
                Todo::Replace(peer) => self.replace(peer)?,
            }
        }
        Ok(())
    }

    fn later(&mut self, at: Instant, todo: Todo) {
        if !self.timers.iter().any(|(_, waiting)| *waiting == todo) {
            self.timers.push((at, todo));
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn event(&mut self, text: &str) {
        self.screen.event(self.start.elapsed(), text);
    }

    fn draw(&mut self) {
        let rows = (0..self.fleet.peers().len()).map(|peer| self.row(peer)).collect();
        self.screen.progress(self.start.elapsed(), self.progress.iteration, rows);
    }

    fn row(&self, peer: usize) -> Row {
        let Some(slot) = self.fleet.peers().get(peer) else { return Row::default() };
        let open = self.recoveries.iter().rev().find(|r| r.node == slot.node && !r.is_over());
        let state = match (slot.state, open.map(Recovery::actors)) {
            (State::Absent | State::Dying, Some(_)) => "dead".to_owned(),
            (State::Absent | State::Dying, None) => "waits".to_owned(),
            (State::Starting, _) => "joins".to_owned(),
            (State::Joined, Some((back, all))) if back < all => format!("restores {back}/{all}"),
            (State::Joined, _) => "runs".to_owned(),
        };
        Row {
            name: slot.node.to_string(),
            iteration: open.map_or(self.progress.iteration, |recovery| recovery.iteration),
            alive: state != "dead",
            state,
        }
    }

    fn summary(&self, graph: &Graph) -> Result<Summary, String> {
        if let Some(kill) = self.kills.first() {
            return Err(format!("{:?} was never there to be killed", kill.victim));
        }
        let ranks = self.progress.all_ranks()?;
        let digest = rank::digest(graph.names(), &ranks);
        let top = rank::top(graph.names(), &ranks, 10);
        let steps = self.first_step.zip(self.last_step);
        let (steps, cost) =
            steps.map_or_else(Default::default, |((t0, before), (t1, after))| (t1 - t0, after.since(before)));
        Ok(Summary {
            iterations: self.progress.iteration,
            matches: self.expected.is_none_or(|expected| digest == expected.digest),
            digest,
            reference_digest: self.expected.map(|expected| expected.digest.clone()),
            kills: self.recoveries.iter().map(Recovery::report).collect(),
            calls_failed: self.progress.calls_failed,
            wall_s: self.start.elapsed().as_secs_f64(),
            job_s: self.first_step.map_or(0.0, |(first, _)| first.elapsed().as_secs_f64()),
            steps_s: steps.as_secs_f64(),
            steps_cpu_s: cost.cpu_s,
            steps_loopback_bytes: cost.loopback_bytes,
            copies_repaired: self.copies_repaired,
            top: top.into_iter().map(|(name, rank)| (name.to_owned(), rank)).collect(),
        })
    }

    /// Processes that are too slow to end are killed when this process drops them.
    async fn say_farewell(&mut self, inbox: &mut mpsc::Receiver<(Who, News)>) {
        let mut left = self.fleet.finish();
        let all_gone = async {
            while left > 0 {
                match inbox.recv().await {
                    Some((_, News::Gone(_))) => left -= 1,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = timeout(FAREWELL, all_gone).await;
    }
}

#[cfg(test)]
mod tests;
