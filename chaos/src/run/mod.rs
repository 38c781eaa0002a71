//! Faults on real processes: peers with real disks, real QUIC and real certificates, each a child of this program.
//!
//! A run is a chain of rounds of at most two minutes. Each has actors of its own, clients and faults; at its end a
//! majority drawn by chance is healed, which must get going, then everybody; and the calls are judged as those of
//! a simulation are. Which fault strikes when follows from the seed; what comes of it does not.

mod child;
mod clock;
mod disks;
mod fleet;
mod mend;
mod orderly;
mod partition;
mod process;
mod record;
mod relay;
mod round;
mod schedule;
mod site;
mod stage;
mod strike;
mod summary;
mod words;

pub use child::main as peer;
pub use clock::elapsed;

use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use disks::Disks;
use fleet::{Fleet, MAX_PEERS};
use record::Recorder;
use relay::{Namespaces, Net, Relay};
use schedule::Round;
use stage::Stage;
use summary::Summary;

use crate::sim::Violation;

/// For how long the faults of one round strike, at most.
const ROUND_S: u64 = 120;
/// A round shorter than this is not worth its beginning and end.
const SHORTEST_ROUND_S: u64 = 10;

/// What a run makes outside of its directory.
struct Site {
    namespaces: Option<Arc<Namespaces>>,
    disks: Arc<Disks>,
}

impl Site {
    fn clear(&self) {
        self.namespaces.iter().for_each(|all| all.remove());
        self.disks.settle();
    }
}

/// What a run is to be.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// For how long.
    #[arg(long, default_value_t = 5.0)]
    pub minutes: f64,
    /// Which faults strike when.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many peers.
    #[arg(long, default_value_t = 5)]
    pub nodes: usize,
    /// Where disks, logs, calls and events are kept; a new directory.
    #[arg(long)]
    pub out: PathBuf,
    /// What stands for machines in the network.
    #[arg(long, default_value = "auto")]
    pub net: Net,
    /// With this mistake in the protocol, where actors run; see `canary`. Those made elsewhere have no effect here.
    #[arg(long)]
    pub mistake: Option<String>,
    /// Prints one JSON object at the end instead.
    #[arg(long)]
    pub json: bool,
}

/// Runs it, on this thread: the peers die with it.
pub fn run(options: &Options) -> ExitCode {
    if !(3..=MAX_PEERS).contains(&options.nodes) {
        eprintln!("--nodes must be from 3 to {MAX_PEERS}");
        return ExitCode::from(2);
    }
    if options.mistake.as_deref().is_some_and(|name| crate::canary::named(name).is_none()) {
        eprintln!("there is no such mistake; those there are: {:?}", standin::canary::Mistake::ALL);
        return ExitCode::from(2);
    }
    let recorder = match Recorder::create(&options.out) {
        Ok(recorder) => recorder,
        Err(e) => {
            eprintln!("{}: {e}; name a new directory with --out", options.out.display());
            return ExitCode::from(2);
        }
    };
    match on_its_site(options, &recorder) {
        Ok(interrupted) => Summary::of(options, &recorder, interrupted).tell(),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// What asks a run to end.
struct Signals([Signal; 3]);

impl Signals {
    fn await_them() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [one, two, three] = kinds.map(signal);
        Ok(Self([one?, two?, three?]))
    }

    async fn come(self) {
        let Self([mut one, mut two, mut three]) = self;
        tokio::select! {
            _ = one.recv() => {}
            _ = two.recv() => {}
            _ = three.recv() => {}
        }
    }
}

/// Makes networks and disks, and leaves none of them behind. Whether it was interrupted.
fn on_its_site(options: &Options, recorder: &Recorder) -> Result<bool, String> {
    let out = std::path::absolute(&options.out).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    // From here on a signal waits until all can be removed that is made below.
    let end = runtime.block_on(async { Signals::await_them() }).map_err(|e| e.to_string())?;
    let site =
        Site { namespaces: relay::choose(options.net)?, disks: Arc::new(Disks::create(out.join("disks"))?) };
    let interrupted = runtime.block_on(async {
        let progress = summary::progress(recorder.clone(), options.json);
        tokio::select! {
            ended = rounds(options, &site, recorder) => ended.map(|()| false),
            () = progress => Ok(true),
            () = end.come() => Ok(true),
        }
    });
    // Processes end with their handles, and those with the runtime.
    drop(runtime);
    site.clear();
    interrupted
}

/// One round after the other, until time is up or a promise is broken; that is in the record then.
async fn rounds(options: &Options, site: &Site, recorder: &Recorder) -> Result<(), String> {
    let begun = Instant::now();
    clock::begun_us();
    let fields = json!({
        "seed": options.seed, "nodes": options.nodes, "minutes": options.minutes,
        "namespaces": site.namespaces.is_some(), "small_disks": site.disks.are_small(),
    });
    recorder.note("run", fields);
    let relay = Relay::start(options.seed, site.namespaces.clone())?;
    let fleet = Fleet::new(options, &site.disks, &relay, recorder)?;
    let mut stage = Stage::new(fleet, options.seed);
    let all = Duration::from_secs_f64(options.minutes.clamp(0.0, 1e6) * 60.0);
    let mut ended = stage.open().await;
    for number in 0.. {
        let left = all.saturating_sub(begun.elapsed()).as_secs();
        if ended.is_err() || (number > 0 && left < SHORTEST_ROUND_S) {
            break;
        }
        let seconds = left.clamp(SHORTEST_ROUND_S, ROUND_S);
        // The last seconds of a schedule are cut off; what comes before is the same however long a run is.
        ended = stage.play(number, Round::draw(options.seed, number, seconds)).await;
    }
    if let (Err(Violation { invariant, what }), None) = (ended, recorder.violation()) {
        recorder.violated(&invariant, what);
    }
    Ok(())
}
